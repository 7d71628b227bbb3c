/* asked.c - from a body's values to the request builder. Any thread. */
#include "api/asked/asked.h"

#include "api/asked/shaping.h"
#include "base/sampling_defaults.h"

#include <cjson/cJSON.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void asked_defaults(struct asked *values)
{
    *values = (struct asked){
        .add_special = true,
        .add_generation_prompt = true,
        .cache_prompt = true,
        .n = 1,
        .top_k = SAMPLING_TOP_K,
        .repetition_window = SAMPLING_REPETITION_WINDOW,
        .temperature = SAMPLING_TEMPERATURE,
        .top_p = SAMPLING_TOP_P,
        .min_p = SAMPLING_MIN_P,
        .typical_p = SAMPLING_TYPICAL_P,
        .repetition_penalty = SAMPLING_REPETITION_PENALTY,
        .presence_penalty = SAMPLING_PRESENCE_PENALTY,
        .frequency_penalty = SAMPLING_FREQUENCY_PENALTY,
    };
}

bool asking_has(const struct asking *a, size_t offset)
{
    return fields_has(a->table, &a->found, offset);
}

const char *asking_name(const struct asking *a, size_t offset)
{
    const char *first = "";
    const struct field *field;
    for (size_t i = 0; (field = fields_row(a->table, i)) != NULL; i++) {
        if (field->kind == FIELD_NONE || field->offset != offset)
            continue;
        if (a->found.seen[i / 64] >> i % 64 & 1)
            return field->name;
        if (first[0] == '\0')
            first = field->name;
    }
    return first;
}

#define NAME(a, member) asking_name(a, offsetof(struct asked, member))
#define HAS(a, member)  asking_has(a, offsetof(struct asked, member))

static void fill(struct asking *a)
{
    const struct asked *v = &a->values;
    a->names = (struct builder_names){
        .prompt = NAME(a, prompt),
        .max_tokens = NAME(a, max_tokens),
        .min_tokens = NAME(a, min_tokens),
        .logit_bias = NAME(a, logit_bias),
        .n = NAME(a, n),
    };
    a->builder = (struct builder_values){
        .add_special = v->add_special,
        .parse_special = v->parse_special,
        .n = (uint32_t)v->n,
        .has_max_tokens = HAS(a, max_tokens),
        .max_tokens = v->max_tokens,
        .default_tokens = BUILDER_MAX_TOKENS,
        .min_tokens = v->min_tokens,
        .ignore_eos = v->ignore_eos,
        .profile = v->profile,
        .echo = v->echo,
        .keep_stop = v->keep_stop,
        .n_prompt_logprobs = -1,
        .n_logprobs = HAS(a, logprobs) ? (int)v->logprobs : -1,
        .stops = a->stops.stops,
        .n_stops = a->stops.n,
        .stop_ids = a->stop_ids.ids,
        .n_stop_ids = a->stop_ids.n,
        .sampling = {.temperature = (float)v->temperature,
                     .top_k = (uint32_t)v->top_k,
                     .top_p = (float)v->top_p,
                     .min_p = (float)v->min_p,
                     .typical_p = (float)v->typical_p,
                     .repetition_penalty = (float)v->repetition_penalty,
                     .repetition_window = (uint32_t)v->repetition_window,
                     .presence_penalty = (float)v->presence_penalty,
                     .frequency_penalty = (float)v->frequency_penalty,
                     .seed = v->seed,
                     .biases = a->biases.biases,
                     .n_biases = a->biases.n},
    };
}

struct shape_reading asking_shape(struct asking *a, size_t offset)
{
    return (struct shape_reading){&a->shape, a->source->limits, asking_name(a, offset)};
}

/* The shapes of fields that several dialects have. Some clients send an empty grammar for none. */
static enum status read_shapes(struct asking *a, struct error *err)
{
    const struct asked *v = &a->values;
    const struct {
        size_t offset;
        enum shape_kind kind;
        const struct cJSON *value;
    } fields[] = {
        {offsetof(struct asked, guided_json), SHAPE_SCHEMA, v->guided_json},
        {offsetof(struct asked, guided_regex), SHAPE_REGEX, v->guided_regex},
        {offsetof(struct asked, guided_choice), SHAPE_CHOICE, v->guided_choice},
        {offsetof(struct asked, guided_grammar), SHAPE_GRAMMAR, v->guided_grammar},
        {offsetof(struct asked, json_schema), SHAPE_SCHEMA, v->json_schema},
        {offsetof(struct asked, grammar), SHAPE_GRAMMAR, v->grammar},
    };
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < sizeof fields / sizeof fields[0]; i++) {
        const struct shape_reading reading = asking_shape(a, fields[i].offset);
        if (fields[i].value != NULL && !values_is_text(fields[i].value, ""))
            status = shape_set(&reading, fields[i].kind, "", fields[i].value, err);
    }
    const struct shape_reading reading = asking_shape(a, offsetof(struct asked, structured));
    if (status == STATUS_OK && v->structured != NULL)
        status = shape_read_structured(&reading, v->structured, err);
    return status;
}

