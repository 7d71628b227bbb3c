/* members.c - the members of an answer, by name, so that a request can choose among them. Loop
 * thread; allocates nothing. */
#include "api/llama/parts.h"

#include "base/clock.h"

#include <math.h>
#include <string.h>

struct facts { /* of a finished choice: every member's value */
    const struct generation *g;
    const struct choice *choice;
    const struct job *job;
    const struct llama_wishes *wishes;
    size_t n_sent; /* bytes of the text that went out before */
    int64_t index, id_slot, predicted, evaluated, cached;
    bool yes, no, has_new_line, ignore_eos, stream, timings_per_token, drawn_from;
    const char *stop_type, *model, *none;
    int64_t zero, minus_one, cache_n, prompt_n, top_k, repeat_last_n, n_probs;
    double prompt_ms, prompt_per_token_ms, prompt_per_second;
    double predicted_ms, predicted_per_token_ms, predicted_per_second;
    double temperature, top_p, min_p, typical_p, repeat_penalty, presence_penalty;
    double frequency_penalty, nothing, one;
};

enum member_kind { INTEGER, REAL, FLAG, WORD, COMPUTED, OBJECT };

struct member {
    const char *name;
    enum member_kind kind;
    size_t offset; /* in struct facts */
    void (*put)(struct json_writer *w, const struct facts *f);
    const struct member *inside; /* [n_inside] */
    size_t n_inside;
};
#define AT(member) .offset = offsetof(struct facts, member)

/* --- what is computed --- */

static void put_content(struct json_writer *w, const struct facts *f)
{
    json_string(w, f->job->text + f->n_sent, f->job->n_text - f->n_sent);
}

static void put_tokens(struct json_writer *w, const struct facts *f)
{
    size_t n = f->wishes->return_tokens && !f->g->stream ? f->job->n_tokens : 0;
    json_raw(w, "[");
    for (size_t i = 0; i < n; i++) {
        json_raw(w, i > 0 ? "," : "");
        json_int(w, f->job->tokens[i].id);
    }
    json_raw(w, "]");
}

static void put_prompt(struct json_writer *w, const struct facts *f)
{
    json_string(w, f->choice->echo, f->choice->n_echo);
}

static void put_stopping_word(struct json_writer *w, const struct facts *f)
{
    const struct stop_string none = {"", 0};
    int i = f->job->stop_index;
    const struct stop_string *stop = i >= 0 ? &f->job->stops[i] : &none;
    json_string(w, stop->bytes, stop->n);
}

static void put_probabilities(struct json_writer *w, const struct facts *f)
{
    llama_put_probabilities(w, f->g, f->job, 0, f->job->n_tokens);
}

static void put_seed(struct json_writer *w, const struct facts *f)
{
    uint64_t seed = f->job->sampling.seed;
    bool exact = seed <= UINT64_C(1) << 53; /* beyond it a reader's double would lose bits */
    json_raw(w, exact ? "" : "\"");
    json_uint(w, seed);
    json_raw(w, exact ? "" : "\"");
}

static void put_n_predict(struct json_writer *w, const struct facts *f)
{
    json_int(w, f->wishes->n_predict);
}

static void put_stops(struct json_writer *w, const struct facts *f)
{
    json_raw(w, "[");
    for (size_t i = 0; i < f->job->n_stops; i++) {
        json_raw(w, i > 0 ? "," : "");
        json_string(w, f->job->stops[i].bytes, f->job->stops[i].n);
    }
    json_raw(w, "]");
}

static void put_bias(struct json_writer *w, bool first, int32_t id, float bias)
{
    json_raw(w, first ? "{\"token\":" : ",{\"token\":");
    json_int(w, id);
    json_raw(w, ",\"bias\":");
    json_float(w, bias); /* a ban is null */
    json_raw(w, "}");
}

