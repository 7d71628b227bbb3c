/* decode.c - the body of POST /completion: the table of its fields, and the rows of the dialect
 * table. Any thread; holds nothing between calls. */
#include "api/llama/parts.h"

#include "base/sampling_defaults.h"

#include <stdlib.h>

#define IGNORED(name)                                                                              \
    {                                                                                              \
        (name), FIELD_NONE, .no_effect = true                                                      \
    }
static const char one_way[] = "only plain sampling is supported";

/* clang-format off */
static const struct field rows[] = {
    {"prompt", FIELD_ANY, ASKED(prompt)},
    {"n_predict", FIELD_UINT, .max = ASKED_EXACT, .below_absent = true, .nullable = true,
     ASKED(max_tokens)},
    {"max_tokens", FIELD_UINT, .max = ASKED_EXACT, .below_absent = true, .nullable = true,
     ASKED(max_tokens)},
    {"model", FIELD_ANY, .nullable = true, ASKED(model)},
    {"stream", FIELD_BOOL, .nullable = true, ASKED(stream)},
    {"n_cmpl", FIELD_UINT, .min = 1, .max = 1024, .initial = 1, .nullable = true, ASKED(n)},
    {"n", FIELD_UINT, .min = 1, .max = 1024, .initial = 1, .nullable = true, ASKED(n)},
    {"seed", FIELD_SEED, .below_absent = true, .nullable = true, ASKED(seed)},
    {"temperature", FIELD_NUMBER, .max = 5, .initial = SAMPLING_TEMPERATURE, .nullable = true,
     ASKED(temperature)},
    {"top_k", FIELD_UINT, BOUND_VOCABULARY, .initial = SAMPLING_TOP_K, .minus_one_most = true,
     .nullable = true, ASKED(top_k)},
    {"top_p", FIELD_NUMBER, .max = 1, .initial = SAMPLING_TOP_P, .nullable = true, ASKED(top_p)},
    {"min_p", FIELD_NUMBER, .max = 1, .initial = SAMPLING_MIN_P, .nullable = true, ASKED(min_p)},
    {"typical_p", FIELD_NUMBER, .max = 1, .initial = SAMPLING_TYPICAL_P, .nullable = true,
     ASKED(typical_p)},
    {"repeat_penalty", FIELD_NUMBER, .min = 0.1, .max = 10, .initial = SAMPLING_REPETITION_PENALTY,
     .nullable = true, ASKED(repetition_penalty)},
    {"repeat_last_n", FIELD_UINT, BOUND_CONTEXT, .initial = SAMPLING_REPETITION_WINDOW,
     .minus_one_most = true, .nullable = true, ASKED(repetition_window)},
    {"presence_penalty", FIELD_NUMBER, .min = -2, .max = 2, .nullable = true,
     ASKED(presence_penalty)},
    {"frequency_penalty", FIELD_NUMBER, .min = -2, .max = 2, .nullable = true,
     ASKED(frequency_penalty)},
    {"logit_bias", FIELD_ANY, .nullable = true, ASKED(biases)},
    {"samplers", FIELD_ANY, .nullable = true, ASKED(samplers)},
    {"ignore_eos", FIELD_BOOL, .nullable = true, ASKED(ignore_eos)},
    {"stop", FIELD_ANY, .nullable = true, ASKED(stop)},
    {"n_probs", FIELD_UINT, .max = JOB_LOGPROBS_MAX, .nullable = true, ASKED(logprobs)},
    {"cache_prompt", FIELD_BOOL, .initial = true, .nullable = true, ASKED(cache_prompt)},
    {"add_special", FIELD_BOOL, .initial = true, .nullable = true, ASKED(add_special)},
    {"parse_special", FIELD_BOOL, .nullable = true, ASKED(parse_special)},
    {"t_max_predict_ms", FIELD_UINT, .min = 1, .max = ASKED_LONGEST, .below_absent = true,
     .nullable = true, ASKED(deadline_ms)},
    {"return_tokens", FIELD_BOOL, .nullable = true, ASKED(return_tokens)},
    {"timings_per_token", FIELD_BOOL, .nullable = true, ASKED(timings_per_token)},
    {"return_progress", FIELD_BOOL, .nullable = true, ASKED(return_progress)},
    {"response_fields", FIELD_ANY, .nullable = true, ASKED(response_fields)},
    {"post_sampling_probs", FIELD_BOOL, .nullable = true, ASKED(drawn_from)},
    {"grammar", FIELD_ANY, .nullable = true, ASKED(grammar)},
    {"json_schema", FIELD_ANY, .nullable = true, ASKED(json_schema)},
    {"image_data", FIELD_NONE, .refused = "this model reads text only"},
    {"lora", FIELD_NONE, .refused = "adapters are not supported"},
    {"n_indent", FIELD_NONE, .refused = "the answer's indentation is not looked at"},
    {"min_keep", FIELD_NONE, .refused = one_way},
    {"mirostat", FIELD_NONE, .refused = one_way},
    {"dynatemp_range", FIELD_NONE, .refused = one_way},
    {"dry_multiplier", FIELD_NONE, .refused = one_way},
    {"xtc_probability", FIELD_NONE, .refused = one_way},
    {"top_n_sigma", FIELD_NONE, .below_absent = true, .refused = one_way},
    {"adaptive_target", FIELD_NONE, .below_absent = true, .refused = one_way},
    IGNORED("mirostat_tau"), IGNORED("mirostat_eta"), IGNORED("dynatemp_exponent"),
    IGNORED("dry_base"), IGNORED("dry_allowed_length"), IGNORED("dry_penalty_last_n"),
    IGNORED("dry_sequence_breakers"), IGNORED("xtc_threshold"), IGNORED("adaptive_decay"),
    IGNORED("n_keep"), IGNORED("n_discard"), IGNORED("n_cache_reuse"), IGNORED("id_slot"),
    IGNORED("backend_sampling"), IGNORED("sse_ping_interval"), IGNORED("verbose"),
    IGNORED("slot_id"), IGNORED("penalize_nl"), IGNORED("tfs_z"),
};
/* clang-format on */
const struct field_table llama_completion_fields = {
    .fields = rows, .n_fields = sizeof rows / sizeof rows[0], .lenient = true};

