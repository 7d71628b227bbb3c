/* test_answers.c - facts about answers: errors, the JSON form, server-sent events cut in every
 * possible way, the plain form; and that all of them tell the same text. */
#include "api/native/native.h"

#include "base/utf8.h"
#include "mini_vocab.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>

static struct tokenizer *tokenizer;
static struct generation ctx; /* what an answer says besides its job */

/* The dialect's writers on one job, whose mark the caller keeps. */
static size_t whole_bound(struct job *job)
{
    struct generation g = ctx;
    struct choice choice = {.job = job};
    g.choices = &choice;
    g.n_choices = 1;
    return native_dialect.whole_bound(&g);
}

static size_t whole(struct job *job, char *to, size_t room)
{
    struct generation g = ctx;
    struct choice choice = {.job = job};
    g.choices = &choice;
    g.n_choices = 1;
    return native_dialect.whole(&g, to, room);
}

static size_t write_event(const struct job *job, struct generation_mark *mark, char *to,
                          size_t room, enum answer_form form, bool last)
{
    struct generation g = ctx;
    union {
        const struct job *in;
        struct job *out;
    } of = {.in = job};
    struct choice choice = {.job = of.out, .sent = *mark};
    g.choices = &choice;
    g.n_choices = 1;
    g.form = form;
    size_t n = (last ? native_dialect.last : native_dialect.event)(&g, to, room);
    *mark = choice.sent;
    return n;
}

static size_t event(const struct job *job, struct generation_mark *mark, char *to, size_t room)
{
    return write_event(job, mark, to, room, ANSWER_SSE, false);
}

static size_t last_event(const struct job *job, struct generation_mark *mark, char *to, size_t room)
{
    return write_event(job, mark, to, room, ANSWER_SSE, true);
}

static size_t text_event(const struct job *job, struct generation_mark *mark, char *to, size_t room)
{
    return write_event(job, mark, to, room, ANSWER_TEXT, false);
}

static size_t event_min(int n_logprobs)
{
    struct generation g = ctx;
    struct job job = {.n_logprobs = n_logprobs};
    struct choice choice = {.job = &job};
    g.choices = &choice;
    g.n_choices = 1;
    g.form = ANSWER_SSE;
    return native_dialect.event_min(&g);
}

static void setup(void)
{
    tokenizer = mini_tokenizer(true);
    ctx = (struct generation){
        .id = "req-1", .model = "tiny \"one\"", .created = 1700000000, .tokenizer = tokenizer};
}

static void teardown(void)
{
    tokenizer_destroy(tokenizer);
}

static const cJSON *get(const cJSON *tree, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(tree, name);
    ck_assert_msg(item != NULL, "no %s", name);
    return item;
}

static cJSON *parse(const char *text, size_t n)
{
    struct error err = {.text = ""};
    ck_assert_msg(json_check(text, n, 16, 1000000, &err) == STATUS_OK, "%s: %.*s", err.text, (int)n,
                  text);
    cJSON *tree = cJSON_ParseWithLength(text, n);
    ck_assert_ptr_nonnull(tree);
    return tree;
}

