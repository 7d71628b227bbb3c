/* decode.c - the body of POST /generate: the table of its fields, and the native row of the dialect
 * table. Loop thread or libuv's pool; holds nothing between calls. */
#include "api/native/parts.h"

#include "api/asked/asked.h"
#include "api/tgi/tgi.h"
#include "base/sampling_defaults.h"

#include <cjson/cJSON.h>

#include <string.h>

/* clang-format off */
static const struct field rows[] = {
    {"prompt", FIELD_ANY, ASKED(prompt)},
    {"max_tokens", FIELD_UINT, .min = 1, .max = ASKED_EXACT, ASKED(max_tokens)},
    {"seed", FIELD_SEED, ASKED(seed)},
    {"logprobs", FIELD_UINT, .max = JOB_LOGPROBS_MAX, .nullable = true,
                        ASKED(logprobs)},
    {"add_special", FIELD_BOOL, .initial = true, ASKED(add_special)},
    {"parse_special", FIELD_BOOL, ASKED(parse_special)},
    {"temperature", FIELD_NUMBER, .max = 5, .initial = SAMPLING_TEMPERATURE, ASKED(temperature)},
    {"top_k", FIELD_UINT, BOUND_VOCABULARY, .initial = SAMPLING_TOP_K, ASKED(top_k)},
    {"top_p", FIELD_NUMBER, .max = 1, .initial = SAMPLING_TOP_P, ASKED(top_p)},
    {"min_p", FIELD_NUMBER, .max = 1, .initial = SAMPLING_MIN_P, ASKED(min_p)},
    {"typical_p", FIELD_NUMBER, .max = 1, .initial = SAMPLING_TYPICAL_P, ASKED(typical_p)},
    {"repetition_penalty", FIELD_NUMBER, .min = 0.1, .max = 10,
     .initial = SAMPLING_REPETITION_PENALTY,
     ASKED(repetition_penalty)},
    {"repetition_window", FIELD_UINT, BOUND_CONTEXT, .initial = SAMPLING_REPETITION_WINDOW,
     ASKED(repetition_window)},
    {"presence_penalty", FIELD_NUMBER, .min = -2, .max = 2, .initial = SAMPLING_PRESENCE_PENALTY,
     ASKED(presence_penalty)},
    {"frequency_penalty", FIELD_NUMBER, .min = -2, .max = 2, .initial = SAMPLING_FREQUENCY_PENALTY,
     ASKED(frequency_penalty)},
    {"logit_bias", FIELD_ANY, ASKED(logit_bias)},
    {"stop", FIELD_ANY, ASKED(stop)},
    {"stop_token_ids", FIELD_ANY, ASKED(stop_token_ids)},
    {"min_tokens", FIELD_UINT, .max = ASKED_EXACT, ASKED(min_tokens)},
    {"ignore_eos", FIELD_BOOL, ASKED(ignore_eos)},
    {"format", FIELD_ANY, .nullable = true, ASKED(format)},
    {"model", FIELD_ANY, .nullable = true, ASKED(model)},
    {"stream", FIELD_BOOL, ASKED(stream)},
    {"resume_tokens", FIELD_ANY, ASKED(resume_tokens)},
    {"fingerprint", FIELD_ANY, .nullable = true, ASKED(fingerprint)},
    {"profile", FIELD_BOOL, ASKED(profile)},
    {"deadline_ms", FIELD_UINT, .min = 1, .max = ASKED_LONGEST, ASKED(deadline_ms)},
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
    {"grammar", "format"},
    {"json_schema", "format"},
    {"response_format", "format"},
    {"structured_outputs", "format"},
    {"n_probs", "logprobs"},
    {"top_logprobs", "logprobs"},
    {"top_n_tokens", "logprobs"},
    {"streaming", "stream"},
    {"timeout", "deadline_ms"},
    {"timeout_ms", "deadline_ms"},
};
const struct field_table native_generate_fields = {.fields = rows,
                                                   .n_fields = sizeof rows / sizeof rows[0],
                                                   .aliases = aliases,
                                                   .n_aliases = sizeof aliases / sizeof aliases[0]};

/* {"json_schema" | "grammar" | "regex" | "choice": ...}: one of them, and nothing else. */
static enum status read_format(struct asking *a, struct error *err)
{
    static const struct {
        const char *name, *inside;
        enum shape_kind kind;
    } members[] = {{"json_schema", ".json_schema", SHAPE_SCHEMA},
                   {"grammar", ".grammar", SHAPE_GRAMMAR},
                   {"regex", ".regex", SHAPE_REGEX},
                   {"choice", ".choice", SHAPE_CHOICE}};
    const struct shape_reading reading = asking_shape(a, offsetof(struct asked, format));
    const struct cJSON *format = a->values.format;
    enum status status = values_check_object(format, reading.field, err);
    if (status != STATUS_OK || format == NULL)
        return status;
    const struct cJSON *member = format->child;
    for (size_t i = 0; member != NULL && i < sizeof members / sizeof members[0]; i++)
        if (strcmp(member->string, members[i].name) == 0 && member->next == NULL)
            return shape_set(&reading, members[i].kind, members[i].inside, member, err);
    return error_set_param(err, STATUS_INVALID, reading.field,
                           "format must have one member: json_schema, grammar, regex or choice");
}

/* The body is the prompt itself. */
static enum status decode_plain(struct generation *g, const struct generation_source *source,
                                struct error *err)
{
    static const struct builder_names names = {.prompt = "prompt",
                                               .max_tokens = "max_tokens",
                                               .min_tokens = "min_tokens",
                                               .logit_bias = "logit_bias",
                                               .n = "n"};
    struct builder_values values;
    builder_defaults(&values);
    values.text = source->n_body > 0 ? source->body : "";
    values.n_text = source->n_body;
    enum status status = builder_add(g, &values, &names, source->tokenizer, source->limits, err);
    if (status != STATUS_OK)
        generation_free(g, true);
    return status;
}

enum status native_decode(struct generation *g, const struct generation_source *source,
                          struct error *err)
{
    if (source->plain && (source->n_body == 0 || source->body[0] != '{'))
        return decode_plain(g, source, err);
    if (tgi_speaks(source->body, source->n_body, source->limits)) {
        g->dialect = &tgi_generate; /* in which it is answered, too */
        return tgi_generate.decode(g, source, err);
    }
    struct asking a = {.source = NULL};
    enum status status = asking_read(&a, &native_generate_fields, source, err);
    if (status == STATUS_OK)
        status = read_format(&a, err);
    if (status == STATUS_OK)
        status = asking_add(&a, g, a.values.prompt, err);
    if (status == STATUS_OK)
        status = native_read_resuming(&a, g, err);
    asking_end(&a, g, status);
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
    .resume = native_resume,
    .whole_bound = native_whole_bound,
    .whole = native_whole,
    .event_min = native_event_min,
    .event = native_event,
    .error = json_error,
};
