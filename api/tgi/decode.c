/* decode.c - the bodies of Text Generation Inference's routes: the table of their fields, and the
 * rows of the dialect table. Any thread; holds nothing between calls. */
#include "api/tgi/parts.h"

#include "api/asked/asked.h"

#include <cjson/cJSON.h>

#include <stdlib.h>
#include <string.h>

enum { DEFAULT_TOKENS = 100 }; /* that API's default of max_new_tokens */

static const char one_way[] = "only plain sampling is supported";

/* clang-format off */
/* Members of `parameters`. */
static const struct field parameter_rows[] = {
    {"max_new_tokens", FIELD_UINT, .min = 1, .max = ASKED_EXACT, .nullable = true,
     ASKED(max_tokens)},
    {"do_sample", FIELD_BOOL, .nullable = true, ASKED(do_sample)},
    {"temperature", FIELD_NUMBER, .max = 5, .initial = 1, .nullable = true, ASKED(temperature)},
    {"top_k", FIELD_UINT, BOUND_VOCABULARY, .nullable = true, ASKED(top_k)},
    {"top_p", FIELD_NUMBER, .max = 1, .initial = 1, .nullable = true, ASKED(top_p)},
    {"typical_p", FIELD_NUMBER, .max = 1, .initial = 1, .nullable = true, ASKED(typical_p)},
    {"repetition_penalty", FIELD_NUMBER, .min = 0.1, .max = 10, .initial = 1, .nullable = true,
     ASKED(repetition_penalty)},
    {"frequency_penalty", FIELD_NUMBER, .min = -2, .max = 2, .nullable = true,
     ASKED(frequency_penalty)},
    {"seed", FIELD_SEED, .nullable = true, ASKED(seed)},
    {"stop", FIELD_ANY, .nullable = true, ASKED(stop)},
    {"return_full_text", FIELD_BOOL, .nullable = true, ASKED(echo)},
    {"truncate", FIELD_UINT, .min = 1, .max = ASKED_EXACT, .nullable = true, ASKED(context)},
    {"details", FIELD_BOOL, .nullable = true, ASKED(details)},
    {"decoder_input_details", FIELD_BOOL, .nullable = true, ASKED(prompt_details)},
    {"top_n_tokens", FIELD_UINT, .max = JOB_LOGPROBS_MAX, .nullable = true, ASKED(top_logprobs)},
    {"best_of", FIELD_UINT, .min = 1, .max = 1, .initial = 1, .nullable = true, ASKED(best_of)},
    {"watermark", FIELD_NONE, .refused = "this server puts no watermarks into texts"},
    {"grammar", FIELD_ANY, .nullable = true, ASKED(format)},
    {"adapter_id", FIELD_NONE, .refused = "this server has no adapters"},
    {"num_beams", FIELD_NONE, .refused = one_way},
    {"penalty_alpha", FIELD_NONE, .refused = one_way},
};
static const struct field_table parameters = {
    .fields = parameter_rows,
    .n_fields = sizeof parameter_rows / sizeof parameter_rows[0],
    .inside = "parameters"};

static const struct field rows[] = {
    {"inputs", FIELD_ANY, ASKED(prompt)},
    {"stream", FIELD_BOOL, .nullable = true, ASKED(stream)},
    {"model", FIELD_ANY, .nullable = true, ASKED(model)},
};
const struct field_table tgi_fields = {
    .fields = rows, .n_fields = sizeof rows / sizeof rows[0], .more = &parameters, .lenient = true};
/* clang-format on */

#define HAS(a, member) asking_has(a, offsetof(struct asked, member))

/* Greedy unless the body asks for draws, in one of the ways that there are. */
static bool is_greedy(const struct asking *a)
{
    if (HAS(a, do_sample))
        return !a->values.do_sample;
    return !HAS(a, temperature) && !HAS(a, top_k) && !HAS(a, top_p) && !HAS(a, typical_p);
}

/* {"type": "json" | "regex" | "json_schema", "value": ...}; the last one's schema has a name, too.
 */
static enum status read_grammar(struct asking *a, struct error *err)
{
    const struct shape_reading reading = asking_shape(a, offsetof(struct asked, format));
    const struct cJSON *grammar = a->values.format;
    const struct cJSON *type = values_member(grammar, "type");
    const struct cJSON *value = values_member(grammar, "value");
    enum status status = values_check_object(grammar, reading.field, err);
    if (status != STATUS_OK || grammar == NULL)
        return status;
    const bool named = values_is_text(type, "json_schema");
    if (!named && !values_is_text(type, "json") && !values_is_text(type, "regex"))
        return error_set_param(err, STATUS_INVALID, reading.field,
                               "grammar.type must be \"json\", \"regex\" or \"json_schema\"");
    if (named)
        value = values_member(value, "schema");
    if (value == NULL)
        return error_set_param(err, STATUS_INVALID, reading.field, "grammar.value%s is missing",
                               named ? ".schema" : "");
    return shape_set(&reading, values_is_text(type, "regex") ? SHAPE_REGEX : SHAPE_SCHEMA,
                     named ? ".value.schema" : ".value", value, err);
}