START_TEST(each_status_is_one_kind_of_http)
{
    static const struct {
        enum status status;
        unsigned http;
        const char *code, *type;
    } rows[] = {
        {STATUS_FORMAT, 400, "invalid_json", "invalid_request_error"},
        {STATUS_INVALID, 400, "invalid_value", "invalid_request_error"},
        {STATUS_UNSUPPORTED, 400, "unsupported_value", "invalid_request_error"},
        {STATUS_CONTEXT, 400, "context_length_exceeded", "invalid_request_error"},
        {STATUS_TOO_LARGE, 413, "body_too_large", "invalid_request_error"},
        {STATUS_FULL, 429, "queue_full", "overloaded_error"},
        {STATUS_TOO_LATE, 429, "deadline_unmeetable", "overloaded_error"},
        {STATUS_NO_MEMORY, 503, "out_of_memory", "overloaded_error"},
        {STATUS_STOPPING, 503, "draining", "overloaded_error"},
        {STATUS_CANCELLED, 503, "draining", "overloaded_error"},
        {STATUS_INTERNAL, 500, "internal_error", "server_error"},
        {STATUS_IO, 500, "internal_error", "server_error"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct api_error found = errors_of_status(rows[i].status);
        ck_assert_uint_eq(found.http, rows[i].http);
        ck_assert_str_eq(found.code, rows[i].code);
        ck_assert_str_eq(found.type, rows[i].type);
    }
}
END_TEST

START_TEST(each_refusal_has_a_code_and_a_type)
{
    for (int i = 0; i < REFUSAL_COUNT; i++) {
        struct api_error what = errors_of_refusal((enum refusal)i);
        ck_assert_uint_ge(what.http, 400);
        ck_assert_uint_le(what.http, 505);
        ck_assert_ptr_nonnull(what.code);
        ck_assert_ptr_nonnull(what.type);
    }
    ck_assert_uint_eq(errors_of_refusal(REFUSAL_COUNT).http, 500);
}
END_TEST

START_TEST(an_error_is_one_object)
{
    char out[1024];
    struct api_error what = {400, "invalid_value", "invalid_request_error"};
    size_t n = native_dialect.error(&what, "top_p is \"2\"\n", "top_p", out, sizeof out);
    ck_assert_str_eq(out,
                     "{\"error\":{\"code\":\"invalid_value\",\"type\":\"invalid_request_error\","
                     "\"message\":\"top_p is \\\"2\\\"\\n\",\"param\":\"top_p\"}}\n");
    ck_assert_uint_eq(n, strlen(out));
    native_dialect.error(&what, "x", "", out, sizeof out);
    ck_assert_ptr_nonnull(strstr(out, "\"param\":null"));
    native_dialect.error(&what, "x", NULL, out, sizeof out);
    ck_assert_ptr_nonnull(strstr(out, "\"param\":null"));
}
END_TEST

START_TEST(an_error_that_does_not_fit_is_cut_and_still_json)
{
    char message[4000], out[2048];
    struct api_error what = errors_of_refusal(REFUSAL_HEADERS);
    for (size_t i = 0; i + 3 < sizeof message; i += 3)
        memcpy(message + i, "\xe2\x82\xac", 3);
    message[3996] = '\0';
    char param[64];
    memset(param, '\1', sizeof param - 1);
    param[63] = '\0';
    for (size_t room = 1024; room <= sizeof out; room += 7) {
        memset(out, '#', sizeof out);
        size_t n = native_dialect.error(&what, message, param, out, room);
        ck_assert_uint_gt(n, 0);
        ck_assert_uint_lt(n, room);
        ck_assert_int_eq(out[n], '\0');
        ck_assert_ptr_null(strstr(out, "\xef\xbf\xbd")); /* cut between characters */
        cJSON_Delete(parse(out, n));
    }
    ck_assert_uint_eq(native_dialect.error(&what, message, param, out, 20), 0);
    ck_assert_str_eq(out, "");
    ck_assert_uint_eq(native_dialect.error(&what, message, param, out, 0), 0);
}
END_TEST

/* Tokens that are hard to tell: parts of a character, bytes that never become one, quotes, control
 * characters, control tokens, long pieces. 0xe2 0x82 0xac is a euro sign. */
enum { N_HARD = 14 };
static const int32_t hard[N_HARD] = {
    MINI_SPACE,       MINI_BYTE + 0xe2, MINI_BYTE + 0x82, MINI_BYTE + 0xac, MINI_QUOTES,
    MINI_BYTE + 0xff, MINI_BYTE + 0xf0, MINI_BYTE + 0x9f, MINI_ABC,         MINI_LONG,
    MINI_UNK,         MINI_BYTE + 1,    MINI_EURO,        MINI_BYTE + 0xe2};

static struct job *hard_job(int n_logprobs, const char *stop, size_t n_tokens)
{
    struct job *job = mini_job(tokenizer, N_HARD, n_logprobs, stop);
    bool stopped = false;
    for (size_t i = 0; i < n_tokens && !stopped; i++)
        stopped = mini_step(job, tokenizer, hard[i]);
    mini_finish(job, stopped, stopped ? FINISH_STOP : FINISH_LENGTH);
    return job;
}

START_TEST(a_whole_answer_says_everything)
{
    struct job *job = mini_job(tokenizer, 8, -1, NULL);
    mini_step(job, tokenizer, MINI_SPACE);
    mini_step(job, tokenizer, MINI_ABC);
    mini_finish(job, false, FINISH_STOP);
    job->n_completion = 3; /* with the end of sequence */
    job->n_cached = 2;
    job->sampling.seed = 42;
    job->arrived_ns = 1000000000;
    job->started_ns = job->arrived_ns + 1234567;
    job->first_token_ns = job->started_ns + 10000000;
    job->last_token_ns = job->first_token_ns + 4000000;
    char out[2048];
    size_t n = whole(job, out, sizeof out - 1);
    out[n] = '\0';
    ck_assert_str_eq(
        out,
        "{\"id\":\"req-1\",\"model\":\"tiny \\\"one\\\"\",\"created\":1700000000,\"text\":\" abc\","
        "\"tokens\":[259,264],\"finish_reason\":\"stop\",\"seed\":42,"
        "\"usage\":{\"prompt_tokens\":3,\"cached_tokens\":2,\"completion_tokens\":3,"
        "\"total_tokens\":6},\"timings\":{\"queue_ms\":1.235,\"prefill_ms\":10.000,"
        "\"decode_ms\":4.000,\"first_token_ms\":11.235,\"tokens_per_second\":500.000}}\n");
    ck_assert_uint_le(n, whole_bound(job));
    job_destroy(job);
}
END_TEST

START_TEST(a_seed_beyond_doubles_is_a_string)
{
    static const struct {
        uint64_t seed;
        const char *text;
    } rows[] = {{0, "\"seed\":0,"},
                {UINT64_C(1) << 53, "\"seed\":9007199254740992,"},
                {(UINT64_C(1) << 53) + 1, "\"seed\":\"9007199254740993\","},
                {UINT64_MAX, "\"seed\":\"18446744073709551615\","}};
    for (size_t i = 0; i < 4; i++) {
        struct job *job = hard_job(-1, NULL, 3);
        job->sampling.seed = rows[i].seed;
        char out[2048];
        size_t n = whole(job, out, sizeof out - 1);
        cJSON_Delete(parse(out, n));
        out[n] = '\0';
        ck_assert_ptr_nonnull(strstr(out, rows[i].text));
        job_destroy(job);
    }
}
END_TEST

START_TEST(times_are_zero_where_nothing_happened)
{
    struct job *job = mini_job(tokenizer, 4, -1, NULL);
    struct generation_times times;
    job->arrived_ns = 5000000;
    job->deadline_ns = 8000000; /* passed while it waited */
    mini_finish(job, false, FINISH_DEADLINE);
    generation_times(job, &times);
    ck_assert_double_eq(times.queue, 3);
    ck_assert_double_eq(times.prefill, 0);
    ck_assert_double_eq(times.first_token, 0);
    ck_assert_double_eq(times.tokens_per_second, 0);
    job->started_ns = 6000000; /* passed during prefill */
    generation_times(job, &times);
    ck_assert_double_eq(times.queue, 1);
    ck_assert_double_eq(times.prefill, 0);
    job->first_token_ns = job->last_token_ns = 7000000; /* one token has no rate */
    job->n_completion = 1;
    generation_times(job, &times);
    ck_assert_double_eq(times.prefill, 1);
    ck_assert_double_eq(times.decode, 0);
    ck_assert_double_eq(times.first_token, 2);
    ck_assert_double_eq(times.tokens_per_second, 0);
    job_destroy(job);
}
END_TEST

START_TEST(the_bound_of_an_answer_holds)
{
    for (int n_logprobs = -1; n_logprobs <= JOB_LOGPROBS_MAX; n_logprobs += 7) {
        for (int32_t id = 0; id < MINI_VOCAB; id += id < MINI_PIECE ? 7 : 1) {
            struct job *job = mini_job(tokenizer, 50, n_logprobs, NULL);
            for (int i = 0; i < 50; i++)
                mini_step(job, tokenizer, id);
            mini_finish(job, false, FINISH_LENGTH);
            job->sampling.seed = UINT64_MAX;
            size_t bound = whole_bound(job);
            char *out = malloc(bound);
            size_t n = whole(job, out, bound);
            ck_assert_uint_gt(n, 0);
            if (id % 5 == 0)
                cJSON_Delete(parse(out, n));
            free(out);
            job_destroy(job);
        }
    }
}
END_TEST

static void check_logprob(const cJSON *entry, int32_t id, float logprob)
{
    struct gguf_string piece = tokenizer_piece(tokenizer, id, false);
    ck_assert_int_eq(get(entry, "id")->valueint, id);
    ck_assert((float)get(entry, "logprob")->valuedouble == logprob);
    const cJSON *bytes = get(entry, "bytes"), *byte;
    ck_assert_int_eq(cJSON_GetArraySize(bytes), (int)piece.n);
    size_t i = 0;
    cJSON_ArrayForEach(byte, bytes)
        ck_assert_int_eq(byte->valueint, (unsigned char)piece.bytes[i++]);
    if (utf8_check(piece.bytes, piece.n) < piece.n)
        ck_assert_str_eq(get(entry, "text")->valuestring, "\xef\xbf\xbd");
    else if (memchr(piece.bytes, '\0', piece.n) == NULL) {
        ck_assert_uint_eq(strlen(get(entry, "text")->valuestring), piece.n);
        ck_assert_mem_eq(get(entry, "text")->valuestring, piece.bytes, piece.n);
    }
}

/* logprobs of tokens [begin, end), and that there are no others. */
static void check_logprobs(const cJSON *list, const struct job *job, size_t begin, size_t end)
{
    ck_assert_int_eq(cJSON_GetArraySize(list), (int)(end - begin));
    const cJSON *entry, *top;
    size_t i = begin;
    cJSON_ArrayForEach(entry, list)
    {
        const struct logprob_record *record = &job->logprobs[i];
        check_logprob(entry, job->tokens[i].id, record->logprob);
        ck_assert_int_eq(cJSON_GetArraySize(get(entry, "top")), job->n_logprobs);
        size_t k = 0;
        cJSON_ArrayForEach(top, get(entry, "top"))
        {
            check_logprob(top, record->top[k].id, record->top[k].logprob);
            k++;
        }
        i++;
    }
}

START_TEST(logprobs_come_one_for_each_token)
{
    static char out[200000];
    for (int n_logprobs = 0; n_logprobs <= JOB_LOGPROBS_MAX; n_logprobs += 5) {
        struct job *job = hard_job(n_logprobs, NULL, N_HARD);
        cJSON *tree = parse(out, whole(job, out, sizeof out));
        check_logprobs(get(tree, "logprobs"), job, 0, N_HARD);
        cJSON_Delete(tree);
        job_destroy(job);
    }
    struct job *job = hard_job(-1, NULL, N_HARD);
    size_t n = whole(job, out, sizeof out - 1);
    out[n] = '\0';
    ck_assert_ptr_null(strstr(out, "logprobs"));
    job_destroy(job);
}
END_TEST

START_TEST(a_logprob_that_is_no_number_is_null)
{
    struct job *job = hard_job(0, NULL, 2);
    job->logprobs[1].logprob = -INFINITY;
    char out[4096];
    size_t n = whole(job, out, sizeof out);
    cJSON_Delete(parse(out, n));
    out[n] = '\0';
    ck_assert_ptr_nonnull(strstr(out, "\"logprob\":null"));
    job_destroy(job);
}
END_TEST

/* What a client collects from a stream. */
struct collected {
    char text[8192];
    size_t n_text;
    int32_t tokens[64];
    size_t n_tokens, n_events;
    bool last, done, failed;
};

/* Takes one frame, `data: ...` up to its blank line. */
static void take_frame(struct collected *c, const struct job *job, const char *frame, size_t n)
{
    ck_assert(!c->done && !c->failed);
    ck_assert_uint_gt(n, 8);
    ck_assert_mem_eq(frame, "data: ", 6);
    ck_assert_ptr_null(memchr(frame, '\n', n - 2));
    ck_assert_ptr_null(memchr(frame, '\r', n));
    if (n == 14 && memcmp(frame, "data: [DONE]\n\n", n) == 0) {
        ck_assert(c->last);
        c->done = true;
        return;
    }
    ck_assert(!c->last);
    cJSON *tree = parse(frame + 6, n - 8);
    c->n_events++;
    if (cJSON_HasObjectItem(tree, "error")) {
        ck_assert_ptr_nonnull(get(get(tree, "error"), "message"));
        c->failed = true;
        cJSON_Delete(tree);
        return;
    }
    const char *text = get(tree, "text")->valuestring;
    memcpy(c->text + c->n_text, text, strlen(text));
    c->n_text += strlen(text);
    size_t begin = c->n_tokens;
    const cJSON *id;
    cJSON_ArrayForEach(id, get(tree, "tokens")) c->tokens[c->n_tokens++] = id->valueint;
    if (job->n_logprobs >= 0)
        check_logprobs(get(tree, "logprobs"), job, begin, c->n_tokens);
    else
        ck_assert(!cJSON_HasObjectItem(tree, "logprobs"));
    if (cJSON_HasObjectItem(tree, "finish_reason")) {
        static const char *const names[] = {"seed", "usage", "timings"};
        for (size_t i = 0; i < 3; i++)
            get(tree, names[i]);
        c->last = true;
    } else {
        ck_assert_uint_gt(c->n_tokens, begin); /* no empty event */
    }
    cJSON_Delete(tree);
}

static void take(struct collected *c, const struct job *job, const char *bytes, size_t n)
{
    while (n > 0) {
        const char *end = memmem(bytes, n, "\n\n", 2);
        ck_assert_ptr_nonnull(end); /* whole events only */
        size_t n_frame = (size_t)(end - bytes) + 2;
        take_frame(c, job, bytes, n_frame);
        bytes += n_frame;
        n -= n_frame;
    }
}

/* Reads what is ready; of a finished job everything. */
static void drain(struct collected *c, const struct job *job, struct generation_mark *cursor,
                  size_t room)
{
    static char memory[1 << 17];
    ck_assert_uint_le(room, sizeof memory);
    char *out =
        memory + sizeof memory - room; /* so that a write beyond room is one beyond memory */
    for (size_t n; (n = event(job, cursor, out, room)) > 0;)
        take(c, job, out, n);
    while (atomic_load(&job->finished) && !cursor->done) {
        size_t n = last_event(job, cursor, out, room);
        ck_assert_uint_gt(n, 0);
        take(c, job, out, n);
    }
    ck_assert_uint_eq(event(job, cursor, out, room), 0);
    ck_assert_uint_eq(last_event(job, cursor, out, room), 0);
}

static void check_collected(const struct collected *c, const struct job *job)
{
    ck_assert(c->last && c->done && !c->failed);
    ck_assert_uint_eq(c->n_tokens, job->n_tokens);
    for (size_t i = 0; i < c->n_tokens; i++)
        ck_assert_int_eq(c->tokens[i], job->tokens[i].id);
    ck_assert_uint_eq(c->n_text, job->n_text);
    ck_assert_mem_eq(c->text, job->text, c->n_text);
}

/* Bit i of `polls`: the reader looks after the worker's step i. */
static void stream_once(size_t n_tokens, unsigned polls, int n_logprobs, const char *stop,
                        size_t room)
{
    struct job *job = mini_job(tokenizer, N_HARD, n_logprobs, stop);
    struct generation_mark cursor = {.n_tokens = 0};
    struct collected c = {.n_text = 0};
    bool stopped = false;
    for (size_t i = 0; i < n_tokens && !stopped; i++) {
        stopped = mini_step(job, tokenizer, hard[i]);
        if (polls >> i & 1)
            drain(&c, job, &cursor, room);
    }
    mini_finish(job, stopped, stopped ? FINISH_STOP : FINISH_LENGTH);
    drain(&c, job, &cursor, room);
    check_collected(&c, job);
    job_destroy(job);
}

START_TEST(a_stream_tells_the_same_however_it_is_cut)
{
    size_t room = event_min(-1);
    for (unsigned polls = 0; polls < 1U << 10; polls++)
        stream_once(10, polls, -1, NULL, room);
    for (unsigned polls = 0; polls < 1U << N_HARD; polls += 211) {
        stream_once(N_HARD, polls, -1, "cxx", 1 << 16); /* begins in one token, ends in the next */
        stream_once(N_HARD, polls, -1, "\xe2\x82\xac", 1 << 16);
        stream_once(N_HARD, polls, -1, "\x01\xef\xbf\xbd", room);
        stream_once(N_HARD, polls, 3, "never", event_min(3));
    }
}
END_TEST

START_TEST(what_a_stop_string_ate_is_in_tokens_and_not_in_text)
{
    struct job *job = hard_job(-1, "cxx", N_HARD);
    ck_assert_int_eq(job->finish, FINISH_STOP);
    struct collected c = {.n_text = 0};
    struct generation_mark cursor = {.n_tokens = 0};
    drain(&c, job, &cursor, 1 << 14);
    check_collected(&c, job);
    ck_assert_int_eq(c.tokens[c.n_tokens - 1], MINI_LONG);
    ck_assert_mem_eq(c.text + c.n_text - 2, "ab", 2);
    job_destroy(job);
}
END_TEST

START_TEST(one_event_takes_every_token_that_is_ready)
{
    struct job *job = mini_job(tokenizer, N_HARD, -1, NULL);
    struct generation_mark cursor = {.n_tokens = 0};
    char out[8192];
    ck_assert_uint_eq(event(job, &cursor, out, sizeof out), 0);
    mini_step(job, tokenizer, MINI_A);
    mini_step(job, tokenizer, MINI_B);
    mini_step(job, tokenizer, MINI_BYTE + 0xe2); /* half a character: not yet */
    size_t n = event(job, &cursor, out, sizeof out);
    static const char first[] = "data: {\"text\":\"ab\",\"tokens\":[260,261]}\n\n";
    ck_assert_uint_eq(n, sizeof first - 1);
    ck_assert_mem_eq(out, first, n);
    ck_assert_uint_eq(event(job, &cursor, out, sizeof out), 0);
    mini_step(job, tokenizer, MINI_BYTE + 0x82);
    ck_assert_uint_eq(event(job, &cursor, out, sizeof out), 0);
    mini_step(job, tokenizer, MINI_BYTE + 0xac);
    n = event(job, &cursor, out, sizeof out);
    static const char second[] = "data: {\"text\":\"\xe2\x82\xac\",\"tokens\":[229,133,175]}\n\n";
    ck_assert_uint_eq(n, sizeof second - 1);
    ck_assert_mem_eq(out, second, n);
    mini_finish(job, false, FINISH_LENGTH);
    ck_assert_uint_eq(event(job, &cursor, out, sizeof out), 0);
    n = last_event(job, &cursor, out, sizeof out);
    static const char last[] =
        "data: {\"text\":\"\",\"tokens\":[],\"finish_reason\":\"length\",\"seed\":0,\"usage\":{";
    ck_assert_mem_eq(out, last, sizeof last - 1);
    ck_assert_mem_eq(out + n - 16, "\n\ndata: [DONE]\n\n", 16);
    ck_assert(cursor.done);
    job_destroy(job);
}
END_TEST

START_TEST(any_token_fits_the_least_room)
{
    for (int n_logprobs = -1; n_logprobs <= JOB_LOGPROBS_MAX; n_logprobs += 7) {
        size_t room = event_min(n_logprobs);
        for (int32_t id = 0; id < MINI_VOCAB; id += id < MINI_PIECE ? 7 : 1) {
            struct job *job = mini_job(tokenizer, 6, n_logprobs, NULL);
            struct generation_mark cursor = {.n_tokens = 0};
            struct collected c = {.n_text = 0};
            job->sampling.seed = UINT64_MAX;
            for (int i = 0; i < 5; i++)
                mini_step(job, tokenizer, id);
            mini_finish(job, false, FINISH_LENGTH);
            /* the bound must hold for all of the vocabulary beside it, too */
            for (int i = 0; i < 5 && n_logprobs > 0; i++)
                for (int k = 0; k < n_logprobs; k++)
                    job->logprobs[i].top[k].id = MINI_LONG;
            if (id != MINI_BYTE) /* cJSON cuts at NUL */
                drain(&c, job, &cursor, room);
            if (id != MINI_BYTE)
                check_collected(&c, job);
            job_destroy(job);
        }
    }
}
END_TEST

START_TEST(a_failure_ends_the_stream_with_its_error)
{
    struct job *job = mini_job(tokenizer, N_HARD, -1, "bc");
    struct generation_mark cursor = {.n_tokens = 0};
    struct collected c = {.n_text = 0};
    mini_step(job, tokenizer, MINI_A);
    mini_step(job, tokenizer, MINI_B); /* held back: it may begin the stop string */
    error_set(&job->error, STATUS_INTERNAL, "a logit is not finite");
    job->finish = FINISH_ERROR;
    atomic_store(&job->finished, true);
    drain(&c, job, &cursor, 1 << 14);
    ck_assert(c.failed && !c.done && !c.last);
    ck_assert_uint_eq(c.n_tokens, 1);
    ck_assert_uint_eq(c.n_events, 2);
    char out[4096];
    cursor = (struct generation_mark){.n_tokens = 1, .n_text = 1};
    size_t n = last_event(job, &cursor, out, sizeof out - 1);
    out[n] = '\0';
    ck_assert_str_eq(out, "data: {\"error\":{\"code\":\"internal_error\",\"type\":\"server_error\","
                          "\"message\":\"a logit is not finite\",\"param\":null}}\n\n");
    job->finish = FINISH_CANCELLED;
    ck_assert_uint_eq(errors_of_job(job).http, 503);
    job_destroy(job);
}
END_TEST

START_TEST(a_job_without_tokens_still_ends)
{
    struct job *job = mini_job(tokenizer, 4, 0, NULL);
    struct generation_mark cursor = {.n_tokens = 0};
    struct collected c = {.n_text = 0};
    mini_finish(job, false, FINISH_DEADLINE);
    drain(&c, job, &cursor, event_min(0));
    check_collected(&c, job);
    char out[2048];
    cJSON *tree = parse(out, whole(job, out, sizeof out));
    ck_assert_str_eq(get(tree, "finish_reason")->valuestring, "deadline");
    ck_assert_str_eq(get(tree, "text")->valuestring, "");
    ck_assert_int_eq(cJSON_GetArraySize(get(tree, "tokens")), 0);
    ck_assert_int_eq(cJSON_GetArraySize(get(tree, "logprobs")), 0);
    cJSON_Delete(tree);
    job_destroy(job);
}
END_TEST

START_TEST(plain_text_comes_in_whole_characters)
{
    for (size_t room = 4; room < 200; room += room < 16 ? 1 : 23) {
        for (unsigned polls = 0; polls < 1U << N_HARD; polls += 311) {
            struct job *job = mini_job(tokenizer, N_HARD, -1, NULL);
            struct generation_mark cursor = {.n_tokens = 0};
            char text[1024], chunk[256];
            size_t n_text = 0;
            for (size_t i = 0; i <= N_HARD; i++) {
                if (i < N_HARD)
                    mini_step(job, tokenizer, hard[i]);
                else
                    mini_finish(job, false, FINISH_LENGTH);
                if (i < N_HARD && !(polls >> i & 1))
                    continue;
                for (size_t n; (n = text_event(job, &cursor, chunk, room)) > 0;) {
                    ck_assert_uint_le(n, room);
                    ck_assert_uint_eq(utf8_check(chunk, n), n);
                    memcpy(text + n_text, chunk, n);
                    n_text += n;
                }
                ck_assert(cursor.done == (i == N_HARD));
            }
            ck_assert_uint_eq(n_text, job->n_text);
            ck_assert_mem_eq(text, job->text, n_text);
            job_destroy(job);
        }
    }
}
END_TEST

START_TEST(the_three_forms_tell_the_same_text)
{
    for (size_t n_tokens = 0; n_tokens <= N_HARD; n_tokens++) {
        struct job *job = hard_job(-1, NULL, n_tokens);
        struct generation_mark cursor = {.n_tokens = 0}, plain = {.n_tokens = 0};
        struct collected c = {.n_text = 0};
        char out[8192], text[1024];
        drain(&c, job, &cursor, 1 << 13);
        size_t n_text = text_event(job, &plain, text, sizeof text);
        cJSON *tree = parse(out, whole(job, out, sizeof out));
        const char *whole = get(tree, "text")->valuestring;
        ck_assert_uint_eq(strlen(whole), n_text);
        ck_assert_mem_eq(whole, text, n_text);
        ck_assert_uint_eq(c.n_text, n_text);
        ck_assert_mem_eq(c.text, text, n_text);
        cJSON_Delete(tree);
        job_destroy(job);
    }
}
END_TEST

START_TEST(reasons_have_names)
{
    static const char *const names[] = {"none", "stop", "length", "deadline", "cancelled", "error"};
    for (int i = FINISH_NONE; i <= FINISH_ERROR; i++)
        ck_assert_str_eq(generation_finish_name((enum finish_reason)i), names[i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("api/answers");
    TCase *errors = tcase_create("errors"), *answers = tcase_create("answers"),
          *streams = tcase_create("streams");
    tcase_add_test(errors, each_status_is_one_kind_of_http);
    tcase_add_test(errors, each_refusal_has_a_code_and_a_type);
    tcase_add_test(errors, an_error_is_one_object);
    tcase_add_test(errors, an_error_that_does_not_fit_is_cut_and_still_json);
    tcase_add_checked_fixture(answers, setup, teardown);
    tcase_add_test(answers, a_whole_answer_says_everything);
    tcase_add_test(answers, a_seed_beyond_doubles_is_a_string);
    tcase_add_test(answers, times_are_zero_where_nothing_happened);
    tcase_add_test(answers, the_bound_of_an_answer_holds);
    tcase_add_test(answers, logprobs_come_one_for_each_token);
    tcase_add_test(answers, a_logprob_that_is_no_number_is_null);
    tcase_add_test(answers, reasons_have_names);
    tcase_add_checked_fixture(streams, setup, teardown);
    tcase_add_test(streams, a_stream_tells_the_same_however_it_is_cut);
    tcase_add_test(streams, what_a_stop_string_ate_is_in_tokens_and_not_in_text);
    tcase_add_test(streams, one_event_takes_every_token_that_is_ready);
    tcase_add_test(streams, any_token_fits_the_least_room);
    tcase_add_test(streams, a_failure_ends_the_stream_with_its_error);
    tcase_add_test(streams, a_job_without_tokens_still_ends);
    tcase_add_test(streams, plain_text_comes_in_whole_characters);
    tcase_add_test(streams, the_three_forms_tell_the_same_text);
    tcase_set_timeout(answers, 120);
    tcase_set_timeout(streams, 120);
    suite_add_tcase(suite, errors);
    suite_add_tcase(suite, answers);
    suite_add_tcase(suite, streams);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
