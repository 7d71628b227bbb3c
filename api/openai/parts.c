/* parts.c - heads, endings, usage and log-probabilities in OpenAI's shapes. Loop thread; allocates
 * nothing. */
#include "api/openai/parts.h"

#include "api/json/logprobs.h"
#include "base/utf8.h"

#include <stdio.h>
#include <string.h>

void openai_put_head(struct json_writer *w, const struct generation *g, const char *object)
{
    json_raw(w, g->chat ? "{\"id\":\"chatcmpl-" : "{\"id\":\"cmpl-");
    json_raw(w, g->id);
    json_name_text(w, "\",", "object", object);
    json_name_uint(w, ",", "created", g->created);
    json_name_text(w, ",", "model", g->model);
    json_name_text(w, ",", "system_fingerprint", "smallmind-" SMALLMIND_VERSION);
}

size_t openai_head_bound(const struct generation *g)
{
    return 192 + strlen(g->id) + json_string_bound(strlen(g->model));
}

const char *openai_finish(const struct generation *g, const struct choice *choice)
{
    if (choice->job->finish != FINISH_STOP)
        return "length";
    return generation_n_calls(g, choice) > 0 ? "tool_calls" : "stop";
}

void openai_put_usage(struct json_writer *w, const struct generation *g)
{
    struct generation_usage usage = generation_usage(g);
    json_name_uint(w, ",\"usage\":{", "prompt_tokens", usage.prompt);
    json_name_uint(w, ",", "completion_tokens", usage.completion);
    json_name_uint(w, ",", "total_tokens", usage.prompt + usage.completion);
    json_name_uint(w, ",\"prompt_tokens_details\":{", "cached_tokens", usage.cached);
    json_raw(w, "}}");
}

void openai_put_more(struct json_writer *w, const struct generation *g, size_t i,
                     const struct generation_mark *to)
{
    const struct openai_more *more = g->wishes;
    if (more != NULL)
        more->put(w, g, i, to);
}

size_t openai_more_bound(const struct generation *g)
{
    const struct openai_more *more = g->wishes;
    return more != NULL ? more->bound(g) : 0;
}

/* --- log-probabilities --- */

static void put_chat_logprobs(struct json_writer *w, const struct generation *g,
                              const struct job *job, size_t begin, size_t end)
{
    json_raw(w, ",\"logprobs\":{\"content\":");
    json_logprobs(w, g->tokenizer, job, begin, end);
    json_raw(w, ",\"refusal\":null}");
}

/* A token as a string; bytes that are no whole characters as OpenAI writes them: "bytes:\xe2\x80",
 * so that no two tokens look alike. */
static void put_token_text(struct json_writer *w, const struct tokenizer *tokenizer, int32_t id)
{
    struct gguf_string piece = tokenizer_piece(tokenizer, id, true);
    if (utf8_check(piece.bytes, piece.n) == piece.n) {
        json_string(w, piece.bytes, piece.n);
        return;
    }
    json_raw(w, "\"bytes:");
    for (size_t i = 0; i < piece.n; i++) {
        char text[8];
        snprintf(text, sizeof text, "\\\\x%02x", (unsigned)(unsigned char)piece.bytes[i]);
        json_raw(w, text);
    }
    json_raw(w, "\"");
}

/* One list of a completion's log-probabilities at a time: the prompt's tokens where they are echoed
 * and begin is 0, then tokens [begin, end). */
struct entries {
    const struct generation *g;
    const struct job *job, *scored;
    size_t n_prompt, begin, end;
};

static size_t n_entries(const struct entries *e)
{
    return e->n_prompt + e->end - e->begin;
}

static int32_t entry_id(const struct entries *e, size_t i)
{
    return i < e->n_prompt ? e->job->prompt[i] : e->job->tokens[e->begin + i - e->n_prompt].id;
}

/* NULL: the first token of a prompt has none, nor has one that was not read before the end. */
static const struct logprob_record *entry_record(const struct entries *e, size_t i)
{
    if (i >= e->n_prompt)
        return &e->job->logprobs[e->begin + i - e->n_prompt];
    return job_has_prompt_logprob(e->scored, i) ? &e->scored->prompt_logprobs[i] : NULL;
}

static void put_top(struct json_writer *w, const struct entries *e, size_t i)
{
    const struct logprob_record *record = entry_record(e, i);
    bool drawn = false; /* the token itself is always among them */
    if (record == NULL) {
        json_raw(w, "null");
        return;
    }
    json_raw(w, "{");
    for (size_t k = 0; k < record->n_top; k++) {
        json_raw(w, k > 0 ? "," : "");
        put_token_text(w, e->g->tokenizer, record->top[k].id);
        json_raw(w, ":");
        json_float(w, record->top[k].logprob);
        drawn |= record->top[k].id == entry_id(e, i);
    }
    if (!drawn) {
        json_raw(w, record->n_top > 0 ? "," : "");
        put_token_text(w, e->g->tokenizer, entry_id(e, i));
        json_raw(w, ":");
        json_float(w, record->logprob);
    }
    json_raw(w, "}");
}

