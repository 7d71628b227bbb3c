/* test_profile.c - facts about profiles as text: the report of a known load as JSON, trace and
 * timeline, a request's own breakdown and its bounds, what a service may be asked for, and what of
 * a report a comparison reads or refuses. */
#include "base/clock.h"
#include "core/profile/known_load.h"
#include "core/tiny_model.h"

#include "api/native/parts.h"
#include "engine/engine.h"
#include "model/cost.h"
#include "report/profile.h"

#include <cjson/cJSON.h>
#include <math.h>

enum { TEXT_ROOM = 1 << 20, DECODES = 20, PREFILLS = 5 };

static struct model *model;
static struct recorder *recorder;
static struct record *record;
static struct record_cost costs[RECORD_KINDS * (LOAD_LAYERS + 1) * SCOPES];
static unsigned matrices[(LOAD_LAYERS + 1) * SCOPES];
static struct report *report;
static struct cpu cpu = {.name = "a \"processor\""};
static char text[TEXT_ROOM];

static void setup(void)
{
    struct gguf_builder *builder = tiny_model("llama", WEIGHT_Q8_0);
    size_t n;
    uint8_t *bytes = gguf_build(builder, &n);
    struct gguf *gguf;
    struct error err;
    ck_assert_msg(gguf_open(&gguf, bytes, n, &err) == STATUS_OK, "%s", err.text);
    ck_assert_msg(model_load(&model, gguf, 0, 1, &err) == STATUS_OK, "%s", err.text);
    gguf_close(gguf);
    free(bytes);
    gguf_builder_free(builder);
    recorder = load_recorder();
    recorder_start(recorder, &(struct record_options){.every = 1});
}

static void teardown(void)
{
    report_destroy(report);
    record_destroy(record);
    recorder_destroy(recorder);
    model_destroy(model);
    report = NULL;
    record = NULL;
}

/* A document over n_decode and n_prefill steps of the known load. */
static struct profile_document document(int n_decode, int n_prefill)
{
    struct error err;
    for (int i = 0; i < n_decode + n_prefill; i++)
        load_step(recorder, i < n_decode ? RECORD_DECODE : RECORD_PREFILL, false);
    recorder_stop(recorder);
    ck_assert_int_eq(recorder_take(recorder, &record, &err), STATUS_OK);
    cost_of_record(model, KV_F16, record, costs, matrices);
    struct report_input input = {
        .record = record,
        .costs = costs,
        .matrices = matrices,
        .limits = {.read_bytes_s = 25e9, .working_set = 1e6, .beside_work = true}};
    ck_assert_int_eq(report_create(&report, &input, &err), STATUS_OK);
    return (struct profile_document){
        .version = "1.2.3",
        .created = 1700000000,
        .machine = {&cpu, "ref", LOAD_THREADS, 1},
        .model = model,
        .kv_type = "f16",
        .workload = {.source = "live", .seconds = 2.5},
        .report = report,
        .records = &record,
        .n_records = 1,
        .limits_note = "some \"note\"",
    };
}

typedef void write_fn(const struct profile_document *doc, struct json_writer *w);

static cJSON *written(write_fn *write, const struct profile_document *doc)
{
    struct json_writer w = {.out = text, .room = TEXT_ROOM};
    struct error err = {.text = ""};
    write(doc, &w);
    ck_assert(!w.full);
    ck_assert_msg(json_check(text, w.n, 64, 1000000, &err) == STATUS_OK, "%s", err.text);
    cJSON *tree = cJSON_ParseWithLength(text, w.n);
    ck_assert_ptr_nonnull(tree);
    return tree;
}

static const cJSON *get(const cJSON *tree, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(tree, name);
    ck_assert_msg(item != NULL, "no %s", name);
    return item;
}

static double number(const cJSON *tree, const char *name)
{
    ck_assert_msg(cJSON_IsNumber(get(tree, name)), "%s is not a number", name);
    return get(tree, name)->valuedouble;
}

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-3 * fabs(b) + 1e-6;
}

/* --- the report --- */

