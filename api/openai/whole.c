/* whole.c - a finished generation as one JSON object, and the list of models. Loop thread;
 * allocates nothing. */
#include "api/openai/parts.h"

#include <string.h>
#include <time.h>

enum { CHOICE_BOUND = 256 };

static void put_message(struct json_writer *w, const struct choice *choice)
{
    const struct job *job = choice->job;
    struct reasoning r = choice->reasoning;
    reasoning_advance(&r, job->text, job->n_text, true);
    json_raw(w, ",\"message\":{\"role\":\"assistant\"");
    if (r.thought[1] > r.thought[0]) {
        json_raw(w, ",\"reasoning_content\":");
        json_string(w, job->text + r.thought[0], r.thought[1] - r.thought[0]);
    }
    json_raw(w, ",\"content\":");
    json_string(w, job->text + r.answer[0], r.answer[1] - r.answer[0]);
    json_raw(w, ",\"refusal\":null}");
}

static void put_choice(struct json_writer *w, const struct generation *g, size_t i)
{
    const struct choice *choice = &g->choices[i];
    json_name_uint(w, i > 0 ? ",{" : "{", "index", i);
    if (g->tools != NULL) {
        openai_put_told(w, g, i);
    } else if (g->chat) {
        put_message(w, choice);
    } else {
        json_raw(w, ",\"text\":");
        json_string2(w, choice->echo, choice->n_echo, choice->job->text, choice->job->n_text);
    }
    openai_put_logprobs(w, g, choice, 0, choice->job->n_tokens);
    json_name_text(w, ",", "finish_reason", openai_finish(g, choice));
    json_raw(w, "}");
}

size_t openai_whole_bound(const struct generation *g)
{
    size_t bound = openai_head_bound(g) + OPENAI_USAGE_BOUND + openai_more_bound(g);
    for (size_t i = 0; i < g->n_choices; i++) {
        const struct choice *choice = &g->choices[i];
        bound +=
            CHOICE_BOUND + json_string_bound(choice->job->n_text) + openai_echo_bound(g, choice);
        if (g->tools != NULL)
            bound += openai_told_bound(g, choice);
        if (choice->job->n_logprobs >= 0)
            bound += choice->job->n_tokens * openai_token_bound(g, choice->job);
    }
    return bound;
}

size_t openai_whole(const struct generation *g, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    openai_put_head(&w, g, g->chat ? "chat.completion" : "text_completion");
    json_raw(&w, ",\"choices\":[");
    for (size_t i = 0; i < g->n_choices; i++)
        put_choice(&w, g, i);
    json_raw(&w, "]");
    openai_put_usage(&w, g);
    openai_put_more(&w, g, 0, NULL);
    json_raw(&w, "}\n");
    return w.full ? 0 : w.n;
}

/* --- the models --- */

/* In OpenAI's words, then in Anthropic's, whose clients ask the same path. */
static void put_model(struct json_writer *w, const struct model_card *card, const char *name)
{
    const struct model *model = card->model;
    char date[32];
    struct tm parts;
    gmtime_r(&(time_t){(time_t)card->created}, &parts);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &parts);
    json_name_text(w, "{", "id", name);
    json_name_text(w, ",", "object", "model");
    json_name_uint(w, ",", "created", card->created);
    json_name_text(w, ",", "owned_by", "smallmind");
    json_name_uint(w, ",", "max_model_len", model->n_context);
    json_name_text(w, ",", "type", "model");
    json_name_text(w, ",", "display_name", name);
    json_name_text(w, ",", "created_at", date);
    json_name_text(w, ",", "lifecycle", "active");
    json_name_uint(w, ",", "max_input_tokens", model->n_context);
    json_name_uint(w, ",", "max_tokens", model->n_context);
    json_name_uint(w, ",\"meta\":{", "n_vocab", card->n_vocab);
    json_name_uint(w, ",", "n_ctx_train", model->shape.n_context_train);
    json_name_uint(w, ",", "n_embd", model->shape.n_embd);
    json_name_uint(w, ",", "n_params", model->n_params);
    json_name_uint(w, ",", "size", model->file_bytes);
    json_raw(w, "}}");
}

size_t openai_models(const struct model_card *card, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    json_raw(&w, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; i < card->n_names; i++) {
        json_raw(&w, i > 0 ? "," : "");
        put_model(&w, card, card->names[i]);
    }
    json_raw(&w, "],\"has_more\":false");
    json_name_text(&w, ",", "first_id", card->names[0]);
    json_name_text(&w, ",", "last_id", card->names[card->n_names - 1]);
    json_raw(&w, "}\n");
    return w.full ? 0 : w.n;
}

size_t openai_model(const struct model_card *card, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    put_model(&w, card, card->names[0]);
    json_raw(&w, "\n");
    return w.full ? 0 : w.n;
}
