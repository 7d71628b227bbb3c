/* answers.h - what the tests of answers and of events share: the dialect's writers on one job, jobs
 * whose tokens are hard to tell, JSON read back. */
#pragma once

#pragma GCC diagnostic ignored "-Wunused-function" /* each file uses some */
#pragma GCC diagnostic ignored "-Wunused-variable"

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
                          size_t room, enum answer_form form)
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
    size_t n = native_dialect.event(&g, to, room);
    ck_assert(g.complete == choice.sent.done);
    *mark = choice.sent;
    return n;
}

static size_t event(const struct job *job, struct generation_mark *mark, char *to, size_t room)
{
    return write_event(job, mark, to, room, ANSWER_SSE);
}

static size_t text_event(const struct job *job, struct generation_mark *mark, char *to, size_t room)
{
    return write_event(job, mark, to, room, ANSWER_TEXT);
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
    ctx = (struct generation){.has_seed = true,
                              .id = "req-1",
                              .model = "tiny \"one\"",
                              .created = 1700000000,
                              .tokenizer = tokenizer};
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

/* A client's collection of a stream. */
struct collected {
    char text[8192];
    size_t n_text;
    int32_t tokens[64];
    size_t n_tokens, n_events, n_named; /* tokens that the last event's id names */
    bool last, done, failed;
};

/* Takes one frame, `data: ...` up to its blank line, with `id: N` before it where it has tokens. */
static void take_frame(struct collected *c, const struct job *job, const char *frame, size_t n)
{
    ck_assert(!c->done && !c->failed);
    ck_assert_uint_gt(n, 8);
    if (memcmp(frame, "id: ", 4) == 0) {
        char *end;
        c->n_named = strtoul(frame + 4, &end, 10);
        ck_assert_int_eq(*end, '\n');
        n -= (size_t)(end + 1 - frame);
        frame = end + 1;
    }
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
    ck_assert_uint_eq(c->n_named, c->n_tokens); /* where a client can go on */
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
        size_t n = event(job, cursor, out, room);
        ck_assert_uint_gt(n, 0);
        take(c, job, out, n);
    }
    ck_assert_uint_eq(event(job, cursor, out, room), 0);
    ck_assert_uint_eq(event(job, cursor, out, room), 0);
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
