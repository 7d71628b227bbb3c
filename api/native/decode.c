/* decode.c - the body of POST /generate: the table of its fields, and the native row of the dialect
 * table. Loop thread or libuv's pool; holds nothing between calls. */
#include "api/native/parts.h"

#include "api/builder.h"
#include "api/json/values.h"
#include "base/sampling_defaults.h"

#include <cjson/cJSON.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct generate_values {
    const struct cJSON *prompt, *stop, *stop_token_ids, *logit_bias, *model;
    bool add_special, parse_special, ignore_eos, stream, profile;
    uint64_t max_tokens, min_tokens, top_k, repetition_window, seed, logprobs, deadline_ms;
    double temperature, top_p, min_p, typical_p;
    double repetition_penalty, presence_penalty, frequency_penalty;
};

#define AT(member) .offset = offsetof(struct generate_values, member)
#define EXACT      9007199254740992.0 /* 2^53: what every JSON reader keeps */
#define LONGEST_DEADLINE                                                                           \
    1000000000.0 /* ms, 11 days: added to a clock, it stays far from 64 bits                       \
                  */

/* clang-format off */
enum { ROW_PROMPT, ROW_MAX_TOKENS, ROW_SEED, ROW_LOGPROBS }; /* rows that are asked for by place */
static const struct field rows[] = {
    [ROW_PROMPT]     = {"prompt", FIELD_ANY, AT(prompt)},
    [ROW_MAX_TOKENS] = {"max_tokens", FIELD_UINT, .min = 1, .max = EXACT, AT(max_tokens)},
    [ROW_SEED]       = {"seed", FIELD_SEED, AT(seed)},
    [ROW_LOGPROBS]   = {"logprobs", FIELD_UINT, .max = JOB_LOGPROBS_MAX, .nullable = true,
                        AT(logprobs)},
    {"add_special", FIELD_BOOL, .initial = true, AT(add_special)},
    {"parse_special", FIELD_BOOL, AT(parse_special)},
    {"temperature", FIELD_NUMBER, .max = 5, .initial = SAMPLING_TEMPERATURE, AT(temperature)},
    {"top_k", FIELD_UINT, BOUND_VOCABULARY, .initial = SAMPLING_TOP_K, AT(top_k)},
    {"top_p", FIELD_NUMBER, .max = 1, .initial = SAMPLING_TOP_P, AT(top_p)},
    {"min_p", FIELD_NUMBER, .max = 1, .initial = SAMPLING_MIN_P, AT(min_p)},
    {"typical_p", FIELD_NUMBER, .max = 1, .initial = SAMPLING_TYPICAL_P, AT(typical_p)},
    {"repetition_penalty", FIELD_NUMBER, .min = 0.1, .max = 10,
     .initial = SAMPLING_REPETITION_PENALTY,
     AT(repetition_penalty)},
    {"repetition_window", FIELD_UINT, BOUND_CONTEXT, .initial = SAMPLING_REPETITION_WINDOW,
     AT(repetition_window)},
    {"presence_penalty", FIELD_NUMBER, .min = -2, .max = 2, .initial = SAMPLING_PRESENCE_PENALTY,
     AT(presence_penalty)},
    {"frequency_penalty", FIELD_NUMBER, .min = -2, .max = 2, .initial = SAMPLING_FREQUENCY_PENALTY,
     AT(frequency_penalty)},
    {"logit_bias", FIELD_ANY, AT(logit_bias)},
    {"stop", FIELD_ANY, AT(stop)},
    {"stop_token_ids", FIELD_ANY, AT(stop_token_ids)},
    {"min_tokens", FIELD_UINT, .max = EXACT, AT(min_tokens)},
    {"ignore_eos", FIELD_BOOL, AT(ignore_eos)},
    {"model", FIELD_ANY, .nullable = true, AT(model)},
    {"stream", FIELD_BOOL, AT(stream)},
    {"profile", FIELD_BOOL, AT(profile)},
    {"deadline_ms", FIELD_UINT, .min = 1, .max = LONGEST_DEADLINE, AT(deadline_ms)},
};
/* clang-format on */
static const struct field_alias aliases[] = {
    {"content", "prompt"},
    {"input", "prompt"},
    {"inputs", "prompt"},
    {"query", "prompt"},
    {"text", "prompt"},
    {"add_bos", "add_special"},
    {"add_special_tokens", "add_special"},
    {"special", "parse_special"},
    {"length", "max_tokens"},
    {"max_completion_tokens", "max_tokens"},
    {"max_gen_len", "max_tokens"},
    {"max_length", "max_tokens"},
    {"max_new_tokens", "max_tokens"},
    {"max_output_tokens", "max_tokens"},
    {"maxTokens", "max_tokens"},
    {"n_predict", "max_tokens"},
    {"num_predict", "max_tokens"},
    {"min_length", "min_tokens"},
    {"min_new_tokens", "min_tokens"},
    {"temp", "temperature"},
    {"typ_p", "typical_p"},
    {"typical", "typical_p"},
    {"repeat_penalty", "repetition_penalty"},
    {"repeat_last_n", "repetition_window"},
    {"random_seed", "seed"},
    {"stops", "stop"},
    {"stop_sequences", "stop"},
    {"stop_strings", "stop"},
    {"stopSequences", "stop"},
    {"stop_ids", "stop_token_ids"},
    {"n_probs", "logprobs"},
    {"top_logprobs", "logprobs"},
    {"top_n_tokens", "logprobs"},
    {"streaming", "stream"},
    {"timeout", "deadline_ms"},
    {"timeout_ms", "deadline_ms"},
};
const struct field_table native_generate_fields = {rows, sizeof rows / sizeof rows[0], aliases,
                                                   sizeof aliases / sizeof aliases[0]};

