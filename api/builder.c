/* builder.c - the prompt's tokens, the sums against the context, and the job's memory filled in.
 * Any thread; holds nothing between calls. */
#include "api/builder.h"

#include "base/clock.h"
#include "base/sampling_defaults.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void builder_defaults(struct builder_values *values)
{
    *values = (struct builder_values){
        .add_special = true,
        .n = 1,
        .default_tokens = BUILDER_MAX_TOKENS,
        .n_logprobs = -1,
        .n_prompt_logprobs = -1,
        .sampling = {.temperature = (float)SAMPLING_TEMPERATURE,
                     .top_k = SAMPLING_TOP_K,
                     .top_p = (float)SAMPLING_TOP_P,
                     .min_p = (float)SAMPLING_MIN_P,
                     .typical_p = (float)SAMPLING_TYPICAL_P,
                     .repetition_penalty = (float)SAMPLING_REPETITION_PENALTY,
                     .repetition_window = SAMPLING_REPETITION_WINDOW,
                     .presence_penalty = (float)SAMPLING_PRESENCE_PENALTY,
                     .frequency_penalty = (float)SAMPLING_FREQUENCY_PENALTY},
    };
}

enum status builder_tokenize(const char *field, const char *text, size_t n, unsigned flags,
                             const struct tokenizer *tokenizer, int32_t **ids, size_t *n_ids,
                             struct error *err)
{
    size_t n_good = utf8_check(text, n);
    if (n_good < n)
        return error_set_param(err, STATUS_INVALID, field,
                               "%s must be UTF-8; the byte at %zu (0x%02x) is not", field, n_good,
                               (unsigned)(unsigned char)text[n_good]);
    if (memchr(text, '\0', n) != NULL)
        return error_set_param(err, STATUS_INVALID, field,
                               "%s holds a NUL character, which no text may", field);
    size_t room = tokenizer_max_ids(tokenizer, n);
    int32_t *found = malloc((room + 1) * sizeof *found);
    if (found == NULL)
        return error_no_memory(err, room * sizeof *found, "a text's tokens");
    enum status status = tokenizer_encode(tokenizer, text, n, flags, found, n_ids, err);
    if (status != STATUS_OK) {
        free(found);
        if (err != NULL) /* the tokenizer does not know which field this is */
            snprintf(err->param, sizeof err->param, "%s", field);
        return status;
    }
    *ids = found;
    return STATUS_OK;
}

struct build { /* one job in the making */
    const struct builder_values *values;
    const struct builder_names *names;
    const struct tokenizer *tokenizer;
    const struct api_limits *limits;
    const int32_t *prompt; /* [n_prompt] */
    size_t n_prompt, max_tokens;
};

/* Says how many tokens there are, and how many may be, beside the sentence that says it. */
static enum status count_tokens(struct error *err, size_t have, size_t most)
{
    if (err != NULL) {
        err->have = have;
        err->most = most;
    }
    return STATUS_CONTEXT;
}

static size_t most_tokens(const struct api_limits *limits)
{
    size_t most = limits->max_prompt_tokens;
    return most != 0 && most < limits->n_context ? most : limits->n_context;
}

/* Of a vector: there is no answer that needs a place. */
static enum status fit_text(const struct build *b, struct error *err)
{
    size_t most = most_tokens(b->limits);
    if (b->n_prompt == 0)
        return error_set_param(err, STATUS_INVALID, b->names->prompt,
                               "%s holds a text without tokens: give at least one character",
                               b->names->prompt);
    if (b->n_prompt <= most)
        return STATUS_OK;
    error_set_param(err, STATUS_CONTEXT, b->names->prompt,
                    "%s holds a text of %zu tokens; at most %zu are taken", b->names->prompt,
                    b->n_prompt, most);
    return count_tokens(err, b->n_prompt, most);
}

