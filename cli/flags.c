/* flags.c - from settings to the request builder's values. Holds no state. */
#include "cli/flags.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct builder_names flags_names = {.prompt = "the prompt",
                                          .max_tokens = "max-tokens",
                                          .min_tokens = "min-tokens",
                                          .logit_bias = "logit-bias"};

/* The flags' biases, sorted, as the builder wants them; the settings know no vocabulary. */
static enum status read_biases(const struct settings *s, size_t n_vocab, struct logit_bias *out,
                               struct error *err)
{
    for (size_t i = 0; i < s->n_biases; i++) {
        if (s->biases[i].id < 0 || (size_t)s->biases[i].id >= n_vocab)
            return error_set_param(err, STATUS_INVALID, "logit-bias",
                                   "%d is not a token id of this model; ids are 0 to %zu",
                                   s->biases[i].id, n_vocab - 1);
        out[i] = (struct logit_bias){s->biases[i].id, s->biases[i].bias};
    }
    int32_t twice;
    if (!builder_order_biases(out, s->n_biases, &twice))
        return error_set_param(err, STATUS_INVALID, "logit-bias", "token %d appears more than once",
                               twice);
    return STATUS_OK;
}

enum status flags_read(struct flags *out, const struct settings *settings, size_t n_vocab,
                       struct error *err)
{
    const struct settings *s = settings;
    struct builder_values *values = &out->values;
    builder_defaults(values);
    values->parse_special = s->parse_special;
    values->has_max_tokens = s->max_tokens > 0;
    values->max_tokens = s->max_tokens;
    values->min_tokens = s->min_tokens;
    values->ignore_eos = s->ignore_eos;
    values->n_stops = s->n_stop;
    values->stops = out->stops;
    values->sampling = (struct sampling){
        .temperature = s->temperature,
        .top_k = s->top_k,
        .top_p = s->top_p,
        .min_p = s->min_p,
        .typical_p = s->typical_p,
        .repetition_penalty = s->repetition_penalty,
        .repetition_window = s->repetition_window,
        .presence_penalty = s->presence_penalty,
        .frequency_penalty = s->frequency_penalty,
        .seed = s->seed,
        .n_biases = s->n_biases,
    };
    for (size_t i = 0; i < s->n_stop; i++)
        out->stops[i] = (struct stop_string){s->stop[i], strlen(s->stop[i])};
    out->biases = malloc((s->n_biases + 1) * sizeof *out->biases);
    if (out->biases == NULL)
        return error_no_memory(err, s->n_biases * sizeof *out->biases, "logit biases");
    values->sampling.biases = out->biases;
    return read_biases(s, n_vocab, out->biases, err);
}

void flags_free(struct flags *flags)
{
    free(flags->biases);
    flags->biases = NULL;
}

void flags_blame(enum verb verb, struct error *err)
{
    char name[sizeof err->param];
    size_t n = 0;
    for (; err->param[n] != '\0'; n++)
        name[n] = err->param[n] == '_' ? '-' : err->param[n];
    name[n] = '\0';
    if (!settings_has_option(verb, name))
        return;
    struct error cause = *err;
    snprintf(cause.param, sizeof cause.param, "--%.60s", name);
    error_set_param(err, cause.status, cause.param, "--%s: %s", name, cause.text);
}