START_TEST(json_tells_a_known_load)
{
    struct profile_document doc = document(DECODES, PREFILLS);
    cJSON *tree = written(profile_write_json, &doc);
    ck_assert_str_eq(get(get(tree, "machine"), "cpu")->valuestring, "a \"processor\"");
    ck_assert_str_eq(get(get(tree, "workload"), "source")->valuestring, "live");
    ck_assert(number(get(tree, "workload"), "seconds") == 2.5);
    ck_assert_ptr_null(cJSON_GetObjectItem(get(tree, "workload"), "sessions"));
    const cJSON *limits = get(tree, "limits");
    ck_assert(number(limits, "read_gb_s") == 25 && cJSON_IsTrue(get(limits, "beside_work")));
    ck_assert_str_eq(get(limits, "note")->valuestring, "some \"note\"");
    const cJSON *steps = get(tree, "steps");
    ck_assert_int_eq(cJSON_GetArraySize(steps), 2);
    const cJSON *decode = cJSON_GetArrayItem(steps, 0);
    ck_assert_str_eq(get(decode, "kind")->valuestring, "decode");
    ck_assert(number(decode, "seen") == DECODES && number(decode, "recorded") == DECODES);
    ck_assert(
        near(number(decode, "gb_s"), number(decode, "bytes") / number(decode, "total_ms") * 1e-6));
    double shares = 0, children = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, get(tree, "hot_paths")) shares += number(item, "share");
    ck_assert(near(shares, 1));
    cJSON_ArrayForEach(item, get(get(tree, "tree"), "children")) children +=
        number(item, "total_ms");
    ck_assert(near(children, number(get(tree, "tree"), "total_ms")));
    ck_assert_int_eq(cJSON_GetArraySize(get(tree, "layers")), LOAD_LAYERS);
    cJSON_Delete(tree);
}
END_TEST

START_TEST(a_report_of_nothing_is_whole)
{
    struct profile_document doc = document(0, 0);
    cJSON *tree = written(profile_write_json, &doc);
    ck_assert_int_eq(cJSON_GetArraySize(get(tree, "steps")), 0);
    ck_assert_int_eq(cJSON_GetArraySize(get(tree, "hot_paths")), 0);
    ck_assert_int_eq(cJSON_GetArraySize(get(get(tree, "tree"), "children")), 0);
    ck_assert(number(tree, "tokens_per_second") == 0 && number(tree, "ms_per_token") == 0);
    cJSON_Delete(tree);
    tree = written(profile_write_trace, &doc);
    ck_assert_int_eq(cJSON_GetArraySize(tree), 2 + LOAD_THREADS);
    cJSON_Delete(tree);
}
END_TEST

START_TEST(what_does_not_fit_says_so)
{
    struct profile_document doc = document(2, 1);
    struct json_writer w = {.out = text, .room = TEXT_ROOM};
    profile_write_json(&doc, &w);
    for (size_t room = 0; room < w.n; room += 97) {
        struct json_writer small = {.out = text, .room = room};
        profile_write_json(&doc, &small);
        ck_assert(small.full && small.n <= room);
    }
}
END_TEST

START_TEST(the_trace_has_every_recorded_phase)
{
    struct profile_document doc = document(3, 1);
    cJSON *tree = written(profile_write_trace, &doc), *event;
    int n_steps = 0, n_phases = 0;
    cJSON_ArrayForEach(event, tree)
    {
        if (strcmp(get(event, "name")->valuestring, "process_labels") == 0)
            ck_assert_str_eq(get(get(event, "args"), "labels")->valuestring,
                             "the first 4 of 4 steps");
        if (strcmp(get(event, "ph")->valuestring, "X") != 0)
            continue;
        ck_assert(number(event, "dur") >= 0 && number(event, "ts") >= 0);
        n_steps += strncmp(get(event, "name")->valuestring, "step: ", 6) == 0;
        n_phases += strcmp(get(event, "name")->valuestring, "QKV") == 0;
    }
    ck_assert_int_eq(n_steps, 4);
    ck_assert_int_eq(n_phases, 4 * LOAD_LAYERS * LOAD_THREADS);
    cJSON_Delete(tree);
}
END_TEST

/* --- a request's own --- */

static struct job_profile shares(double n_steps)
{
    struct job_profile profile = {{0}, {0}};
    struct job_share *share = &profile.answer;
    share->n_steps = (uint64_t)(2 * n_steps);
    share->n_recorded = (uint64_t)n_steps;
    share->wall_ns = 2e6 * n_steps;
    share->times.wall = 1e6 * n_steps;
    share->times.waiting = 1e4 * n_steps;
    share->times.total[SCOPE_ATTENTION] = 2e5 * n_steps;
    share->times.total[SCOPE_SAMPLE] = 1e5 * n_steps;
    share->times.matrix[WEIGHT_Q8_0] = 5e5 * n_steps;
    share->work = (struct record_work){.n_steps = n_steps,
                                       .n_rows = n_steps,
                                       .n_wanted = n_steps,
                                       .n_steps_wanted = n_steps,
                                       .n_positions = 10 * n_steps,
                                       .n_kv_blocks = n_steps,
                                       .n_positions_wanted = 10 * n_steps,
                                       .n_kv_blocks_wanted = n_steps,
                                       .n_sampled = n_steps,
                                       .n_sequences = n_steps};
    return profile;
}

