/* test_encode.c - facts about OTLP's JSON: one tree a record, numbers as the protocol wants them,
 * nothing but valid text, and never half a tree. */
#include "server/trace/encode.h"

#include <check.h>
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char buffer[1024 * 1024];
static uint64_t drawn = 7;

static struct trace_record *make(size_t n_choices)
{
    struct trace_record *r = trace_record_create();
    ck_assert_ptr_nonnull(r);
    ck_assert(trace_record_reserve(&r, n_choices));
    ck_assert(trace_join(&r->trace, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", 5));
    r->begun_ns = 1000;
    r->ended_ns = 9000;
    r->unix_ns = 1700000000000009000;
    r->method = "POST";
    r->route = "/generate";
    r->status = 200;
    r->port = 8080;
    strcpy(r->host, "localhost");
    strcpy(r->id, "the-request");
    for (size_t i = 0; i < n_choices; i++) {
        r->operation = "chat";
        r->has_sampling = true;
        r->temperature = (double)0.8f;
        r->n_asked = n_choices;
        r->choices[i] = (struct trace_choice){.arrived_ns = 2000,
                                              .started_ns = 3000,
                                              .read_ns = 4000,
                                              .ended_ns = 8000,
                                              .decodes = true,
                                              .n_completion = 5,
                                              .finish = "stop"};
    }
    return r;
}

static struct trace_text begin(size_t room)
{
    struct trace_text text = {.out = buffer, .room = room};
    char name[] = "service.name", value[] = "a \"quoted\" name";
    const struct trace_attribute resource = {name, value};
    ck_assert(trace_encode_begin(&text, &resource, 1));
    return text;
}

static cJSON *parse(struct trace_text *text)
{
    trace_encode_end(text);
    ck_assert_uint_lt(text->n, text->room);
    cJSON *whole = cJSON_ParseWithLength(text->out, text->n);
    ck_assert_ptr_nonnull(whole);
    return whole;
}

static const cJSON *member(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

static const char *text_of(const cJSON *object, const char *name)
{
    const cJSON *item = member(object, name);
    ck_assert_msg(cJSON_IsString(item), "%s", name);
    return item->valuestring;
}

static const cJSON *spans_of(const cJSON *whole)
{
    const cJSON *of_resource = cJSON_GetArrayItem(member(whole, "resourceSpans"), 0);
    const cJSON *of_scope = cJSON_GetArrayItem(member(of_resource, "scopeSpans"), 0);
    return member(of_scope, "spans");
}

/* The value, as OTLP wraps it; NULL: there is no such attribute. */
static const cJSON *value_of(const cJSON *span, const char *key, const char *kind)
{
    const cJSON *attribute;
    cJSON_ArrayForEach(attribute, member(span, "attributes"))
    {
        if (strcmp(text_of(attribute, "key"), key) == 0)
            return member(member(attribute, "value"), kind);
    }
    return NULL;
}

START_TEST(an_answer_is_a_span_with_its_phases_below)
{
    struct trace_text text = begin(sizeof buffer);
    struct trace_record *r = make(1);
    ck_assert(trace_encode_add(&text, r, &drawn));
    ck_assert_uint_eq(text.n_spans, 4);
    ck_assert_uint_eq(trace_record_spans(r), 4);
    cJSON *whole = parse(&text);
    const cJSON *spans = spans_of(whole), *root = cJSON_GetArrayItem(spans, 0);
    ck_assert_str_eq(text_of(root, "traceId"), "0af7651916cd43dd8448eb211c80319c");
    ck_assert_str_eq(text_of(root, "spanId"), "0000000000000005");
    ck_assert_str_eq(text_of(root, "parentSpanId"), "b7ad6b7169203331");
    ck_assert_str_eq(text_of(root, "name"), "POST /generate");
    ck_assert_str_eq(text_of(root, "startTimeUnixNano"), "1700000000000001000");
    ck_assert_str_eq(text_of(root, "endTimeUnixNano"), "1700000000000009000");
    ck_assert_int_eq(member(root, "kind")->valueint, 2);
    ck_assert_int_eq(member(root, "flags")->valueint, 0x301);
    static const char *const names[] = {"queue", "prefill", "decode"};
    for (int i = 0; i < 3; i++) {
        const cJSON *span = cJSON_GetArrayItem(spans, i + 1);
        ck_assert_str_eq(text_of(span, "name"), names[i]);
        ck_assert_str_eq(text_of(span, "parentSpanId"), "0000000000000005");
        ck_assert_int_eq(member(span, "flags")->valueint, 0x101);
    }
    cJSON_Delete(whole);
    free(r);
}
END_TEST

START_TEST(several_answers_are_several_subtrees)
{
    struct trace_text text = begin(sizeof buffer);
    struct trace_record *r = make(3);
    ck_assert(trace_encode_add(&text, r, &drawn));
    ck_assert_uint_eq(text.n_spans, 1 + 3 * 4);
    ck_assert_uint_eq(trace_record_spans(r), text.n_spans);
    cJSON *whole = parse(&text);
    const cJSON *spans = spans_of(whole);
    for (int i = 0; i < 3; i++) {
        const cJSON *choice = cJSON_GetArrayItem(spans, 1 + 4 * i);
        ck_assert_str_eq(text_of(choice, "name"), "choice");
        ck_assert_str_eq(text_of(choice, "parentSpanId"), "0000000000000005");
        for (int phase = 1; phase <= 3; phase++)
            ck_assert_str_eq(text_of(cJSON_GetArrayItem(spans, 1 + 4 * i + phase), "parentSpanId"),
                             text_of(choice, "spanId"));
    }
    const cJSON *root = cJSON_GetArrayItem(spans, 0);
    const cJSON *reasons = value_of(root, "gen_ai.response.finish_reasons", "arrayValue");
    ck_assert_int_eq(cJSON_GetArraySize(member(reasons, "values")), 3);
    cJSON_Delete(whole);
    free(r);
}
END_TEST

START_TEST(numbers_have_the_protocols_form)
{
    struct trace_text text = begin(sizeof buffer);
    struct trace_record *r = make(1);
    r->n_prompt = (size_t)1 << 60;
    ck_assert(trace_encode_add(&text, r, &drawn));
    cJSON *whole = parse(&text);
    const cJSON *root = cJSON_GetArrayItem(spans_of(whole), 0);
    ck_assert_str_eq(value_of(root, "gen_ai.usage.input_tokens", "intValue")->valuestring,
                     "1152921504606846976");
    ck_assert_double_eq(value_of(root, "gen_ai.request.temperature", "doubleValue")->valuedouble,
                        0.8);
    ck_assert(cJSON_IsFalse(value_of(root, "gen_ai.request.stream", "boolValue")));
    ck_assert_ptr_null(value_of(root, "error.type", "stringValue"));
    ck_assert_ptr_null(member(root, "status"));
    cJSON_Delete(whole);
    free(r);
}
END_TEST

START_TEST(a_refused_request_is_one_span_with_its_error)
{
    struct trace_text text = begin(sizeof buffer);
    struct trace_record *r = make(0);
    r->status = 429;
    r->error = "queue_full";
    ck_assert(trace_encode_add(&text, r, &drawn));
    r->status = 500;
    r->error = NULL;
    r->trace.parent_id[0] = '\0';
    strcpy(r->reason, "a fault");
    ck_assert(trace_encode_add(&text, r, &drawn));
    ck_assert_uint_eq(text.n_spans, 2);
    cJSON *whole = parse(&text);
    const cJSON *full = cJSON_GetArrayItem(spans_of(whole), 0);
    const cJSON *fault = cJSON_GetArrayItem(spans_of(whole), 1);
    ck_assert_str_eq(value_of(full, "error.type", "stringValue")->valuestring, "queue_full");
    ck_assert_ptr_null(member(full, "status")); /* a client's fault is no error of the server's */
    ck_assert_str_eq(value_of(fault, "error.type", "stringValue")->valuestring, "500");
    ck_assert_int_eq(member(member(fault, "status"), "code")->valueint, 2);
    ck_assert_str_eq(text_of(member(fault, "status"), "message"), "a fault");
    ck_assert_ptr_null(member(fault, "parentSpanId"));
    cJSON_Delete(whole);
    free(r);
}
END_TEST

START_TEST(phases_that_never_came_have_no_span)
{
    struct trace_record *r = make(1);
    struct trace_choice *c = &r->choices[0];
    uint64_t begin_ns, end_ns;
    c->decodes = false;
    c->read_ns = 0;
    ck_assert(!trace_choice_phase(c, TRACE_DECODE, &begin_ns, &end_ns));
    ck_assert(trace_choice_phase(c, TRACE_PREFILL, &begin_ns, &end_ns));
    ck_assert_uint_eq(end_ns, 8000);
    c->started_ns = 0;
    ck_assert(!trace_choice_phase(c, TRACE_PREFILL, &begin_ns, &end_ns));
    ck_assert(trace_choice_phase(c, TRACE_QUEUE, &begin_ns, &end_ns));
    ck_assert_uint_eq(end_ns, 8000);
    ck_assert_uint_eq(trace_record_spans(r), 2);
    free(r);
}
END_TEST

START_TEST(bytes_from_outside_become_text)
{
    struct trace_text text = begin(sizeof buffer);
    struct trace_record *r = make(0);
    strcpy(r->path, "/\xff\x01\"\\\xe2\x80");
    ck_assert(trace_encode_add(&text, r, &drawn));
    cJSON *whole = parse(&text);
    const cJSON *root = cJSON_GetArrayItem(spans_of(whole), 0);
    ck_assert_str_eq(value_of(root, "url.path", "stringValue")->valuestring, "/\?\?\"\\\?\?");
    cJSON_Delete(whole);
    free(r);
}
END_TEST

START_TEST(what_has_no_room_leaves_no_trace_of_itself)
{
    struct trace_record *r = make(TRACE_CHOICES_MAX);
    struct trace_text text = begin(sizeof buffer);
    ck_assert(trace_encode_add(&text, r, &drawn));
    const size_t n_whole = text.n;
    ck_assert_uint_lt(n_whole, TRACE_TEXT_MAX);
    for (size_t room = 256; room < n_whole; room += 997) {
        text = begin(room);
        const size_t n = text.n;
        if (trace_encode_add(&text, r, &drawn))
            break;
        ck_assert_uint_eq(text.n, n);
        ck_assert_uint_eq(text.n_spans, 0);
        cJSON *whole = parse(&text);
        ck_assert_int_eq(cJSON_GetArraySize(spans_of(whole)), 0);
        cJSON_Delete(whole);
    }
    free(r);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("encode");
    TCase *tests = tcase_create("encode");
    tcase_add_test(tests, an_answer_is_a_span_with_its_phases_below);
    tcase_add_test(tests, several_answers_are_several_subtrees);
    tcase_add_test(tests, numbers_have_the_protocols_form);
    tcase_add_test(tests, a_refused_request_is_one_span_with_its_error);
    tcase_add_test(tests, phases_that_never_came_have_no_span);
    tcase_add_test(tests, bytes_from_outside_become_text);
    tcase_add_test(tests, what_has_no_room_leaves_no_trace_of_itself);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed != 0;
}
