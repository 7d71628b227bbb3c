/* encode.c - a record's spans, each an object of cJSON that is printed and gone. One thread. */
#include "server/trace/encode.h"

#include "base/utf8.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* OTLP's numbers. */
enum { KIND_INTERNAL = 1, KIND_SERVER = 2, STATUS_CODE_ERROR = 2 };
enum { FLAG_HAS_IS_REMOTE = 0x100, FLAG_IS_REMOTE = 0x200 };
enum { VALUE_MAX = 256 };

static const char ending[] = "]}]}]}";

/* --- attributes: lists of {"key": ..., "value": {...}} --- */

/* NULL wherever memory has run out: the object then lacks it, and is not sent. */
static cJSON *add_value(cJSON *list, const char *key)
{
    cJSON *attribute = cJSON_CreateObject();
    if (!cJSON_AddItemToArray(list, attribute)) {
        cJSON_Delete(attribute);
        return NULL;
    }
    cJSON_AddStringToObject(attribute, "key", key);
    return cJSON_AddObjectToObject(attribute, "value");
}

static void add_printable(cJSON *object, const char *name, const char *text)
{
    char shown[VALUE_MAX];
    utf8_printable(shown, sizeof shown, text, strlen(text));
    cJSON_AddStringToObject(object, name, shown);
}

static void add_text(cJSON *list, const char *key, const char *text)
{
    if (text != NULL && text[0] != '\0')
        add_printable(add_value(list, key), "stringValue", text);
}

/* 64 bits stand in quotes. */
static void add_int(cJSON *list, const char *key, uint64_t value)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%" PRIu64, value & INT64_MAX);
    cJSON_AddStringToObject(add_value(list, key), "intValue", digits);
}

static void add_double(cJSON *list, const char *key, double value)
{
    char digits[32];
    snprintf(digits, sizeof digits, "%.7g", value); /* 0.8, though a float held it */
    cJSON_AddNumberToObject(add_value(list, key), "doubleValue", strtod(digits, NULL));
}

static void add_bool(cJSON *list, const char *key, bool value)
{
    cJSON_AddBoolToObject(add_value(list, key), "boolValue", value);
}

static cJSON *add_array(cJSON *list, const char *key)
{
    return cJSON_AddArrayToObject(cJSON_AddObjectToObject(add_value(list, key), "arrayValue"),
                                  "values");
}

static void add_element(cJSON *array, const char *text)
{
    cJSON *value = cJSON_CreateObject();
    add_printable(value, "stringValue", text);
    if (!cJSON_AddItemToArray(array, value))
        cJSON_Delete(value);
}

/* --- spans --- */

struct span_place { /* where a span stands */
    char id[SPAN_ID_MAX + 1], parent[SPAN_ID_MAX + 1];
};

/* As in service_random (Steele et al., 2014). */
static void draw_id(char out[SPAN_ID_MAX + 1], uint64_t *random)
{
    uint64_t z = 0;
    while (z == 0) {
        z = (*random += 0x9e3779b97f4a7c15u);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        z ^= z >> 31;
    }
    snprintf(out, SPAN_ID_MAX + 1, "%016" PRIx64, z);
}

static void add_time(cJSON *span, const char *name, const struct trace_record *r, uint64_t ns)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%" PRIu64, r->unix_ns - (r->ended_ns - ns)); /* may wrap */
    cJSON_AddStringToObject(span, name, digits);
}

static cJSON *create_span(const struct trace_record *r, const struct span_place *place,
                          const char *name, int kind, uint64_t begin_ns, uint64_t end_ns)
{
    cJSON *span = cJSON_CreateObject();
    const bool is_remote = kind == KIND_SERVER && place->parent[0] != '\0';
    const unsigned flags =
        (r->trace.flags & 0xff) | FLAG_HAS_IS_REMOTE | (is_remote ? FLAG_IS_REMOTE : 0);
    cJSON_AddStringToObject(span, "traceId", r->trace.trace_id);
    cJSON_AddStringToObject(span, "spanId", place->id);
    if (place->parent[0] != '\0')
        cJSON_AddStringToObject(span, "parentSpanId", place->parent);
    cJSON_AddNumberToObject(span, "flags", flags);
    cJSON_AddStringToObject(span, "name", name);
    cJSON_AddNumberToObject(span, "kind", kind);
    add_time(span, "startTimeUnixNano", r, begin_ns);
    add_time(span, "endTimeUnixNano", r, end_ns);
    return span;
}