/* The object after the name "profile". */
static cJSON *breakdown(struct job_profile *shares_of, const struct generation_profile *profile)
{
    struct job job = {.profile = shares_of};
    struct json_writer w = {.out = text, .room = TEXT_ROOM};
    json_raw(&w, "{\"x\":0");
    size_t before = w.n;
    native_put_profile(&w, &job, profile);
    ck_assert_uint_le(w.n - before, NATIVE_PROFILE_BOUND);
    json_raw(&w, "}");
    struct error err = {.text = ""};
    ck_assert_msg(json_check(text, w.n, 16, 10000, &err) == STATUS_OK, "%s", err.text);
    cJSON *tree = cJSON_ParseWithLength(text, w.n);
    ck_assert_ptr_nonnull(tree);
    return tree;
}

/* By the costs of a record. *streamed: weights, keys and values of products and attention. */
static double step_bytes(const struct record_work *work, double *streamed)
{
    double bytes = 0;
    *streamed = 0;
    struct error err;
    ck_assert_int_eq(recorder_take(recorder, &record, &err), STATUS_OK);
    record->totals.steps[RECORD_DECODE].work = *work;
    memset(costs, 0, sizeof costs);
    cost_of_record(model, KV_F16, record, costs, matrices);
    for (size_t i = 0; i < sizeof costs / sizeof costs[0]; i++) {
        bytes += record_cost_bytes(&costs[i]);
        if (matrices[i % (sizeof matrices / sizeof matrices[0])] != SCOPE_NONE ||
            i % SCOPES == SCOPE_ATTENTION)
            *streamed += costs[i].weight_bytes + costs[i].kv_bytes;
    }
    return bytes;
}

START_TEST(a_request_knows_what_it_moved_and_how_near_the_limit)
{
    struct job_profile of = shares(10);
    uint64_t now = clock_now_ns();
    struct generation_profile p = {.model = model,
                                   .kv_type = KV_F16,
                                   .limits = {.read_bytes_s = 1e9, .beside_work = true},
                                   .measuring_ns = 250000000,
                                   .tokenize_ns = 1500000,
                                   .write_ns = 7000000,
                                   .write_begin_ns = now};
    cJSON *tree = breakdown(&of, &p);
    const cJSON *profile = get(tree, "profile"), *decode = get(profile, "decode");
    ck_assert(number(profile, "tokenize_ms") == 1.5 && number(profile, "write_ms") >= 7);
    ck_assert(number(get(profile, "limits"), "read_gb_s") == 1);
    ck_assert(cJSON_IsTrue(get(get(profile, "limits"), "beside_work")));
    ck_assert(number(get(profile, "limits"), "measuring_ms") == 250);
    /* 20 steps of which 10 are recorded: the sums are scaled up, the rates are not. */
    double bytes = number(decode, "bytes"), streamed;
    ck_assert(bytes >= 20 * (double)model->bytes_per_token);
    ck_assert(near(bytes, 2 * step_bytes(&of.answer.work, &streamed)));
    ck_assert(fabs(number(decode, "gb_s") - bytes / 20e-3 * 1e-9) < 1e-3);
    ck_assert(streamed < bytes / 2);
    ck_assert(fabs(number(decode, "fraction") - streamed / 10e-3 / 1e9) < 1e-4);
    ck_assert_str_eq(get(decode, "bound")->valuestring, "memory");
    ck_assert(number(decode, "total_ms") == 20 && number(decode, "attention_ms") == 4);
    ck_assert(number(get(decode, "matmul_ms"), "Q8_0") == 10);
    const cJSON *prefill = get(profile, "prefill");
    ck_assert(number(prefill, "bytes") == 0 && cJSON_IsNull(get(prefill, "fraction")));
    ck_assert(cJSON_IsNull(get(prefill, "bound")));
    cJSON_Delete(tree);
    /* Where operations take longer they are what it is held against. */
    p.limits.read_bytes_s = 1e15;
    p.limits.ops_s[WEIGHT_F32] = p.limits.ops_s[SCOPE_MIXED] = p.limits.float_ops_s = 1e9;
    tree = breakdown(&of, &p);
    decode = get(get(tree, "profile"), "decode");
    ck_assert_str_eq(get(decode, "bound")->valuestring, "compute");
    ck_assert(number(decode, "fraction") > 0);
    cJSON_Delete(tree);
}
END_TEST