static enum status decode(struct generation *g, const struct generation_source *source,
                          struct error *err)
{
    struct asking a = {.source = NULL};
    const struct asked *v = &a.values;
    struct logit_bias *biases = NULL;
    enum status status = asking_read(&a, &llama_completion_fields, source, err);
    a.builder.default_tokens = SIZE_MAX; /* as many as the context leaves */
    a.builder.n_logprobs = v->logprobs > 0 ? (int)v->logprobs : -1;
    a.builder.drawn_from = v->drawn_from;
    a.builder.no_cache = !v->cache_prompt;
    a.builder.progress = v->stream && (v->return_progress || v->timings_per_token);
    if (status == STATUS_OK)
        status = llama_read_samplers(&a, err);
    if (status == STATUS_OK)
        status = llama_read_biases(&a, &biases, err);
    if (status == STATUS_OK)
        status = llama_read_wishes(&a, g, err);
    if (status == STATUS_OK)
        status = llama_add_prompts(&a, g, err);
    asking_end(&a, g, status);
    free(biases);
    return status;
}

static enum answer_form form(const struct generation *g, const char *accept)
{
    (void)accept;
    return g->stream ? ANSWER_SSE : ANSWER_JSON;
}

static size_t write_error(const struct api_error *what, const char *message, const char *param,
                          char *out, size_t room)
{
    return json_error_fit(llama_put_error, what, message, param, out, room);
}

const struct dialect llama_completion = {
    .name = "llama completion",
    .fields = &llama_completion_fields,
    .types =
        {[ANSWER_JSON] = "application/json", [ANSWER_SSE] = "text/event-stream; charset=utf-8"},
    .keep_alive = ":\n\n",
    .decode = decode,
    .form = form,
    .whole_bound = llama_whole_bound,
    .whole = llama_whole,
    .event_min = llama_event_min,
    .event = llama_event,
    .error = write_error,
};
