/* request.c - the body of POST /generate to a job: the table of its fields, the sums against the
 * context, and the job's memory filled in. Loop thread or libuv's pool; holds nothing between
 * calls. */
#include "api/native/request.h"

#include "api/native/request_fields.h"
#include "base/clock.h"
#include "engine/engine.h"

#include <cjson/cJSON.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct generate_values {
    const struct cJSON *prompt, *stop, *logit_bias;
    bool parse_special, ignore_eos, stream, profile;
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
    {"parse_special", FIELD_BOOL, AT(parse_special)},
    {"temperature", FIELD_NUMBER, .max = 5, .initial = 0.8, AT(temperature)},
    {"top_k", FIELD_UINT, BOUND_VOCABULARY, .initial = 40, AT(top_k)},
    {"top_p", FIELD_NUMBER, .max = 1, .initial = 0.95, AT(top_p)},
    {"min_p", FIELD_NUMBER, .max = 1, .initial = 0.05, AT(min_p)},
    {"typical_p", FIELD_NUMBER, .max = 1, .initial = 1, AT(typical_p)},
    {"repetition_penalty", FIELD_NUMBER, .min = 0.1, .max = 10, .initial = 1,
     AT(repetition_penalty)},
    {"repetition_window", FIELD_UINT, BOUND_CONTEXT, .initial = 64, AT(repetition_window)},
    {"presence_penalty", FIELD_NUMBER, .min = -2, .max = 2, AT(presence_penalty)},
    {"frequency_penalty", FIELD_NUMBER, .min = -2, .max = 2, AT(frequency_penalty)},
    {"logit_bias", FIELD_ANY, AT(logit_bias)},
    {"stop", FIELD_ANY, AT(stop)},
    {"min_tokens", FIELD_UINT, .max = EXACT, AT(min_tokens)},
    {"ignore_eos", FIELD_BOOL, AT(ignore_eos)},
    {"stream", FIELD_BOOL, AT(stream)},
    {"profile", FIELD_BOOL, AT(profile)},
    {"deadline_ms", FIELD_UINT, .min = 1, .max = LONGEST_DEADLINE, AT(deadline_ms)},
};
/* clang-format on */
const struct field_table generate_fields = {rows, sizeof rows / sizeof rows[0]};

/* Everything a job is made of, before its memory is taken. */
struct parts {
    struct generate_values values;
    uint64_t seen;
    struct id_list prompt;
    uint64_t tokenize_ns;
    struct stop_list stops;
    struct bias_list biases;
    size_t max_tokens;
};

static bool is_seen(const struct parts *parts, unsigned row)
{
    return parts->seen >> row & 1;
}

static enum status read_prompt(struct parts *parts, const struct tokenizer *tokenizer,
                               struct error *err)
{
    const struct cJSON *prompt = parts->values.prompt;
    if (!is_seen(parts, ROW_PROMPT))
        return error_set_param(err, STATUS_INVALID, "prompt",
                               "prompt is missing: give a string, or an array of token ids");
    if (cJSON_IsArray(prompt)) {
        if (prompt->child == NULL)
            return error_set_param(err, STATUS_INVALID, "prompt",
                                   "prompt must hold at least one token id");
        return read_ids("prompt", prompt, tokenizer, &parts->prompt, err);
    }
    if (!cJSON_IsString(prompt))
        return error_set_param(err, STATUS_INVALID, "prompt",
                               "prompt must be a string or an array of token ids, not %s",
                               fields_type_name(prompt));
    unsigned flags = TOKENIZER_ADD_SPECIAL;
    if (parts->values.parse_special)
        flags |= TOKENIZER_PARSE_SPECIAL;
    return read_text("prompt", prompt->valuestring, strlen(prompt->valuestring), flags, tokenizer,
                     &parts->prompt, err);
}