/* Prints and frees a span. */
static bool put_span(struct trace_text *text, cJSON *span)
{
    size_t room = text->room - text->n - sizeof ending;
    bool comma = text->n_spans > 0;
    int length = room > INT32_MAX ? INT32_MAX : (int)room;
    bool fits = span != NULL && length > 1 &&
                cJSON_PrintPreallocated(span, text->out + text->n + comma, length - comma, false);
    cJSON_Delete(span);
    if (!fits)
        return false;
    if (comma)
        text->out[text->n] = ',';
    text->n += comma + strlen(text->out + text->n + comma);
    text->n_spans++;
    return true;
}

/* --- what the request's span says --- */

static bool is_error(const struct trace_record *r)
{
    return r->failed || r->status >= 500;
}

static void add_http(cJSON *list, const struct trace_record *r)
{
    add_text(list, "http.request.method", strcmp(r->method, "other") == 0 ? "_OTHER" : r->method);
    add_text(list, "http.route", r->route);
    add_text(list, "url.path", r->path[0] != '\0' ? r->path : r->route);
    add_text(list, "url.scheme", "http");
    add_text(list, "network.protocol.version", r->old ? "1.0" : "1.1");
    add_text(list, "server.address", r->host);
    if (r->host[0] != '\0')
        add_int(list, "server.port", r->port != 0 ? r->port : 80);
    add_text(list, "client.address", r->client);
    if (r->status != 0)
        add_int(list, "http.response.status_code", r->status);
    if (r->id[0] != '\0')
        add_element(add_array(list, "http.response.header.x-request-id"), r->id);
    char code[16];
    snprintf(code, sizeof code, "%u", r->status);
    if (r->error != NULL || r->status >= 400)
        add_text(list, "error.type", r->error != NULL ? r->error : code);
}

static void add_sampling(cJSON *list, const struct trace_record *r)
{
    add_bool(list, "gen_ai.request.stream", r->stream);
    add_int(list, "gen_ai.request.max_tokens", r->max_tokens);
    add_double(list, "gen_ai.request.temperature", r->temperature);
    add_double(list, "gen_ai.request.top_p", r->top_p);
    if (r->top_k != 0)
        add_double(list, "gen_ai.request.top_k", r->top_k);
    if (r->frequency_penalty != 0)
        add_double(list, "gen_ai.request.frequency_penalty", r->frequency_penalty);
    if (r->presence_penalty != 0)
        add_double(list, "gen_ai.request.presence_penalty", r->presence_penalty);
    if (r->has_seed)
        add_int(list, "gen_ai.request.seed", r->seed);
    if (r->n_asked > 1)
        add_int(list, "gen_ai.request.choice.count", r->n_asked);
}

static void add_generation(cJSON *list, const struct trace_record *r)
{
    add_text(list, "gen_ai.operation.name", r->operation);
    add_text(list, "gen_ai.provider.name", "smallmind");
    add_text(list, "gen_ai.request.model", r->asked_model[0] != '\0' ? r->asked_model : r->model);
    add_text(list, "gen_ai.response.model", r->model);
    if (r->has_sampling)
        add_sampling(list, r);
    if (r->n_choices == 0) /* refused before it came to the queue */
        return;
    add_text(list, "gen_ai.response.id", r->id);
    add_int(list, "gen_ai.usage.input_tokens", r->n_prompt);
    add_int(list, "gen_ai.usage.output_tokens", r->n_completion);
    add_int(list, "gen_ai.usage.cache_read.input_tokens", r->n_cached);
    if (r->first_token_s > 0)
        add_double(list, "gen_ai.response.time_to_first_chunk", r->first_token_s);
    if (!r->has_sampling)
        return;
    cJSON *reasons = add_array(list, "gen_ai.response.finish_reasons");
    for (size_t i = 0; i < r->n_choices; i++)
        add_element(reasons, r->choices[i].finish);
}