static enum status fit_prompt(const struct build *b, struct error *err)
{
    if (b->values->pooling != POOLING_NONE)
        return fit_text(b, err);
    const char *field = b->names->prompt;
    size_t n_context = b->limits->n_context, most = b->limits->max_prompt_tokens;
    if (b->n_prompt == 0)
        return error_set_param(err, STATUS_INVALID, field,
                               "%s is empty, and this model puts no token of its own in front: "
                               "give at least one character",
                               field);
    if (b->n_prompt >= n_context) {
        error_set_param(err, STATUS_CONTEXT, field,
                        "the prompt is too long: it has %zu tokens, and this model's maximum "
                        "context length is %zu, of which the answer needs at least one",
                        b->n_prompt, n_context);
        return count_tokens(err, b->n_prompt, n_context);
    }
    if (most != 0 && b->n_prompt > most) {
        error_set_param(err, STATUS_CONTEXT, field,
                        "the prompt is too long: it has %zu tokens, and this server takes %zu at "
                        "most",
                        b->n_prompt, most);
        return count_tokens(err, b->n_prompt, most);
    }
    return STATUS_OK;
}

/* The sums against the context; the answer's length when none is named. */
static enum status fit_answer(struct build *b, struct error *err)
{
    const struct builder_values *v = b->values;
    const char *field = b->names->max_tokens;
    size_t left = b->limits->n_context - b->n_prompt, most = b->limits->max_output_tokens;
    if (!v->has_max_tokens) {
        b->max_tokens = left < v->default_tokens ? left : (size_t)v->default_tokens;
        if (most != 0 && b->max_tokens > most)
            b->max_tokens = most;
    } else if (v->max_tokens > left) {
        error_set_param(err, STATUS_CONTEXT, field,
                        "this model's maximum context length is %zu tokens: the prompt's %zu and "
                        "%s of %" PRIu64 " go beyond it; at most %zu are left",
                        b->limits->n_context, b->n_prompt, field, v->max_tokens, left);
        return count_tokens(err, b->n_prompt, b->limits->n_context);
    } else if (most != 0 && v->max_tokens > most) {
        return error_set_param(err, STATUS_INVALID, field,
                               "%s must be at most %zu on this server, not %" PRIu64, field, most,
                               v->max_tokens);
    } else {
        b->max_tokens = (size_t)v->max_tokens;
    }
    if (v->min_tokens > b->max_tokens)
        return error_set_param(err, STATUS_INVALID, b->names->min_tokens,
                               "%s must be at most %s, which is %zu%s, not %" PRIu64,
                               b->names->min_tokens, field, b->max_tokens,
                               v->has_max_tokens ? "" : " when absent", v->min_tokens);
    return STATUS_OK;
}

/* Refuses biases that leave nothing to draw, which a draw could only answer with an error. */
static enum status check_bans(const struct build *b, struct error *err)
{
    const struct sampling *s = &b->values->sampling;
    bool ends_banned = b->values->ignore_eos || b->values->min_tokens > 0;
    size_t n_vocab = tokenizer_n_vocab(b->tokenizer), n_free = n_vocab;
    for (size_t i = 0; i < s->n_biases; i++)
        n_free -= isinf(s->biases[i].bias) ? 1 : 0;
    if (n_free == n_vocab)
        return STATUS_OK;
    const struct logit_bias *bias = s->biases, *end = s->biases + s->n_biases;
    for (size_t id = 0; ends_banned && id < n_vocab; id++) {
        while (bias < end && (size_t)bias->id < id)
            bias++;
        bool banned = bias < end && (size_t)bias->id == id && isinf(bias->bias);
        n_free -= !banned && tokenizer_is_end(b->tokenizer, (int32_t)id);
    }
    if (n_free == 0)
        return error_set_param(err, STATUS_INVALID, b->names->logit_bias,
                               "%s bans every token that could be drawn", b->names->logit_bias);
    return STATUS_OK;
}