static enum status read_parts(struct parts *parts, const char *body, size_t n,
                              const struct tokenizer *tokenizer, const struct api_limits *limits,
                              struct cJSON **root, struct error *err)
{
    struct field_limits bounds = {
        .max_depth = limits->max_json_depth,
        .max_nodes = limits->max_json_nodes,
        .bounds = {[BOUND_VOCABULARY] = tokenizer_n_vocab(tokenizer),
                   [BOUND_CONTEXT] = limits->n_context},
    };
    struct generate_values *values = &parts->values;
    enum status status =
        fields_read(&generate_fields, &bounds, body, n, values, &parts->seen, root, err);
    if (status == STATUS_OK && values->stop != NULL)
        status = read_stops("stop", values->stop, &parts->stops, err);
    if (status == STATUS_OK && values->logit_bias != NULL)
        status = read_biases("logit_bias", values->logit_bias, tokenizer_n_vocab(tokenizer),
                             &parts->biases, err);
    uint64_t begin_ns = clock_now_ns();
    if (status == STATUS_OK)
        status = read_prompt(parts, tokenizer, err);
    parts->tokenize_ns = clock_now_ns() - begin_ns;
    return status;
}

/* The sums against the context; the answer's length when the body names none. */
static enum status fit(struct parts *parts, const struct api_limits *limits, struct error *err)
{
    const struct generate_values *values = &parts->values;
    size_t n_prompt = parts->prompt.n, n_context = limits->n_context;
    if (n_prompt == 0)
        return error_set_param(err, STATUS_INVALID, "prompt",
                               "prompt is empty, and this model puts no token of its own in front: "
                               "give at least one character");
    if (n_prompt >= n_context)
        return error_set_param(err, STATUS_CONTEXT, "prompt",
                               "the prompt has %zu tokens; the context holds %zu, of which the "
                               "answer needs at least one",
                               n_prompt, n_context);
    if (limits->max_prompt_tokens != 0 && n_prompt > limits->max_prompt_tokens)
        return error_set_param(err, STATUS_CONTEXT, "prompt",
                               "the prompt has %zu tokens; this server takes %zu at most", n_prompt,
                               limits->max_prompt_tokens);
    size_t left = n_context - n_prompt, most = limits->max_output_tokens;
    if (is_seen(parts, ROW_MAX_TOKENS)) {
        if (values->max_tokens > left)
            return error_set_param(err, STATUS_CONTEXT, "max_tokens",
                                   "the prompt's %zu tokens and max_tokens of %" PRIu64
                                   " go beyond the context of %zu; at most %zu are left",
                                   n_prompt, values->max_tokens, n_context, left);
        if (most != 0 && values->max_tokens > most)
            return error_set_param(err, STATUS_INVALID, "max_tokens",
                                   "max_tokens must be at most %zu on this server, not %" PRIu64,
                                   most, values->max_tokens);
        parts->max_tokens = (size_t)values->max_tokens;
    } else {
        parts->max_tokens = left < MAX_TOKENS_DEFAULT ? left : MAX_TOKENS_DEFAULT;
        if (most != 0 && parts->max_tokens > most)
            parts->max_tokens = most;
    }
    if (values->min_tokens > parts->max_tokens)
        return error_set_param(
            err, STATUS_INVALID, "min_tokens",
            "min_tokens must be at most max_tokens, which is %zu%s, not %" PRIu64,
            parts->max_tokens, is_seen(parts, ROW_MAX_TOKENS) ? "" : " when absent",
            values->min_tokens);
    return STATUS_OK;
}

/* Refuses biases that leave nothing to draw, which a draw could only answer with an error. */
static enum status check_bans(const struct parts *parts, const struct tokenizer *tokenizer,
                              struct error *err)
{
    size_t n_vocab = tokenizer_n_vocab(tokenizer), n_free = n_vocab - parts->biases.n_banned;
    bool ends_banned = parts->values.ignore_eos || parts->values.min_tokens > 0;
    if (parts->biases.n_banned == 0)
        return STATUS_OK;
    const struct logit_bias *bias = parts->biases.biases, *end = bias + parts->biases.n;
    for (size_t id = 0; ends_banned && id < n_vocab; id++) {
        while (bias < end && (size_t)bias->id < id)
            bias++;
        bool banned = bias < end && (size_t)bias->id == id && bias->bias < -100;
        n_free -= !banned && tokenizer_is_end(tokenizer, (int32_t)id);
    }
    if (n_free == 0)
        return error_set_param(err, STATUS_INVALID, "logit_bias",
                               "logit_bias bans every token that could be drawn");
    return STATUS_OK;
}