START_TEST(without_limits_there_is_no_fraction)
{
    struct job_profile of = shares(10);
    struct generation_profile p = {.model = model, .write_begin_ns = clock_now_ns()};
    cJSON *tree = breakdown(&of, &p);
    ck_assert(cJSON_IsNull(get(get(tree, "profile"), "limits")));
    ck_assert(cJSON_IsNull(get(get(get(tree, "profile"), "decode"), "fraction")));
    ck_assert(number(get(get(tree, "profile"), "decode"), "gb_s") > 0);
    cJSON_Delete(tree);
}
END_TEST

START_TEST(the_longest_breakdown_fits_its_bound)
{
    struct job_profile of = shares(1e12);
    for (size_t type = 0; type < SCOPE_NONE; type++)
        of.answer.times.matrix[type] = 1e17;
    of.prompt = of.answer;
    struct generation_profile p = {.model = model,
                                   .limits = {.read_bytes_s = 1e15},
                                   .measuring_ns = UINT64_MAX / 4,
                                   .tokenize_ns = UINT64_MAX / 4,
                                   .write_ns = UINT64_MAX / 4};
    cJSON_Delete(breakdown(&of, &p));
}
END_TEST

/* --- what is asked for --- */

START_TEST(seconds_are_read_or_refused_by_name)
{
    static const struct {
        const char *value;
        double seconds; /* 0: refused */
    } rows[] = {{"1", 1},      {"60", 60}, {"0.1", 0.1}, {"2.25", 2.25}, {"007", 7},
                {"60.0", 60},  {"0", 0},   {"0.09", 0},  {"60.1", 0},    {"61", 0},
                {"", 0},       {NULL, 0},  {"-1", 0},    {"+1", 0},      {" 1", 0},
                {"1 ", 0},     {"1e1", 0}, {"inf", 0},   {"nan", 0},     {"0x10", 0},
                {".5", 0},     {"1.", 0},  {"1,5", 0},   {"1.2.3", 0},   {"1.0000000001", 0},
                {"9999999", 0}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct profile_request request = {0};
        struct error err = {.text = ""};
        enum status status = profile_request_take(&request, "seconds", rows[i].value, &err);
        ck_assert_msg((status == STATUS_OK) == (rows[i].seconds > 0), "'%s'", rows[i].value);
        ck_assert(request.seconds == rows[i].seconds);
        if (status != STATUS_OK)
            ck_assert_str_eq(err.param, "seconds");
    }
    struct profile_request request = {0};
    struct error err;
    ck_assert_int_eq(profile_request_take(&request, "second", "1", &err), STATUS_INVALID);
    ck_assert_str_eq(err.param, "second");
    ck_assert_int_eq(profile_request_take(&request, "seconds", "1", &err), STATUS_OK);
    ck_assert_int_eq(profile_request_take(&request, "seconds", "2", &err), STATUS_INVALID);
    ck_assert(request.seconds == 1);
}
END_TEST