static void fill(struct job *job, const struct build *b)
{
    const struct builder_values *v = b->values;
    size_t n_vocab = tokenizer_n_vocab(b->tokenizer), n_context = b->limits->n_context;
    memcpy(job_prompt(job), b->prompt, b->n_prompt * sizeof *b->prompt);
    job->n_prompt = b->n_prompt;
    job->max_tokens = b->max_tokens;
    job->min_tokens = (size_t)v->min_tokens;
    job->ignore_eos = v->ignore_eos;
    job->n_logprobs = v->n_logprobs;
    job->n_prompt_logprobs = v->n_prompt_logprobs;
    job->keep_stop = v->keep_stop;
    job->n_common = v->n_common < b->n_prompt ? v->n_common : b->n_prompt;
    job->no_cache = v->no_cache;
    job->progress = v->progress;
    job->drawn_from = v->drawn_from;
    job->pooling = v->pooling;
    struct logit_bias *biases = job_biases(job); /* before sampling, which it is kept in */
    job->sampling = v->sampling;
    job->sampling.penalties_from = v->answer_only ? b->n_prompt : 0;
    job->sampling.biases = biases;
    /* The defaults may be more than a small model has. */
    if (job->sampling.top_k > n_vocab)
        job->sampling.top_k = (uint32_t)n_vocab;
    if (job->sampling.repetition_window > n_context)
        job->sampling.repetition_window = (uint32_t)n_context;
    if (v->sampling.n_biases > 0)
        memcpy(biases, v->sampling.biases, v->sampling.n_biases * sizeof *biases);
    char *bytes = job_stop_bytes(job);
    for (size_t i = 0; i < v->n_stops; i++) {
        memcpy(bytes, v->stops[i].bytes, v->stops[i].n);
        job->stops[i] = (struct stop_string){bytes, v->stops[i].n};
        bytes += v->stops[i].n;
    }
    job->n_stops = v->n_stops;
    for (size_t i = 0; i < v->n_stop_ids; i++)
        job->stop_ids[i] = v->stop_ids[i];
    job->n_stop_ids = v->n_stop_ids;
}

/* scored: with the prompt's log-probabilities, where they are asked for. */
static enum status make_job(struct job **out, struct build *b, bool scored, struct error *err)
{
    const struct builder_values *v = b->values;
    enum status status = fit_prompt(b, err);
    if (status == STATUS_OK)
        status = fit_answer(b, err);
    if (status == STATUS_OK)
        status = check_bans(b, err);
    if (status != STATUS_OK)
        return status;
    struct job_size size = {
        .n_prompt = b->n_prompt,
        .max_tokens = b->max_tokens,
        .n_biases = v->sampling.n_biases,
        .max_piece = tokenizer_max_piece(b->tokenizer),
        .logprobs = v->n_logprobs >= 0,
        .prompt_logprobs = scored && v->n_prompt_logprobs >= 0,
        .profile = v->profile,
        .grammar = v->grammar,
        .n_vector = v->pooling != POOLING_NONE ? b->limits->n_vector : 0,
    };
    for (size_t i = 0; i < v->n_stops; i++)
        size.stop_bytes += v->stops[i].n;
    status = job_create(out, &size, err);
    if (status != STATUS_OK)
        return status;
    fill(*out, b);
    if (!scored)
        (*out)->n_prompt_logprobs = -1;
    return STATUS_OK;
}

/* The prompt as it was given, or the ids' text, in which control tokens have none. */
static enum status echo(struct choice *choice, const struct build *b, struct error *err)
{
    const struct builder_values *v = b->values;
    if (v->text != NULL)
        return generation_echo(choice, v->text, v->n_text, err);
    size_t n_ids = 0, most = b->n_prompt * tokenizer_max_piece(b->tokenizer);
    int32_t *ids = malloc((b->n_prompt + 1) * sizeof *ids);
    char *text = malloc(most + 1);
    enum status status = STATUS_OK;
    if (ids == NULL || text == NULL)
        status = error_no_memory(err, most, "the prompt's text");
    for (size_t i = 0; status == STATUS_OK && i < b->n_prompt; i++)
        if (!tokenizer_is_control(b->tokenizer, b->prompt[i]))
            ids[n_ids++] = b->prompt[i];
    if (status == STATUS_OK)
        status =
            generation_echo(choice, text, tokenizer_decode(b->tokenizer, ids, n_ids, text), err);
    free(ids);
    free(text);
    return status;
}

