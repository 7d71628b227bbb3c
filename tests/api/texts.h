/* texts.h - what the tests of chat dialects share: jobs whose text is given byte by byte, and
 * events read as clients read them. */
#pragma once

#pragma GCC diagnostic ignored "-Wunused-function" /* each file uses some */
#pragma GCC diagnostic ignored "-Wunused-variable"

#include "api/dialect.h"
#include "api/json/json.h"
#include "mini_vocab.h"

#include <cjson/cJSON.h>
#include <stdio.h>

static struct tokenizer *tokenizer; /* puts BOS in front */
static const struct api_limits limits = {
    .n_context = 512, .max_json_depth = 64, .max_json_nodes = 10000, .max_choices = 64};

static void setup(void)
{
    tokenizer = mini_tokenizer(true);
}

static void teardown(void)
{
    tokenizer_destroy(tokenizer);
}

static const struct reasoning_tags think = {"<think>", "</think>", NULL};

/* Refused by the dialect with this status and param, and every word (separated by '|'). */
static void refused(const struct dialect *dialect, const char *body, enum status status,
                    const char *param, const char *words)
{
    struct generation g = {.dialect = dialect};
    struct error err = {.text = ""};
    const struct generation_source source = {
        .body = body, .n_body = strlen(body), .tokenizer = tokenizer, .limits = &limits};
    enum status found = dialect->decode(&g, &source, &err);
    ck_assert_msg(found == status, "%s: status %d, not %d: %s", body, found, status, err.text);
    ck_assert_msg(strcmp(err.param, param) == 0, "%s: param '%s': %s", body, err.param, err.text);
    ck_assert_uint_eq(g.n_choices, 0);
    ck_assert_ptr_null(g.wishes);
    for (const char *word = words; *word != '\0';) {
        size_t n = strcspn(word, "|");
        char one[128];
        snprintf(one, sizeof one, "%.*s", (int)n, word);
        ck_assert_msg(strstr(err.text, one) != NULL, "%s: no '%s' in: %s", body, one, err.text);
        word += n + (word[n] == '|');
    }
}

static const cJSON *get(const cJSON *tree, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(tree, name);
    ck_assert_msg(item != NULL, "no %s", name);
    return item;
}

static const char *get_text(const cJSON *tree, const char *name)
{
    const cJSON *item = get(tree, name);
    ck_assert_msg(cJSON_IsString(item), "%s is no string", name);
    return item->valuestring;
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

/* One token a byte. */
static bool step_byte(struct job *job, char byte)
{
    return mini_step(job, tokenizer, MINI_BYTE + (unsigned char)byte);
}

/* One event: takes its parsed data. */
typedef void take_event(void *client, const char *name, const cJSON *data);

/* Whole events only: each `event: NAME`, `data: JSON`, and a blank line. */
static void take_events(const char *bytes, size_t n, take_event *take, void *client)
{
    while (n > 0) {
        const char *end = memmem(bytes, n, "\n\n", 2);
        ck_assert_ptr_nonnull(end);
        size_t n_frame = (size_t)(end - bytes);
        ck_assert_msg(memcmp(bytes, "event: ", 7) == 0, "%.*s", (int)n_frame, bytes);
        const char *line = memchr(bytes, '\n', n_frame);
        ck_assert_ptr_nonnull(line);
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)(line - bytes - 7), bytes + 7);
        ck_assert_msg(memcmp(line, "\ndata: ", 7) == 0, "%.*s", (int)n_frame, bytes);
        ck_assert_ptr_null(memchr(line + 1, '\n', (size_t)(end - line - 1)));
        cJSON *data = parse(line + 7, (size_t)(end - line - 7));
        ck_assert_str_eq(get_text(data, "type"), name);
        take(client, name, data);
        cJSON_Delete(data);
        bytes += n_frame + 2;
        n -= n_frame + 2;
    }
}

/* Reads all that is ready, `room` bytes at a time (0: the least that must do), from memory that
 * ends where the room ends. */
static void drain(struct generation *g, size_t room, take_event *take, void *client)
{
    for (;;) {
        size_t least = g->dialect->event_min(g);
        size_t size = room > least ? room : least;
        char *out = malloc(size);
        size_t n = g->dialect->event(g, out, size);
        ck_assert_uint_le(n, size);
        take_events(out, n, take, client);
        free(out);
        if (n == 0)
            break;
    }
}

/* Streams a text to a client that looks after each byte where polls has the bit; the caller frees
 * the job. */
static void stream_text(struct generation *g, const char *text, enum finish_reason finish,
                        unsigned polls, size_t room, take_event *take, void *client)
{
    struct job *job = g->choices[0].job;
    size_t n = strlen(text);
    bool stopped = false;
    for (size_t i = 0; i < n && !stopped; i++) {
        stopped = step_byte(job, text[i]);
        if (polls >> i % 32 & 1)
            drain(g, room, take, client);
    }
    mini_finish(job, stopped, stopped ? FINISH_STOP : finish);
    drain(g, room, take, client);
    ck_assert(g->complete);
    drain(g, room, take, client); /* and nothing more */
}