static enum status read_lists(struct asking *a, struct error *err)
{
    const struct asked *v = &a->values;
    const struct tokenizer *tokenizer = a->source->tokenizer;
    enum status status = STATUS_OK;
    if (v->stop != NULL)
        status = values_stops(NAME(a, stop), v->stop, &a->stops, err);
    if (status == STATUS_OK && v->stop_token_ids != NULL)
        status = values_stop_ids(NAME(a, stop_token_ids), v->stop_token_ids, tokenizer,
                                 &a->stop_ids, err);
    if (status == STATUS_OK && v->model != NULL && !cJSON_IsString(v->model))
        status = error_set_param(err, STATUS_INVALID, "model", "model must be a string, not %s",
                                 fields_type_name(v->model));
    if (status == STATUS_OK && v->chat_template != NULL && !cJSON_IsString(v->chat_template))
        status = error_set_param(err, STATUS_INVALID, NAME(a, chat_template),
                                 "%s must be a string, not %s", NAME(a, chat_template),
                                 fields_type_name(v->chat_template));
    if (status == STATUS_OK && v->logit_bias != NULL)
        status = values_biases(NAME(a, logit_bias), v->logit_bias, tokenizer_n_vocab(tokenizer),
                               &a->biases, err);
    return status;
}

enum status asking_read(struct asking *a, const struct field_table *table,
                        const struct generation_source *source, struct error *err)
{
    const struct field_limits bounds = {
        .max_depth = source->limits->max_json_depth,
        .max_nodes = source->limits->max_json_nodes,
        .bounds = {[BOUND_VOCABULARY] = tokenizer_n_vocab(source->tokenizer),
                   [BOUND_CONTEXT] = source->limits->n_context},
    };
    a->source = source;
    a->table = table;
    asked_defaults(&a->values);
    enum status status =
        fields_read(table, &bounds, source->body, source->n_body, &a->values, &a->found, err);
    if (status == STATUS_OK)
        status = read_lists(a, err);
    if (status == STATUS_OK)
        status = read_shapes(a, err);
    if (status == STATUS_OK)
        fill(a);
    return status;
}

enum status asking_grammar(struct asking *a, struct generation *g, enum shaping_before before,
                           const struct reasoning_tags *tags, struct error *err)
{
    const struct generation_source *source = a->source;
    if (a->shape.kind == SHAPE_NONE || source->shaping == NULL || a->grammar != NULL)
        return STATUS_OK;
    enum status status = shaping_grammar(source->shaping, &a->shape, before, tags,
                                         !source->must_not_wait, &a->grammar, err);
    g->postponed = status == STATUS_OK && a->grammar == NULL;
    if (g->postponed)
        return error_set_param(err, STATUS_UNABLE, a->shape.field, "it is being compiled");
    return status;
}

enum status asking_build(struct asking *a, struct generation *g,
                         const struct builder_values *values, struct error *err)
{
    enum status status = asking_grammar(a, g, SHAPING_NOTHING, NULL, err);
    struct builder_values shaped = *values;
    shaped.grammar = a->grammar;
    if (status != STATUS_OK)
        return status;
    return builder_add(g, &shaped, &a->names, a->source->tokenizer, a->source->limits, err);
}

enum status asking_add(struct asking *a, struct generation *g, const struct cJSON *prompt,
                       struct error *err)
{
    const char *field = a->names.prompt;
    struct builder_values values = a->builder;
    struct id_list ids = {NULL, 0};
    if (prompt == NULL)
        return error_set_param(err, STATUS_INVALID, field,
                               "%s is missing: give a string, or an array of token ids", field);
    if (cJSON_IsString(prompt)) {
        values.text = prompt->valuestring;
        values.n_text = strlen(prompt->valuestring);
    } else if (!cJSON_IsArray(prompt)) {
        return error_set_param(err, STATUS_INVALID, field,
                               "%s must be a string or an array of token ids, not %s", field,
                               fields_type_name(prompt));
    } else if (prompt->child == NULL) {
        return error_set_param(err, STATUS_INVALID, field, "%s must hold at least one token id",
                               field);
    } else {
        enum status status = values_ids(field, prompt, a->source->tokenizer, &ids, err);
        if (status != STATUS_OK)
            return status;
        values.ids = ids.ids;
        values.n_ids = ids.n;
    }
    enum status status = asking_build(a, g, &values, err);
    free(ids.ids);
    return status;
}

void asking_end(struct asking *a, struct generation *g, enum status status)
{
    if (status == STATUS_OK) {
        g->stream = a->values.stream;
        g->profile = a->values.profile;
        g->echo = a->values.echo;
        g->has_seed = HAS(a, seed);
        g->deadline_ms = a->values.deadline_ms;
        snprintf(g->ignored, sizeof g->ignored, "%s", a->found.ignored);
        if (a->values.model != NULL)
            snprintf(g->asked_model, sizeof g->asked_model, "%s", a->values.model->valuestring);
        if (a->tells_calls && a->tools != NULL && tool_set_tells(a->tools))
            g->tools = a->tools;
    } else {
        generation_free(g, true);
    }
    if (g->tools == NULL && a->tools != NULL) {
        tool_set_free(a->tools);
        free(a->tools);
    }
    grammar_release(a->grammar);
    shape_free(&a->shape);
    free(a->biases.biases);
    fields_free(&a->found);
}