static const struct builder_names names = {
    .prompt = "prompt",
    .max_tokens = "max_tokens",
    .min_tokens = "min_tokens",
    .logit_bias = "logit_bias",
};

/* What a body holds, until its job is built. */
struct body {
    struct cJSON *root; /* owned: what the values point into */
    struct generate_values values;
    uint64_t seen;
    struct id_list ids;
    struct stop_list stops;
    struct stop_id_list stop_ids;
    struct bias_list biases;
};

static bool is_seen(const struct body *body, unsigned row)
{
    return body->seen >> row & 1;
}

/* The prompt into the builder's values: a string, or ids. */
static enum status read_prompt(struct body *body, const struct tokenizer *tokenizer,
                               struct builder_values *out, struct error *err)
{
    const struct cJSON *prompt = body->values.prompt;
    if (!is_seen(body, ROW_PROMPT))
        return error_set_param(err, STATUS_INVALID, "prompt",
                               "prompt is missing: give a string, or an array of token ids");
    if (cJSON_IsString(prompt)) {
        out->text = prompt->valuestring;
        out->n_text = strlen(prompt->valuestring);
        return STATUS_OK;
    }
    if (!cJSON_IsArray(prompt))
        return error_set_param(err, STATUS_INVALID, "prompt",
                               "prompt must be a string or an array of token ids, not %s",
                               fields_type_name(prompt));
    if (prompt->child == NULL)
        return error_set_param(err, STATUS_INVALID, "prompt",
                               "prompt must hold at least one token id");
    enum status status = values_ids("prompt", prompt, tokenizer, &body->ids, err);
    out->ids = body->ids.ids;
    out->n_ids = body->ids.n;
    return status;
}

