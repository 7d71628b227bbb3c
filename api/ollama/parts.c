/* parts.c - heads, texts, endings and errors in Ollama's shapes. Loop thread; allocates nothing. */
#include "api/ollama/parts.h"

#include "api/json/logprobs.h"

#include <string.h>
#include <time.h>

void ollama_time(uint64_t unix_seconds, char out[OLLAMA_TIME_ROOM])
{
    time_t seconds = (time_t)unix_seconds;
    struct tm parts;
    gmtime_r(&seconds, &parts);
    strftime(out, OLLAMA_TIME_ROOM, "%Y-%m-%dT%H:%M:%SZ", &parts);
}

void ollama_put_head(struct json_writer *w, const struct generation *g)
{
    char created[OLLAMA_TIME_ROOM];
    ollama_time(g->created, created);
    json_name_text(w, "{", "model", g->model);
    json_name_text(w, ",", "created_at", created);
}

size_t ollama_head_bound(const struct generation *g)
{
    return 128 + json_string_bound(strlen(g->model));
}

static void put_part(struct json_writer *w, const char *name, const char *bytes,
                     const size_t part[2])
{
    json_name(w, ",", name);
    json_string(w, bytes + part[0], part[1] - part[0]);
}

void ollama_put_text(struct json_writer *w, const struct generation *g,
                     const struct ollama_text *text)
{
    const char *bytes = text->bytes != NULL ? text->bytes : "";
    bool chat = g->chat;
    json_raw(w, chat ? ",\"message\":{\"role\":\"assistant\"" : "");
    put_part(w, chat ? "content" : "response", bytes, text->answer);
    if (text->thought[1] > text->thought[0])
        put_part(w, "thinking", bytes, text->thought);
    json_raw(w, chat ? "}" : "");
}

void ollama_put_logprobs(struct json_writer *w, const struct generation *g, const struct job *job,
                         size_t begin, size_t end)
{
    if (job->n_logprobs < 0 || begin == end)
        return;
    json_name(w, ",", "logprobs");
    json_logprobs(w, g->tokenizer, job, begin, end);
}

size_t ollama_token_bound(const struct generation *g, const struct job *job)
{
    size_t piece = tokenizer_max_piece(g->tokenizer) + 4; /* and what earlier tokens left */
    size_t bound = 6 * piece;
    if (job->n_logprobs >= 0) /* as text, as numbers, and the names */
        bound += ((size_t)job->n_logprobs + 2) * (10 * piece + 96);
    return bound;
}

static uint64_t span_ns(uint64_t begin_ns, uint64_t end_ns)
{
    return begin_ns == 0 || end_ns <= begin_ns ? 0 : end_ns - begin_ns;
}

/* Loading is all that came before the first step: the prompt's tokens, and the wait. Clients divide
 * by the last duration: one token's is a moment, never nothing. */
void ollama_put_ending(struct json_writer *w, const struct generation *g, const struct job *job)
{
    uint64_t load_ns = g->tokenize_ns + span_ns(job->arrived_ns, job->started_ns);
    uint64_t prompt_ns = span_ns(job->started_ns, job->read_ns);
    uint64_t answer_ns = span_ns(job->first_token_ns, job->last_token_ns);
    if (answer_ns == 0 && job->n_completion > 0)
        answer_ns = 1;
    json_name_text(w, ",\"done\":true,", "done_reason",
                   job->finish == FINISH_STOP ? "stop" : "length");
    json_name_uint(w, ",", "total_duration", load_ns + prompt_ns + answer_ns);
    json_name_uint(w, ",", "load_duration", load_ns);
    json_name_uint(w, ",", "prompt_eval_count", job->n_prompt);
    json_name_uint(w, ",", "prompt_eval_duration", prompt_ns);
    json_name_uint(w, ",", "eval_count", job->n_completion);
    json_name_uint(w, ",", "eval_duration", answer_ns);
}

void ollama_put_error(struct json_writer *w, const struct api_error *what, const char *message,
                      size_t n_message, const char *param)
{
    (void)what;
    (void)param;
    json_raw(w, "{\"error\":");
    json_string(w, message, n_message);
    json_raw(w, "}");
}