START_TEST(accept_names_the_form)
{
    static const struct {
        const char *accept;
        enum profile_form form;
    } rows[] = {{NULL, PROFILE_JSON},
                {"*/*", PROFILE_JSON},
                {"text/html", PROFILE_HTML},
                {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", PROFILE_HTML},
                {"application/*", PROFILE_JSON},
                {"application/vnd.chrome.trace+json", PROFILE_TRACE},
                {"application/vnd.chrome.trace+json;q=0.5, text/html;q=0.4", PROFILE_TRACE},
                {"image/png", PROFILE_JSON},
                {"application/json, text/html", PROFILE_JSON}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ck_assert_msg(profile_form_of(rows[i].accept) == rows[i].form, "%s", rows[i].accept);
    ck_assert_str_eq(profile_form_type(PROFILE_JSON), "application/json");
}
END_TEST

/* --- back --- */

#define SESSION                                                                                    \
    "{\"wall_ms\":60,\"prompt_ms\":10,\"decode_ms\":49,\"prompt_tokens\":20,\"tokens\":50,"        \
    "\"scopes_per_token_ms\":{\"qkv\":0.5,\"brandnew\":0.25}}"
#define GROUP                                                                                      \
    "{\"wall_ms\":60,\"prompt_ms\":10,\"decode_ms\":49,\"prompt_tokens\":10,\"tokens\":50,"        \
    "\"scopes_per_token_ms\":{}}"
static const char whole_report[] =
    "{\"format\":1,\"version\":\"1.2\",\"machine\":{\"cpu\":\"c\\u001b[2Jd\",\"kernels\":\"ref\","
    "\"threads\":2,\"workers\":1},\"model\":{\"name\":\"m\",\"architecture\":\"llama\",\"weights\":"
    "\"Q8_0\",\"kv_type\":\"f16\",\"parameters\":1000,\"context\":128},\"workload\":{\"source\":"
    "\"profile\",\"tokens\":50,\"prompt\":20,\"batch\":1,\"temperature\":0},\"limits\":{\"read_gb_"
    "s\":"
    "25},\"sessions\":[" SESSION "," SESSION "," GROUP "]}";

/* The report with one part replaced. */
static enum status read_changed(struct profile_summary *out, const char *from, const char *to,
                                struct error *err)
{
    const char *at = strstr(whole_report, from);
    ck_assert_msg(at != NULL, "%s", from);
    int n = snprintf(text, TEXT_ROOM, "%.*s%s%s", (int)(at - whole_report), whole_report, to,
                     at + strlen(from));
    return profile_read(out, text, (size_t)n, err);
}

START_TEST(a_report_is_read_back)
{
    struct profile_summary s;
    struct error err = {.text = ""};
    ck_assert_msg(read_changed(&s, "1.2", "1.2.3", &err) == STATUS_OK, "%s", err.text);
    ck_assert_str_eq(s.version, "1.2.3");
    ck_assert_str_eq(s.cpu, "c?[2Jd");
    ck_assert(s.n_threads == 2 && s.parameters == 1000 && s.read_gb_s == 25);
    ck_assert_uint_eq(s.n_sessions, 2); /* the last one is of fewer requests */
    ck_assert(s.sessions_seen[1].wall == 60 && s.sessions_seen[1].prompt == 0.5);
    ck_assert(near(s.sessions_seen[1].decode, 1)); /* 49 tokens after the first */
    ck_assert(s.sessions_seen[0].scopes[SCOPE_QKV] == 0.5);
    ck_assert(s.sessions_seen[0].scopes[SCOPES] == 0.25);
    ck_assert_str_eq(profile_scope_name(&s, SCOPE_QKV), "qkv");
    ck_assert_str_eq(profile_scope_name(&s, SCOPES), "brandnew");
    ck_assert_ptr_null(profile_scope_name(&s, SCOPES + 1));
    profile_summary_free(&s);
}
END_TEST

START_TEST(what_cannot_be_compared_is_refused_by_its_place)
{
    static const struct {
        const char *from, *to, *word;
    } rows[] = {
        {"\"format\":1", "\"format\":2", "format 2"},
        {"\"format\":1,", "", "format is missing"},
        {"\"format\":1", "\"format\":1,\"format\":1", "format appears more than once"},
        {"\"version\":\"1.2\"", "\"version\":1", "version is not a text"},
        {"\"threads\":2", "\"threads\":0", "machine.threads must be above 0"},
        {"\"threads\":2", "\"threads\":0.5", "machine.threads must be 1 or more"},
        {"\"weights\":", "\"weight\":", "model.weights is missing"},
        {"\"source\":\"profile\"", "\"source\":\"live\"", "a live report has no sessions"},
        {"\"temperature\":0", "\"temperature\":-1", "workload.temperature"},
        {SESSION "," SESSION, SESSION, "--sessions 2"},
        {"\"batch\":1,", "\"batch\":4,", ""}, /* two groups are enough */
        {SESSION, "null", "sessions[0] is not an object"},
        {SESSION "," SESSION, SESSION ",\"x\"", "sessions[1] is not an object"},
        {SESSION "," SESSION, SESSION "," GROUP, "sessions[1].prompt_tokens"},
        {"\"wall_ms\":60,", "", "sessions[0].wall_ms is missing"},
        {"\"wall_ms\":60", "\"wall_ms\":0", "sessions[0].wall_ms must be above 0"},
        {"\"wall_ms\":60", "\"wall_ms\":-60", "sessions[0].wall_ms must be"},
        {"\"wall_ms\":60", "\"wall_ms\":1e999", "sessions[0].wall_ms must be"},
        {"\"wall_ms\":60", "\"wall_ms\":\"60\"", "sessions[0].wall_ms is not a number"},
        {"\"wall_ms\":60", "\"wall_ms\":60,\"wall_ms\":6",
         "sessions[0].wall_ms appears more than once"},
        {"\"decode_ms\":49", "\"decode_ms\":0", "sessions[0].decode_ms"},
        {"\"prompt_ms\":10", "\"prompt_ms\":0", "sessions[0].prompt_ms"},
        {"\"tokens\":50,\"scopes", "\"tokens\":0,\"scopes", "sessions[0].tokens"},
        {"\"qkv\":0.5", "\"qkv\":null", "sessions[0].scopes_per_token_ms.qkv is not a number"},
        {"\"qkv\":0.5", "\"qkv\":1,\"qkv\":2", "scopes_per_token_ms.qkv appears more than once"},
        {"\"qkv\":0.5", "\"q|kv\":0.5", "scopes_per_token_ms.q|kv is not a scope's name"},
        {"{\"qkv\":0.5,\"brandnew\":0.25}", "[]",
         "sessions[0].scopes_per_token_ms is not an object"},
        {"\"tokens\":50,\"prompt\":20", "\"tokens\":1,\"prompt\":20",
         ""}, /* none after the first */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct profile_summary s = {.model = ""};
        struct error err = {.text = ""};
        enum status status = read_changed(&s, rows[i].from, rows[i].to, &err);
        ck_assert_msg((status == STATUS_OK) == (rows[i].word[0] == '\0'), "%s: %s", rows[i].to,
                      err.text);
        ck_assert_msg(strstr(err.text, rows[i].word) != NULL, "%s: %s", rows[i].word, err.text);
        profile_summary_free(&s);
    }
}
END_TEST

START_TEST(a_batch_of_one_group_says_what_a_session_is)
{
    struct profile_summary s;
    struct error err;
    const char *from = "\"batch\":1,", *at = strstr(whole_report, from);
    int n = snprintf(text, TEXT_ROOM, "%.*s\"batch\":4,%s", (int)(at - whole_report), whole_report,
                     at + strlen(from));
    char *sessions = strstr(text, SESSION);
    n = (int)(sessions - text) + sprintf(sessions, SESSION "]}");
    ck_assert_int_eq(profile_read(&s, text, (size_t)n, &err), STATUS_FORMAT);
    ck_assert_ptr_nonnull(strstr(err.text, "group of 4 requests"));
    ck_assert_ptr_nonnull(strstr(err.text, "--sessions 8"));
}
END_TEST

START_TEST(more_sessions_than_can_be_compared_are_refused)
{
    struct profile_summary s;
    struct error err;
    const char *end = strstr(whole_report, SESSION);
    size_t n = (size_t)(end - whole_report), room = n + (PROFILE_SESSIONS_MAX + 2) * sizeof "{},";
    char *long_text = malloc(room);
    ck_assert_ptr_nonnull(long_text);
    memcpy(long_text, whole_report, n);
    for (int i = 0; i <= PROFILE_SESSIONS_MAX; i++)
        n += (size_t)sprintf(long_text + n, "%s{}", i > 0 ? "," : "");
    n += (size_t)sprintf(long_text + n, "]}");
    ck_assert_int_eq(profile_read(&s, long_text, n, &err), STATUS_TOO_LARGE);
    ck_assert_ptr_nonnull(strstr(err.text, "10001 sessions"));
    free(long_text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("profile");
    TCase *facts = tcase_create("facts");
    tcase_add_checked_fixture(facts, setup, teardown);
    tcase_add_test(facts, json_tells_a_known_load);
    tcase_add_test(facts, a_report_of_nothing_is_whole);
    tcase_add_test(facts, what_does_not_fit_says_so);
    tcase_add_test(facts, the_trace_has_every_recorded_phase);
    tcase_add_test(facts, a_request_knows_what_it_moved_and_how_near_the_limit);
    tcase_add_test(facts, without_limits_there_is_no_fraction);
    tcase_add_test(facts, the_longest_breakdown_fits_its_bound);
    tcase_add_test(facts, seconds_are_read_or_refused_by_name);
    tcase_add_test(facts, accept_names_the_form);
    tcase_add_test(facts, a_report_is_read_back);
    tcase_add_test(facts, what_cannot_be_compared_is_refused_by_its_place);
    tcase_add_test(facts, a_batch_of_one_group_says_what_a_session_is);
    tcase_add_test(facts, more_sessions_than_can_be_compared_are_refused);
    suite_add_tcase(suite, facts);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