/* The body's settings, and the ends that ignore_eos bans. */
static void put_biases(struct json_writer *w, const struct facts *f)
{
    const struct sampling *s = &f->job->sampling;
    const int32_t *ends;
    size_t n_ends = f->job->ignore_eos ? tokenizer_ends(f->g->tokenizer, &ends) : 0;
    json_raw(w, "[");
    for (size_t i = 0; i < s->n_biases && !w->full; i++)
        put_bias(w, i == 0, s->biases[i].id, s->biases[i].bias);
    for (size_t i = 0; i < n_ends && !w->full; i++)
        put_bias(w, i == 0 && s->n_biases == 0, ends[i], -INFINITY);
    json_raw(w, "]");
}

static void put_samplers(struct json_writer *w, const struct facts *f)
{
    (void)f;
    json_raw(w, "[\"penalties\",\"top_k\",\"typ_p\",\"top_p\",\"min_p\",\"temperature\"]");
}

static void put_list(struct json_writer *w, const struct facts *f)
{
    (void)f;
    json_raw(w, "[]");
}

/* --- the tables --- */

/* clang-format off */
static const struct member settings[] = {
    {"seed", COMPUTED, .put = put_seed},
    {"temperature", REAL, AT(temperature)},
    {"dynatemp_range", REAL, AT(nothing)},
    {"dynatemp_exponent", REAL, AT(one)},
    {"top_k", INTEGER, AT(top_k)},
    {"top_p", REAL, AT(top_p)},
    {"min_p", REAL, AT(min_p)},
    {"top_n_sigma", INTEGER, AT(minus_one)},
    {"xtc_probability", REAL, AT(nothing)},
    {"typical_p", REAL, AT(typical_p)},
    {"repeat_last_n", INTEGER, AT(repeat_last_n)},
    {"repeat_penalty", REAL, AT(repeat_penalty)},
    {"presence_penalty", REAL, AT(presence_penalty)},
    {"frequency_penalty", REAL, AT(frequency_penalty)},
    {"dry_multiplier", REAL, AT(nothing)},
    {"mirostat", INTEGER, AT(zero)},
    {"adaptive_target", INTEGER, AT(minus_one)},
    {"adaptive_decay", REAL, AT(nothing)},
    {"stop", COMPUTED, .put = put_stops},
    {"max_tokens", COMPUTED, .put = put_n_predict},
    {"n_predict", COMPUTED, .put = put_n_predict},
    {"n_keep", INTEGER, AT(zero)},
    {"n_discard", INTEGER, AT(zero)},
    {"ignore_eos", FLAG, AT(ignore_eos)},
    {"stream", FLAG, AT(stream)},
    {"logit_bias", COMPUTED, .put = put_biases},
    {"n_probs", INTEGER, AT(n_probs)},
    {"min_keep", INTEGER, AT(zero)},
    {"grammar", WORD, AT(none)},
    {"samplers", COMPUTED, .put = put_samplers},
    {"timings_per_token", FLAG, AT(timings_per_token)},
    {"post_sampling_probs", FLAG, AT(drawn_from)},
    {"lora", COMPUTED, .put = put_list},
};
static const struct member timings[] = {
    {"cache_n", INTEGER, AT(cache_n)},
    {"prompt_n", INTEGER, AT(prompt_n)},
    {"prompt_ms", REAL, AT(prompt_ms)},
    {"prompt_per_token_ms", REAL, AT(prompt_per_token_ms)},
    {"prompt_per_second", REAL, AT(prompt_per_second)},
    {"predicted_n", INTEGER, AT(predicted)},
    {"predicted_ms", REAL, AT(predicted_ms)},
    {"predicted_per_token_ms", REAL, AT(predicted_per_token_ms)},
    {"predicted_per_second", REAL, AT(predicted_per_second)},
};
enum { N_SETTINGS = sizeof settings / sizeof settings[0],
       N_TIMINGS = sizeof timings / sizeof timings[0] };