static bool put_request(struct trace_text *text, const struct trace_record *r)
{
    struct span_place place = {.id = ""};
    char name[192];
    memcpy(place.id, r->trace.span_id, sizeof place.id);
    memcpy(place.parent, r->trace.parent_id, sizeof place.parent);
    const char *method = strcmp(r->method, "other") == 0 ? "HTTP" : r->method;
    snprintf(name, sizeof name, "%s%s%s", method, r->route != NULL ? " " : "",
             r->route != NULL ? r->route : "");
    uint64_t end_ns = r->ended_ns;
    for (size_t i = 0; i < r->n_choices; i++) /* those whose client has left end after it */
        if (r->choices[i].ended_ns > end_ns)
            end_ns = r->choices[i].ended_ns;
    cJSON *span = create_span(r, &place, name, KIND_SERVER, r->begun_ns, end_ns);
    cJSON *list = cJSON_AddArrayToObject(span, "attributes");
    add_http(list, r);
    if (r->operation != NULL)
        add_generation(list, r);
    if (is_error(r)) {
        cJSON *status = cJSON_AddObjectToObject(span, "status");
        cJSON_AddNumberToObject(status, "code", STATUS_CODE_ERROR);
        if (r->reason[0] != '\0')
            add_printable(status, "message", r->reason);
    }
    return put_span(text, span);
}

/* --- what stands below it --- */

static void add_phase(cJSON *list, const struct trace_choice *c, enum trace_phase phase)
{
    if (phase == TRACE_PREFILL) {
        add_int(list, "smallmind.prompt_tokens", c->n_prompt);
        add_int(list, "smallmind.cached_tokens", c->n_cached);
    } else if (phase == TRACE_DECODE) {
        add_int(list, "smallmind.completion_tokens", c->n_completion);
    }
}

static bool put_phases(struct trace_text *text, const struct trace_record *r,
                       const struct trace_choice *c, const char *parent, uint64_t *random)
{
    static const char *const names[TRACE_PHASES] = {"queue", "prefill", "decode"};
    for (enum trace_phase phase = TRACE_QUEUE; phase < TRACE_PHASES; phase++) {
        struct span_place place;
        uint64_t begin_ns, end_ns;
        if (!trace_choice_phase(c, phase, &begin_ns, &end_ns))
            continue;
        draw_id(place.id, random);
        memcpy(place.parent, parent, sizeof place.parent);
        cJSON *span = create_span(r, &place, names[phase], KIND_INTERNAL, begin_ns, end_ns);
        add_phase(cJSON_AddArrayToObject(span, "attributes"), c, phase);
        if (!put_span(text, span))
            return false;
    }
    return true;
}

static bool put_choice(struct trace_text *text, const struct trace_record *r, size_t i,
                       uint64_t *random)
{
    const struct trace_choice *c = &r->choices[i];
    struct span_place place;
    draw_id(place.id, random);
    memcpy(place.parent, r->trace.span_id, sizeof place.parent);
    cJSON *span = create_span(r, &place, "choice", KIND_INTERNAL, c->arrived_ns, c->ended_ns);
    cJSON *list = cJSON_AddArrayToObject(span, "attributes");
    add_int(list, "smallmind.choice", i);
    add_text(list, "smallmind.finish_reason", c->finish);
    add_int(list, "smallmind.completion_tokens", c->n_completion);
    return put_span(text, span) && put_phases(text, r, c, place.id, random);
}

bool trace_encode_add(struct trace_text *text, const struct trace_record *r, uint64_t *random)
{
    const size_t n = text->n, n_spans = text->n_spans;
    bool fits = put_request(text, r);
    for (size_t i = 0; fits && i < r->n_choices; i++)
        fits = r->n_choices > 1 ? put_choice(text, r, i, random)
                                : put_phases(text, r, &r->choices[i], r->trace.span_id, random);
    if (!fits) {
        text->n = n;
        text->n_spans = n_spans;
    }
    return fits;
}

/* --- the whole --- */

bool trace_encode_begin(struct trace_text *text, const struct trace_attribute *resource,
                        size_t n_resource)
{
    text->n = text->n_spans = 0;
    if (text->room < 2 * sizeof ending)
        return false;
    cJSON *whole = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(whole, "attributes");
    for (size_t i = 0; i < n_resource; i++)
        add_text(list, resource[i].name, resource[i].value);
    char *printed = cJSON_PrintUnformatted(whole);
    cJSON_Delete(whole);
    if (printed == NULL)
        return false;
    int n = snprintf(text->out, text->room - sizeof ending,
                     "{\"resourceSpans\":[{\"resource\":%s,\"scopeSpans\":[{\"scope\":{\"name\":"
                     "\"smallmind\",\"version\":\"%s\"},\"spans\":[",
                     printed, SMALLMIND_VERSION);
    cJSON_free(printed);
    if (n < 0 || (size_t)n >= text->room - sizeof ending)
        return false;
    text->n = (size_t)n;
    return true;
}

void trace_encode_end(struct trace_text *text)
{
    memcpy(text->out + text->n, ending, sizeof ending);
    text->n += sizeof ending - 1;
}