static void fill_sampling(struct sampling *out, const struct parts *parts, size_t n_vocab,
                          size_t n_context)
{
    const struct generate_values *values = &parts->values;
    out->temperature = (float)values->temperature;
    /* The defaults may be more than a small model has. */
    out->top_k = (uint32_t)(values->top_k < n_vocab ? values->top_k : n_vocab);
    out->repetition_window =
        (uint32_t)(values->repetition_window < n_context ? values->repetition_window : n_context);
    out->top_p = (float)values->top_p;
    out->min_p = (float)values->min_p;
    out->typical_p = (float)values->typical_p;
    out->repetition_penalty = (float)values->repetition_penalty;
    out->presence_penalty = (float)values->presence_penalty;
    out->frequency_penalty = (float)values->frequency_penalty;
    out->seed = values->seed;
}

static void fill_job(struct job *job, const struct parts *parts)
{
    const struct generate_values *values = &parts->values;
    memcpy(job_prompt(job), parts->prompt.ids, parts->prompt.n * sizeof *parts->prompt.ids);
    job->n_prompt = parts->prompt.n;
    job->max_tokens = parts->max_tokens;
    job->min_tokens = (size_t)values->min_tokens;
    job->ignore_eos = values->ignore_eos;
    job->n_logprobs = is_seen(parts, ROW_LOGPROBS) ? (int)values->logprobs : -1;
    if (parts->biases.n > 0) {
        memcpy(job_biases(job), parts->biases.biases,
               parts->biases.n * sizeof *parts->biases.biases);
        job->sampling.biases = job_biases(job);
        job->sampling.n_biases = parts->biases.n;
    }
    char *bytes = job_stop_bytes(job);
    for (size_t i = 0; i < parts->stops.n; i++) {
        const struct stop_string *stop = &parts->stops.stops[i];
        memcpy(bytes, stop->bytes, stop->n);
        job->stops[i] = (struct stop_string){bytes, stop->n};
        bytes += stop->n;
    }
    job->n_stops = parts->stops.n;
}

enum status request_generate(struct generate_request *out, const char *body, size_t n, bool plain,
                             const struct tokenizer *tokenizer, const struct api_limits *limits,
                             struct error *err)
{
    struct parts parts = {.seen = 0};
    struct cJSON *root = NULL;
    enum status status;
    if (n == 0)
        body = ""; /* nobody has memory for an empty one */
    if (plain && (n == 0 || body[0] != '{')) {
        fields_default(&generate_fields, &parts.values);
        uint64_t begin_ns = clock_now_ns();
        status = read_text("prompt", body, n, TOKENIZER_ADD_SPECIAL, tokenizer, &parts.prompt, err);
        parts.tokenize_ns = clock_now_ns() - begin_ns;
    } else {
        status = read_parts(&parts, body, n, tokenizer, limits, &root, err);
    }
    if (status == STATUS_OK)
        status = fit(&parts, limits, err);
    if (status == STATUS_OK)
        status = check_bans(&parts, tokenizer, err);
    struct job *job = NULL;
    if (status == STATUS_OK) {
        struct job_size size = {
            .n_prompt = parts.prompt.n,
            .max_tokens = parts.max_tokens,
            .n_biases = parts.biases.n,
            .stop_bytes = parts.stops.n_bytes,
            .max_piece = tokenizer_max_piece(tokenizer),
            .logprobs = is_seen(&parts, ROW_LOGPROBS),
            .profile = parts.values.profile,
        };
        status = job_create(&job, &size, err);
    }
    if (status == STATUS_OK) {
        fill_job(job, &parts);
        fill_sampling(&job->sampling, &parts, tokenizer_n_vocab(tokenizer), limits->n_context);
        *out = (struct generate_request){
            .job = job,
            .stream = parts.values.stream,
            .profile = parts.values.profile,
            .has_seed = is_seen(&parts, ROW_SEED),
            .deadline_ms = parts.values.deadline_ms,
            .tokenize_ns = parts.tokenize_ns,
        };
    }
    free(parts.prompt.ids);
    free(parts.biases.biases);
    fields_free(root);
    return status;
}