/* Characters that begin in these bytes. */
static size_t n_chars(const char *bytes, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += ((unsigned char)bytes[i] & 0xc0) != 0x80;
    return count;
}

/* Where each token's text begins in the choice's text, in characters. */
static void put_offsets(struct json_writer *w, const struct entries *e, const struct choice *choice)
{
    size_t n_echo = choice->n_echo > 0 ? n_chars(choice->echo, choice->n_echo) : 0;
    size_t at = 0, n_pieces = 0;
    for (size_t i = 0; i < e->n_prompt; i++) {
        struct gguf_string piece = tokenizer_piece(e->g->tokenizer, e->job->prompt[i], false);
        n_pieces += n_chars(piece.bytes, piece.n);
    }
    size_t extra = n_pieces > n_echo ? n_pieces - n_echo : 0; /* the space put in front */
    for (size_t i = 0; i < e->n_prompt; i++) {
        struct gguf_string piece = tokenizer_piece(e->g->tokenizer, e->job->prompt[i], false);
        json_raw(w, i > 0 ? "," : "");
        json_uint(w, at > extra ? at - extra : 0);
        at += n_chars(piece.bytes, piece.n);
    }
    size_t end = e->begin > 0 ? e->job->tokens[e->begin - 1].text_end : 0;
    at = n_echo + n_chars(e->job->text, end);
    for (size_t i = e->begin; i < e->end; i++) {
        size_t next = e->job->tokens[i].text_end;
        json_raw(w, e->n_prompt + i > e->begin ? "," : "");
        json_uint(w, at);
        at += n_chars(e->job->text + end, next - end);
        end = next;
    }
}

static void put_completion_logprobs(struct json_writer *w, const struct entries *e,
                                    const struct choice *choice)
{
    json_raw(w, ",\"logprobs\":{\"tokens\":[");
    for (size_t i = 0; i < n_entries(e) && !w->full; i++) {
        json_raw(w, i > 0 ? "," : "");
        put_token_text(w, e->g->tokenizer, entry_id(e, i));
    }
    json_raw(w, "],\"token_logprobs\":[");
    for (size_t i = 0; i < n_entries(e) && !w->full; i++) {
        const struct logprob_record *record = entry_record(e, i);
        json_raw(w, i > 0 ? "," : "");
        if (record != NULL)
            json_float(w, record->logprob);
        else
            json_raw(w, "null");
    }
    json_raw(w, "],\"top_logprobs\":[");
    for (size_t i = 0; i < n_entries(e) && !w->full; i++) {
        json_raw(w, i > 0 ? "," : "");
        put_top(w, e, i);
    }
    json_raw(w, "],\"text_offset\":[");
    if (!w->full)
        put_offsets(w, e, choice);
    json_raw(w, "]}");
}

void openai_put_logprobs(struct json_writer *w, const struct generation *g,
                         const struct choice *choice, size_t begin, size_t end)
{
    const struct job *job = choice->job;
    if (job->n_logprobs < 0) {
        json_raw(w, ",\"logprobs\":null");
    } else if (g->chat) {
        put_chat_logprobs(w, g, job, begin, end);
    } else {
        bool echoes = choice->n_echo > 0 && choice->stage == 0; /* not sent yet */
        const struct entries e = {g, job, choice->scored, echoes ? job->n_prompt : 0, begin, end};
        put_completion_logprobs(w, &e, choice);
    }
}

size_t openai_token_bound(const struct generation *g, const struct job *job)
{
    size_t piece = tokenizer_max_piece(g->tokenizer) + 4; /* and what earlier tokens left */
    size_t bound = 6 * piece;
    if (job->n_logprobs >= 0) /* as text, as numbers, and the names */
        bound += ((size_t)job->n_logprobs + 2) * (10 * piece + 96);
    return bound;
}

size_t openai_echo_bound(const struct generation *g, const struct choice *choice)
{
    size_t bound = choice->n_echo > 0 ? json_string_bound(choice->n_echo) : 0;
    if (choice->n_echo > 0 && choice->job->n_logprobs >= 0)
        bound += choice->job->n_prompt * openai_token_bound(g, choice->job);
    return bound;
}

/* --- chunks --- */

void openai_open_chunk(struct json_writer *w, const struct generation *g)
{
    json_raw(w, "data: ");
    openai_put_head(w, g, g->chat ? "chat.completion.chunk" : "text_completion");
}

void openai_open_choice(struct json_writer *w, const struct generation *g, size_t i)
{
    openai_open_chunk(w, g);
    json_name_uint(w, ",\"choices\":[{", "index", i);
}

void openai_put_finish(struct json_writer *w, const struct generation *g, const char *finish)
{
    json_raw(w, ",\"finish_reason\":");
    if (finish != NULL)
        json_string(w, finish, strlen(finish));
    else
        json_raw(w, "null");
    json_raw(w, g->include_usage ? "}],\"usage\":null" : "}]");
}