static const struct member members[] = {
    {"index", INTEGER, AT(index)},
    {"content", COMPUTED, .put = put_content},
    {"tokens", COMPUTED, .put = put_tokens},
    {"id_slot", INTEGER, AT(id_slot)},
    {"stop", FLAG, AT(yes)},
    {"model", WORD, AT(model)},
    {"tokens_predicted", INTEGER, AT(predicted)},
    {"tokens_evaluated", INTEGER, AT(evaluated)},
    {"generation_settings", OBJECT, .inside = settings, .n_inside = N_SETTINGS},
    {"prompt", COMPUTED, .put = put_prompt},
    {"has_new_line", FLAG, AT(has_new_line)},
    {"truncated", FLAG, AT(no)},
    {"stop_type", WORD, AT(stop_type)},
    {"stopping_word", COMPUTED, .put = put_stopping_word},
    {"tokens_cached", INTEGER, AT(cached)},
    {"timings", OBJECT, .inside = timings, .n_inside = N_TIMINGS},
    {"completion_probabilities", COMPUTED, .put = put_probabilities},
};
/* clang-format on */
enum { N_MEMBERS = sizeof members / sizeof members[0] };

static void put_members(struct json_writer *w, const struct facts *f, const struct member *table,
                        size_t n);

static void put_value(struct json_writer *w, const struct facts *f, const struct member *m)
{
    const char *place = (const char *)f + m->offset;
    switch (m->kind) {
    case INTEGER:
        json_int(w, *(const int64_t *)(const void *)place);
        break;
    case REAL:
        json_double(w, *(const double *)(const void *)place, 12);
        break;
    case FLAG:
        json_bool(w, *(const bool *)place);
        break;
    case WORD: {
        const char *word = *(const char *const *)(const void *)place;
        json_string(w, word, strlen(word));
        break;
    }
    case COMPUTED:
        m->put(w, f);
        break;
    case OBJECT:
        put_members(w, f, m->inside, m->n_inside);
        break;
    }
}

/* Probabilities are told where they were asked for; a stream has sent them already. */
static bool is_there(const struct facts *f, const struct member *m)
{
    return m->put != put_probabilities ||
           (f->job->n_logprobs >= 0 && f->g != NULL && !f->g->stream);
}

static void put_members(struct json_writer *w, const struct facts *f, const struct member *table,
                        size_t n)
{
    const char *before = "{";
    for (size_t i = 0; i < n && !w->full; i++) {
        if (!is_there(f, &table[i]))
            continue;
        json_name(w, before, table[i].name);
        put_value(w, f, &table[i]);
        before = ",";
    }
    json_raw(w, before[0] == '{' ? "{}" : "}");
}

/* "timings/prompt_n": the member of a member; NULL: there is none. */
static const struct member *find(const char *path)
{
    const struct member *table = members;
    size_t n = N_MEMBERS;
    for (;;) {
        size_t n_name = strcspn(path, "/"), i = 0;
        while (i < n &&
               !(strlen(table[i].name) == n_name && memcmp(table[i].name, path, n_name) == 0))
            i++;
        if (i == n)
            return NULL;
        if (path[n_name] == '\0')
            return &table[i];
        n = table[i].n_inside;
        table = table[i].inside;
        path += n_name + 1;
    }
}

static void put_chosen(struct json_writer *w, const struct facts *f)
{
    const char *path = f->wishes->paths, *before = "{";
    for (size_t i = 0; i < f->wishes->n_fields && !w->full; i++) {
        const struct member *m = find(path);
        if (m != NULL && is_there(f, m)) {
            json_name(w, before, path);
            put_value(w, f, m);
            before = ",";
        }
        path += strlen(path) + 1;
    }
    json_raw(w, before[0] == '{' ? "{}" : "}");
}

/* --- the facts --- */

static double rate(double n, double ms)
{
    return n > 0 && ms > 0 ? n * 1e3 / ms : 0;
}