/* The prompt's choices, once it is ids. */
static enum status add_choices(struct generation *g, struct build *b, struct error *err)
{
    const bool vector = b->values->pooling != POOLING_NONE;
    size_t most = vector ? b->limits->max_inputs : b->limits->max_choices;
    if (vector && g->n_choices + 1 > most)
        return error_set_param(err, STATUS_INVALID, b->names->prompt,
                               "%s may hold %zu texts at most", b->names->prompt, most);
    if (g->n_choices + b->values->n > most)
        return error_set_param(err, STATUS_INVALID, b->names->n,
                               "a request may ask for %zu answers at most, all prompts together",
                               most);
    const struct job *scored = NULL;
    for (uint32_t i = 0; i < b->values->n; i++) {
        struct job *job;
        enum status status = make_job(&job, b, i == 0, err);
        if (status != STATUS_OK)
            return status;
        job->sampling.choice = i;
        status = generation_add(g, job, err);
        if (status != STATUS_OK) {
            job_destroy(job);
            return status;
        }
        scored = i == 0 ? job : scored;
        g->choices[g->n_choices - 1].scored = scored;
        g->choices[g->n_choices - 1].progress_tokens = b->limits->step_tokens;
        if (b->values->echo)
            status = echo(&g->choices[g->n_choices - 1], b, err);
        if (status != STATUS_OK)
            return status;
    }
    g->n_prompts++;
    return STATUS_OK;
}

static int by_id(const void *a, const void *b)
{
    const struct logit_bias *left = a, *right = b;
    return (left->id > right->id) - (left->id < right->id);
}

bool builder_order_biases(struct logit_bias *biases, size_t n, int32_t *twice)
{
    qsort(biases, n, sizeof *biases, by_id);
    for (size_t i = 0; i < n; i++) {
        if (biases[i].bias <= -100)
            biases[i].bias = -INFINITY;
        if (i > 0 && biases[i].id == biases[i - 1].id) {
            *twice = biases[i].id;
            return false;
        }
    }
    return true;
}

/* Cuts the prompt's end off, but for a last special token: it is how a text ends. */
static enum status truncate_prompt(struct build *b, int32_t **out, struct error *err)
{
    size_t to = b->values->truncate_to, most = most_tokens(b->limits);
    most = to < most ? to : most;
    if (to == 0 || b->n_prompt <= most)
        return STATUS_OK;
    const int32_t last = b->prompt[b->n_prompt - 1];
    int32_t *cut = malloc(most * sizeof *cut);
    if (cut == NULL)
        return error_no_memory(err, most * sizeof *cut, "a text's tokens");
    memcpy(cut, b->prompt, most * sizeof *cut);
    if (b->values->text != NULL && tokenizer_is_control(b->tokenizer, last))
        cut[most - 1] = last;
    b->prompt = *out = cut;
    b->n_prompt = most;
    return STATUS_OK;
}

enum status builder_add(struct generation *g, const struct builder_values *values,
                        const struct builder_names *names, const struct tokenizer *tokenizer,
                        const struct api_limits *limits, struct error *err)
{
    struct build b = {.values = values,
                      .names = names,
                      .tokenizer = tokenizer,
                      .limits = limits,
                      .prompt = values->ids,
                      .n_prompt = values->n_ids};
    int32_t *ids = NULL;
    enum status status = STATUS_OK;
    uint64_t begin_ns = clock_now_ns();
    if (values->text != NULL) {
        unsigned flags = (values->add_special ? TOKENIZER_ADD_SPECIAL : 0U) |
                         (values->parse_special ? TOKENIZER_PARSE_SPECIAL : 0U);
        status = builder_tokenize(names->prompt, values->text, values->n_text, flags, tokenizer,
                                  &ids, &b.n_prompt, err);
        b.prompt = ids;
    }
    g->tokenize_ns += clock_now_ns() - begin_ns;
    int32_t *cut = NULL;
    if (status == STATUS_OK)
        status = truncate_prompt(&b, &cut, err);
    if (status == STATUS_OK)
        status = add_choices(g, &b, err);
    free(cut);
    free(ids);
    return status;
}