static enum status read_body(struct body *body, const struct generation_source *source,
                             struct builder_values *out, struct error *err)
{
    size_t n_vocab = tokenizer_n_vocab(source->tokenizer);
    struct field_limits bounds = {
        .max_depth = source->limits->max_json_depth,
        .max_nodes = source->limits->max_json_nodes,
        .bounds = {[BOUND_VOCABULARY] = n_vocab, [BOUND_CONTEXT] = source->limits->n_context},
    };
    struct generate_values *values = &body->values;
    enum status status = fields_read(&native_generate_fields, &bounds, source->body, source->n_body,
                                     values, &body->seen, &body->root, err);
    if (status == STATUS_OK && values->stop != NULL)
        status = values_stops("stop", values->stop, &body->stops, err);
    if (status == STATUS_OK && values->stop_token_ids != NULL)
        status = values_stop_ids("stop_token_ids", values->stop_token_ids, source->tokenizer,
                                 &body->stop_ids, err);
    if (status == STATUS_OK && values->model != NULL && !cJSON_IsString(values->model))
        status = error_set_param(err, STATUS_INVALID, "model", "model must be a string, not %s",
                                 fields_type_name(values->model));
    if (status == STATUS_OK && values->logit_bias != NULL)
        status = values_biases("logit_bias", values->logit_bias, n_vocab, &body->biases, err);
    if (status == STATUS_OK)
        status = read_prompt(body, source->tokenizer, out, err);
    return status;
}

static void fill(struct builder_values *out, const struct body *body)
{
    const struct generate_values *values = &body->values;
    out->add_special = values->add_special;
    out->parse_special = values->parse_special;
    out->has_max_tokens = is_seen(body, ROW_MAX_TOKENS);
    out->max_tokens = values->max_tokens;
    out->min_tokens = values->min_tokens;
    out->ignore_eos = values->ignore_eos;
    out->profile = values->profile;
    out->n_logprobs = is_seen(body, ROW_LOGPROBS) ? (int)values->logprobs : -1;
    out->stops = body->stops.stops;
    out->n_stops = body->stops.n;
    out->stop_ids = body->stop_ids.ids;
    out->n_stop_ids = body->stop_ids.n;
    out->sampling = (struct sampling){
        .temperature = (float)values->temperature,
        .top_k = (uint32_t)values->top_k,
        .top_p = (float)values->top_p,
        .min_p = (float)values->min_p,
        .typical_p = (float)values->typical_p,
        .repetition_penalty = (float)values->repetition_penalty,
        .repetition_window = (uint32_t)values->repetition_window,
        .presence_penalty = (float)values->presence_penalty,
        .frequency_penalty = (float)values->frequency_penalty,
        .seed = values->seed,
        .biases = body->biases.biases,
        .n_biases = body->biases.n,
    };
}

enum status native_decode(struct generation *g, const struct generation_source *source,
                          struct error *err)
{
    struct body body = {.root = NULL};
    struct builder_values values;
    enum status status = STATUS_OK;
    builder_defaults(&values);
    if (source->plain && (source->n_body == 0 || source->body[0] != '{')) {
        values.text = source->n_body > 0 ? source->body : "";
        values.n_text = source->n_body;
    } else {
        status = read_body(&body, source, &values, err);
        fill(&values, &body);
    }
    if (status == STATUS_OK)
        status = builder_add(g, &values, &names, source->tokenizer, source->limits, err);
    if (status == STATUS_OK) {
        g->stream = body.values.stream;
        g->profile = body.values.profile;
        g->has_seed = is_seen(&body, ROW_SEED);
        g->deadline_ms = body.values.deadline_ms;
        if (body.values.model != NULL)
            snprintf(g->asked_model, sizeof g->asked_model, "%s", body.values.model->valuestring);
    }
    free(body.ids.ids);
    free(body.biases.biases);
    fields_free(body.root);
    return status;
}

static enum answer_form form(const struct generation *g, const char *accept)
{
    return accept_form(g->stream, accept);
}

const struct dialect native_dialect = {
    .name = "native",
    .fields = &native_generate_fields,
    .types = {[ANSWER_JSON] = "application/json",
              [ANSWER_SSE] = "text/event-stream; charset=utf-8",
              [ANSWER_TEXT] = "text/plain; charset=utf-8"},
    .keep_alive = ": keep-alive\n\n",
    .decode = native_decode,
    .form = form,
    .whole_bound = native_whole_bound,
    .whole = native_whole,
    .event_min = native_event_min,
    .event = native_event,
    .last = native_last,
    .error = native_error,
};