/* The first token comes with the prompt's last step: what is generated after it has a rate. */
static void fill_timings(struct facts *f, size_t n_read, size_t n_found, size_t n_made)
{
    double n_prompt = (double)(n_read - n_found), n_later = n_made > 1 ? (double)(n_made - 1) : 0;
    f->cache_n = (int64_t)n_found;
    f->prompt_n = (int64_t)(n_read - n_found);
    f->predicted = (int64_t)n_made;
    f->prompt_per_token_ms = n_prompt > 0 ? f->prompt_ms / n_prompt : 0;
    f->prompt_per_second = rate(n_prompt, f->prompt_ms);
    f->predicted_per_token_ms = n_later > 0 ? f->predicted_ms / n_later : 0;
    f->predicted_per_second = rate(n_later, f->predicted_ms);
}

static const char *stop_type(const struct job *job)
{
    if (job->finish != FINISH_STOP)
        return "limit";
    return job->stop_index >= 0 ? "word" : "eos";
}

static void fill(struct facts *f, const struct generation *g, size_t i,
                 const struct generation_mark *from)
{
    const struct choice *choice = &g->choices[i];
    const struct job *job = choice->job;
    const struct sampling *s = &job->sampling;
    const struct llama_wishes *wishes = g->wishes;
    struct generation_times times;
    generation_times(job, &times);
    *f = (struct facts){
        .g = g,
        .choice = choice,
        .job = job,
        .wishes = wishes,
        .n_sent = from->n_text,
        .index = (int64_t)i,
        .id_slot = -1,
        .evaluated = (int64_t)job->n_prompt,
        .cached = (int64_t)job->n_cached,
        .yes = true,
        .has_new_line = memchr(job->text, '\n', job->n_text) != NULL,
        .ignore_eos = job->ignore_eos,
        .stream = g->stream,
        .timings_per_token = wishes->timings_per_token,
        .drawn_from = job->drawn_from,
        .stop_type = stop_type(job),
        .model = g->model,
        .none = "",
        .minus_one = -1,
        .top_k = s->top_k,
        .repeat_last_n = s->repetition_window,
        .n_probs = job->n_logprobs > 0 ? job->n_logprobs : 0,
        .prompt_ms = times.prefill,
        .predicted_ms = times.decode,
        .temperature = (double)s->temperature,
        .top_p = (double)s->top_p,
        .min_p = (double)s->min_p,
        .typical_p = (double)s->typical_p,
        .repeat_penalty = (double)s->repetition_penalty,
        .presence_penalty = (double)s->presence_penalty,
        .frequency_penalty = (double)s->frequency_penalty,
        .one = 1,
    };
    fill_timings(f, job->n_prompt, job->n_cached, job->n_completion);
}

void llama_put_answer(struct json_writer *w, const struct generation *g, size_t i,
                      const struct generation_mark *from)
{
    struct facts facts;
    fill(&facts, g, i, from);
    if (facts.wishes->n_fields > 0)
        put_chosen(w, &facts);
    else
        put_members(w, &facts, members, N_MEMBERS);
}

void llama_put_final_timings(struct json_writer *w, const struct job *job)
{
    struct generation_times times;
    generation_times(job, &times);
    struct facts f = {.job = job, .prompt_ms = times.prefill, .predicted_ms = times.decode};
    fill_timings(&f, job->n_prompt, job->n_cached, job->n_completion);
    json_raw(w, ",\"timings\":");
    put_members(w, &f, timings, N_TIMINGS);
}

size_t llama_answer_bound(const struct generation *g, size_t i)
{
    enum { NAMES = 3072, BIAS = 64 };
    const struct choice *choice = &g->choices[i];
    const struct job *job = choice->job;
    const struct llama_wishes *wishes = g->wishes;
    size_t bound = NAMES + LLAMA_TIMINGS_BOUND + json_string_bound(strlen(g->model)) +
                   json_string_bound(choice->n_echo) + (g->stream ? 0 : 12 * job->max_tokens) +
                   BIAS * (job->sampling.n_biases + TOKENIZER_MAX_ENDS);
    for (size_t k = 0; k < job->n_stops; k++)
        bound += 2 * json_string_bound(job->stops[k].n);
    return wishes->n_fields > 0 ? 2 * bound + 6 * wishes->n_bytes : bound;
}

