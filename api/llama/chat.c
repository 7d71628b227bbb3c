/* chat.c - OpenAI's chats as llama.cpp's server has them: its defaults, a last message of the
 * assistant's that is gone on with, timings, progress, its errors; and the count of a chat's
 * tokens. Decoders on any thread, writers on the loop thread. */
#include "api/llama/parts.h"

#include "base/sampling_defaults.h"

#include <cjson/cJSON.h>

#include <string.h>

/* clang-format off */
static const struct field rows[] = {
    {"n_predict", FIELD_UINT, .max = ASKED_EXACT, .below_absent = true, .nullable = true,
     ASKED(max_tokens)},
    {"timings_per_token", FIELD_BOOL, .nullable = true, ASKED(timings_per_token)},
    {"return_progress", FIELD_BOOL, .nullable = true, ASKED(return_progress)},
    {"verbose", FIELD_BOOL, .nullable = true, ASKED(verbose)},
};
/* clang-format on */
const struct field_table llama_chat_fields = {.fields = rows,
                                              .n_fields = sizeof rows / sizeof rows[0],
                                              .more = &openai_chat_fields,
                                              .lenient = true};

/* --- reading --- */

/* The sampling of a body that names none. */
static void set_defaults(struct asking *a)
{
    struct sampling *s = &a->builder.sampling;
    if (!asking_has(a, offsetof(struct asked, temperature)))
        s->temperature = (float)SAMPLING_TEMPERATURE;
    if (!asking_has(a, offsetof(struct asked, top_k)))
        s->top_k = SAMPLING_TOP_K;
    if (!asking_has(a, offsetof(struct asked, top_p)))
        s->top_p = (float)SAMPLING_TOP_P;
    if (!asking_has(a, offsetof(struct asked, min_p)))
        s->min_p = (float)SAMPLING_MIN_P;
    a->builder.answer_only = false;
}

static bool is_assistants(const struct cJSON *message)
{
    const struct cJSON *role = cJSON_GetObjectItemCaseSensitive(message, "role");
    return cJSON_IsString(role) && strcmp(role->valuestring, "assistant") == 0;
}

/* A last message of the assistant's is gone on with, unless the body says what it wants. */
static enum status find_prefill(struct asking *a, struct error *err)
{
    const struct cJSON *messages = cJSON_GetObjectItemCaseSensitive(a->found.root, "messages");
    int n = cJSON_GetArraySize(messages);
    const struct cJSON *last = n > 0 ? cJSON_GetArrayItem(messages, n - 1) : NULL;
    if (last == NULL || !is_assistants(last))
        return STATUS_OK;
    if (n > 1 && is_assistants(cJSON_GetArrayItem(messages, n - 2)))
        return error_set_param(err, STATUS_INVALID, "messages",
                               "messages ends with two or more of the assistant's; the last one is "
                               "gone on with, and there can be one such");
    if (!asking_has(a, offsetof(struct asked, continue_final)) &&
        !asking_has(a, offsetof(struct asked, add_generation_prompt)))
        a->values.continue_final = true;
    return STATUS_OK;
}

static void put_more(struct json_writer *w, const struct generation *g, size_t i,
                     const struct generation_mark *to);
static size_t more_bound(const struct generation *g);

static enum status decode(struct generation *g, const struct generation_source *source,
                          struct error *err)
{
    struct asking a = {.source = NULL};
    const struct asked *v = &a.values;
    enum status status = openai_read_chat(&a, &llama_chat_fields, g, source, err);
    if (status == STATUS_OK)
        status = llama_read_wishes(&a, g, err);
    if (status == STATUS_OK)
        status = find_prefill(&a, err);
    if (status == STATUS_OK) {
        struct llama_wishes *wishes = g->wishes;
        wishes->more = (struct openai_more){.null_content = true,
                                            .tells_progress = v->return_progress,
                                            .put = put_more,
                                            .bound = more_bound};
        a.builder.progress = v->stream && (v->return_progress || v->timings_per_token);
        set_defaults(&a);
        status = openai_add_messages(&a, g, err);
    }
    for (size_t i = 0; status == STATUS_OK && v->verbose && i < g->n_choices; i++)
        status = llama_keep_text(&g->choices[i], source->tokenizer, err);
    asking_end(&a, g, status);
    return status;
}

/* --- writing --- */

static void put_more(struct json_writer *w, const struct generation *g, size_t i,
                     const struct generation_mark *to)
{
    const struct choice *choice = &g->choices[i];
    const struct llama_wishes *wishes = g->wishes;
    const struct generation_mark none = {.n_text = 0};
    if (to != NULL) {
        if (to->begun != choice->sent.begun || to->n_read != choice->sent.n_read)
            llama_put_progress(w, choice->job, to);
        if (wishes->timings_per_token)
            llama_put_timings(w, choice->job, to);
        return;
    }
    llama_put_final_timings(w, choice->job);
    if (!wishes->verbose)
        return;
    json_raw(w, ",\"__verbose\":");
    llama_put_answer(w, g, i, g->stream ? &choice->sent : &none);
}

static size_t more_bound(const struct generation *g)
{
    const struct llama_wishes *wishes = g->wishes;
    size_t most = 0;
    for (size_t i = 0; wishes->verbose && i < g->n_choices; i++) {
        const struct job *job = g->choices[i].job;
        size_t bound = llama_answer_bound(g, i) + llama_token_bound(g, job);
        if (!g->stream)
            bound += json_string_bound(job->n_text) + job->n_tokens * llama_token_bound(g, job);
        most = bound > most ? bound : most;
    }
    return 2 * LLAMA_TIMINGS_BOUND + most;
}

static size_t write_error(const struct api_error *what, const char *message, const char *param,
                          char *out, size_t room)
{
    return json_error_fit(llama_put_error, what, message, param, out, room);
}

const struct dialect llama_chat = {
    .name = "llama chat",
    .fields = &llama_chat_fields,
    .types =
        {[ANSWER_JSON] = "application/json", [ANSWER_SSE] = "text/event-stream; charset=utf-8"},
    .on_pool = true,
    .keep_alive = ":\n\n",
    .decode = decode,
    .form = openai_form,
    .whole_bound = openai_whole_bound,
    .whole = openai_whole,
    .event_min = openai_event_min,
    .event = openai_event,
    .error = write_error,
};

/* --- the count of a conversation's tokens --- */

static size_t count_bound(const struct generation *g)
{
    (void)g;
    return 64;
}

static size_t count(const struct generation *g, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    json_name_uint(&w, "{", "input_tokens", g->choices[0].job->n_prompt);
    json_raw(&w, "}\n");
    return w.full ? 0 : w.n;
}

const struct dialect llama_count = {
    .name = "llama count",
    .fields = &llama_chat_fields,
    .on_pool = true,
    .decode = decode,
    .whole_bound = count_bound,
    .whole = count,
    .error = write_error,
};