static enum status check(const struct asking *a, struct error *err)
{
    const struct asked *v = &a->values;
    if (v->prompt == NULL || !cJSON_IsString(v->prompt))
        return error_set_param(err, STATUS_INVALID, "inputs", "inputs must be a string, not %s",
                               v->prompt == NULL ? "missing" : fields_type_name(v->prompt));
    if (v->prompt_details && v->stream)
        return error_set_param(err, STATUS_UNSUPPORTED, "decoder_input_details",
                               "decoder_input_details is not available in a stream");
    return STATUS_OK;
}

/* The last tokens of the prompt alone. */
static enum status add_truncated(struct asking *a, struct generation *g, struct error *err)
{
    const struct generation_source *source = a->source;
    const char *text = a->values.prompt->valuestring;
    struct builder_values values = a->builder;
    int32_t *ids = NULL;
    size_t n_ids = 0, most = (size_t)a->values.context;
    enum status status = builder_tokenize("inputs", text, strlen(text), TOKENIZER_ADD_SPECIAL,
                                          source->tokenizer, &ids, &n_ids, err);
    if (status != STATUS_OK)
        return status;
    values.n_ids = n_ids < most ? n_ids : most;
    values.ids = ids + (n_ids - values.n_ids);
    status = asking_build(a, g, &values, err);
    free(ids);
    return status;
}

static enum status keep_wishes(const struct asking *a, struct generation *g, bool list,
                               struct error *err)
{
    const struct asked *v = &a->values;
    struct tgi_wishes *wishes = malloc(sizeof *wishes);
    if (wishes == NULL)
        return error_no_memory(err, sizeof *wishes, "a request's wishes");
    *wishes = (struct tgi_wishes){.details = v->details || v->prompt_details,
                                  .top_tokens = v->top_logprobs > 0,
                                  .list = list};
    g->wishes = wishes;
    return STATUS_OK;
}

static enum status decode(struct generation *g, const struct generation_source *source, bool events,
                          bool list, struct error *err)
{
    struct asking a = {.source = NULL};
    enum status status = asking_read(&a, &tgi_fields, source, err);
    struct asked *v = &a.values;
    v->stream |= events;
    if (status == STATUS_OK)
        status = check(&a, err);
    if (status == STATUS_OK)
        status = read_grammar(&a, err);
    if (status == STATUS_OK)
        status = keep_wishes(&a, g, list, err);
    a.builder.default_tokens = DEFAULT_TOKENS;
    a.builder.keep_stop = true; /* the stop sequence is part of the text there */
    a.builder.sampling.min_p = 0;
    a.builder.sampling.repetition_window = (uint32_t)ASKED_WHOLE_WINDOW;
    if (is_greedy(&a))
        a.builder.sampling.temperature = 0;
    if (v->stream || v->details || v->prompt_details)
        a.builder.n_logprobs = (int)v->top_logprobs;
    if (v->prompt_details)
        a.builder.n_prompt_logprobs = 0;
    if (status == STATUS_OK && HAS(&a, context))
        status = add_truncated(&a, g, err);
    else if (status == STATUS_OK)
        status = asking_add(&a, g, v->prompt, err);
    asking_end(&a, g, status);
    return status;
}

static enum status decode_generate(struct generation *g, const struct generation_source *source,
                                   struct error *err)
{
    return decode(g, source, false, false, err);
}

static enum status decode_stream(struct generation *g, const struct generation_source *source,
                                 struct error *err)
{
    return decode(g, source, true, false, err);
}

static enum status decode_root(struct generation *g, const struct generation_source *source,
                               struct error *err)
{
    return decode(g, source, false, true, err);
}

bool tgi_speaks(const char *body, size_t n, const struct api_limits *limits)
{
    struct json_span name, value;
    bool inputs = false, prompt = false;
    if (n == 0 || memmem(body, n, "\"inputs\"", 8) == NULL ||
        json_check(body, n, limits->max_json_depth, limits->max_json_nodes, NULL) != STATUS_OK)
        return false;
    for (size_t at = 0; json_next_member(body, n, &at, &name, &value);) {
        inputs |= name.n == 6 && memcmp(name.at, "inputs", 6) == 0;
        prompt |= name.n == 6 && memcmp(name.at, "prompt", 6) == 0;
    }
    return inputs && !prompt;
}

static enum answer_form form(const struct generation *g, const char *accept)
{
    (void)accept;
    return g->stream ? ANSWER_SSE : ANSWER_JSON;
}

static size_t write_error(const struct api_error *what, const char *message, const char *param,
                          char *out, size_t room)
{
    return json_error_fit(tgi_put_error, what, message, param, out, room);
}

#define WRITERS                                                                                    \
    .types =                                                                                       \
        {[ANSWER_JSON] = "application/json", [ANSWER_SSE] = "text/event-stream; charset=utf-8"},   \
    .fields = &tgi_fields, .keep_alive = ": keep-alive\n\n", .form = form,                         \
    .whole_bound = tgi_whole_bound, .whole = tgi_whole, .event_min = tgi_event_min,                \
    .event = tgi_event, .error = write_error

const struct dialect tgi_generate = {.name = "tgi generate", .decode = decode_generate, WRITERS};
const struct dialect tgi_stream = {.name = "tgi stream", .decode = decode_stream, WRITERS};
const struct dialect tgi_root = {.name = "tgi", .decode = decode_root, WRITERS};