/* --- while it runs --- */

static double ms_since(uint64_t begin_ns)
{
    uint64_t now = clock_now_ns();
    return now > begin_ns ? (double)(now - begin_ns) * 1e-6 : 0;
}

/* The part that the worker has written before n_read and n_ready let it be read. */
void llama_put_timings(struct json_writer *w, const struct job *job,
                       const struct generation_mark *to)
{
    struct facts f = {.job = job};
    size_t n_found = atomic_load_explicit(&job->n_found, memory_order_relaxed);
    bool decodes = atomic_load_explicit(&job->n_ready, memory_order_acquire) > 0;
    if (decodes)
        f.prompt_ms = (double)(job->first_token_ns - job->started_ns) * 1e-6;
    else if (to->n_read > n_found)
        f.prompt_ms = ms_since(job->started_ns);
    if (to->n_read <= n_found && to->n_tokens == 0)
        f.prompt_ms = 0;
    if (decodes && to->n_tokens > 1)
        f.predicted_ms = ms_since(job->first_token_ns);
    fill_timings(&f, to->n_read, n_found < to->n_read ? n_found : to->n_read, to->n_tokens);
    json_raw(w, ",\"timings\":");
    put_members(w, &f, timings, N_TIMINGS);
}

void llama_put_progress(struct json_writer *w, const struct job *job,
                        const struct generation_mark *to)
{
    size_t n_found = atomic_load_explicit(&job->n_found, memory_order_relaxed);
    json_name_uint(w, ",\"prompt_progress\":{", "total", job->n_prompt);
    json_name_uint(w, ",", "cache", n_found);
    json_name_uint(w, ",", "processed", to->n_read);
    json_name_double(w, ",", "time_ms", to->n_read > n_found ? ms_since(job->started_ns) : 0, 3);
    json_raw(w, "}");
}

/* --- probabilities --- */

/* {"id","token","bytes","logprob", left open; "prob" where that is what it is. */
static void put_token(struct json_writer *w, const struct generation *g, const struct job *job,
                      int32_t id, float value)
{
    struct gguf_string piece = tokenizer_piece(g->tokenizer, id, true);
    json_raw(w, "{\"id\":");
    json_int(w, id);
    json_raw(w, ",\"token\":");
    json_string(w, piece.bytes, piece.n);
    json_raw(w, ",\"bytes\":[");
    for (size_t i = 0; i < piece.n; i++) {
        json_raw(w, i > 0 ? "," : "");
        json_uint(w, (unsigned char)piece.bytes[i]);
    }
    json_raw(w, job->drawn_from ? "],\"prob\":" : "],\"logprob\":");
    json_float(w, value);
}

void llama_put_probabilities(struct json_writer *w, const struct generation *g,
                             const struct job *job, size_t begin, size_t end)
{
    json_raw(w, "[");
    for (size_t i = begin; i < end && !w->full; i++) {
        const struct logprob_record *record = &job->logprobs[i];
        json_raw(w, i > begin ? "," : "");
        put_token(w, g, job, job->tokens[i].id, record->logprob);
        json_raw(w, job->drawn_from ? ",\"top_probs\":[" : ",\"top_logprobs\":[");
        for (size_t k = 0; k < record->n_top; k++) {
            json_raw(w, k > 0 ? "," : "");
            put_token(w, g, job, record->top[k].id, record->top[k].logprob);
            json_raw(w, "}");
        }
        json_raw(w, "]}");
    }
    json_raw(w, "]");
}

size_t llama_token_bound(const struct generation *g, const struct job *job)
{
    size_t piece = tokenizer_max_piece(g->tokenizer) + 4; /* and what earlier tokens left */
    size_t bound = 6 * piece + 12;
    if (job->n_logprobs >= 0)
        bound += ((size_t)job->n_logprobs + 1) * (10 * piece + 96) + 64;
    return bound;
}
