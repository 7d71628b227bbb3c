/* sampler.c - bias, penalties, filters and the draw.
 *
 * One struct sampler per compute thread that samples; it owns scratch memory and nothing else. Only
 * our own exp and log are used, and every sum has a written order: over a sorted list it runs down
 * the list in double precision; over the whole vocabulary it is kernels->sum_exp (8 lanes and one
 * tree), or one such sum per block of DRAW_BLOCK, blocks in ascending order. So the same logits and
 * parameters give the same id on every machine. Knows nothing of sequences or text.
 */
#include "text/sampler.h"

#include "base/arena.h"
#include "math/fmath.h"
#include "text/candidates.h"
#include "text/philox.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DRAW_BLOCK = 256 };

struct touched { /* a logit changed by bias, penalty or ban, to be put back */
    int32_t id;
    float logit;
};

struct drawn { /* what the last draw was made from */
    enum { DRAWN_HIGHEST, DRAWN_LISTED, DRAWN_ALL } from;
    double sum; /* of the weights: those of the candidates, or exp of scaled */
};

struct sampler {
    struct arena arena; /* owns the arrays */
    const struct kernels *kernels;
    size_t n_vocab;
    struct candidates candidates;
    float *weights;          /* [n_vocab], parallel to the list of candidates */
    float *masked;           /* [n_vocab] the logits of the tokens that may come */
    float *scaled;           /* [n_vocab] logits over temperature, or typical_p's keep marks */
    struct candidate *order; /* [n_vocab] typical_p's ranking */
    uint32_t *counts;        /* [n_vocab] times in the window; zero between draws */
    uint8_t *is_touched;     /* [n_vocab]; zero between draws */
    struct touched *touched; /* [n_vocab] */
    size_t n_touched;
    struct drawn drawn;
};

enum status sampler_create(struct sampler **out, size_t n_vocab, const struct kernels *kernels,
                           struct error *err)
{
    struct sampler *s = calloc(1, sizeof *s);
    if (!s)
        return error_no_memory(err, sizeof *s, "the sampler");
    size_t per_token = 3 * sizeof(float) + sizeof(struct candidate) + sizeof(uint32_t) +
                       sizeof(uint8_t) + sizeof(struct touched);
    size_t bytes = candidates_bytes(n_vocab) + n_vocab * per_token + (size_t)9 * ARENA_ALIGN;
    enum status status = arena_init(&s->arena, bytes, "the sampler", err);
    if (status != STATUS_OK) {
        free(s);
        return status;
    }
    s->kernels = kernels;
    s->n_vocab = n_vocab;
    bool carved = candidates_init(&s->candidates, &s->arena, n_vocab, kernels);
    s->weights = arena_alloc(&s->arena, n_vocab, sizeof *s->weights);
    s->masked = arena_alloc(&s->arena, n_vocab, sizeof *s->masked);
    s->scaled = arena_alloc(&s->arena, n_vocab, sizeof *s->scaled);
    s->order = arena_alloc(&s->arena, n_vocab, sizeof *s->order);
    s->counts = arena_alloc(&s->arena, n_vocab, sizeof *s->counts);
    s->is_touched = arena_alloc(&s->arena, n_vocab, sizeof *s->is_touched);
    s->touched = arena_alloc(&s->arena, n_vocab, sizeof *s->touched);
    if (!carved || !s->weights || !s->masked || !s->scaled || !s->order || !s->counts ||
        !s->is_touched || !s->touched) {
        sampler_destroy(s);
        return error_no_memory(err, bytes, "the sampler");
    }
    arena_touch(&s->arena, 1);
    *out = s;
    return STATUS_OK;
}

void sampler_destroy(struct sampler *s)
{
    if (!s)
        return;
    arena_free(&s->arena);
    free(s);
}

/* --- bias and penalties: in place, noting what to put back --- */

static bool valid_id(const struct sampler *s, int32_t id)
{
    return id >= 0 && (size_t)id < s->n_vocab;
}

static void touch(struct sampler *s, const float *logits, int32_t id)
{
    if (s->is_touched[id])
        return;
    s->is_touched[id] = 1;
    s->touched[s->n_touched++] = (struct touched){.id = id, .logit = logits[id]};
}

static void put_back(struct sampler *s, float *logits)
{
    for (size_t i = 0; i < s->n_touched; i++) {
        logits[s->touched[i].id] = s->touched[i].logit;
        s->is_touched[s->touched[i].id] = 0;
    }
    s->n_touched = 0;
}

static int by_id(const void *id, const void *bias)
{
    const int32_t a = *(const int32_t *)id, b = ((const struct logit_bias *)bias)->id;
    return a < b ? -1 : a > b;
}

bool sampler_bans(const struct logit_bias *biases, size_t n_biases, int32_t id)
{
    if (n_biases == 0)
        return false;
    const struct logit_bias *bias = bsearch(&id, biases, n_biases, sizeof *bias, by_id);
    return bias != NULL && bias->bias == -INFINITY;
}

static void apply_biases(struct sampler *s, float *logits, const struct sampling *p)
{
    for (size_t i = 0; i < p->n_biases; i++) {
        int32_t id = p->biases[i].id;
        if (!valid_id(s, id))
            continue;
        touch(s, logits, id);
        logits[id] += p->biases[i].bias;
    }
}

static void apply_penalties(struct sampler *s, float *logits, const struct sampling *p,
                            const int32_t *tokens, size_t n_tokens)
{
    if (p->repetition_penalty == 1.0f && p->presence_penalty == 0.0f &&
        p->frequency_penalty == 0.0f)
        return;
    size_t n = n_tokens > p->penalties_from ? n_tokens - p->penalties_from : 0;
    if (n > p->repetition_window)
        n = p->repetition_window;
    const int32_t *window = tokens + (n_tokens - n);
    for (size_t i = 0; i < n; i++)
        if (valid_id(s, window[i]))
            s->counts[window[i]]++;
    for (size_t i = 0; i < n; i++) {
        int32_t id = window[i];
        if (!valid_id(s, id) || s->counts[id] == 0)
            continue;
        touch(s, logits, id);
        float x = logits[id];
        x = x > 0.0f ? x / p->repetition_penalty : x * p->repetition_penalty;
        x -= (float)s->counts[id] * p->frequency_penalty + p->presence_penalty;
        logits[id] = x;
        s->counts[id] = 0;
    }
}

/* --- the filters: each shortens the sorted list of candidates --- */

/* weights[i] = exp(logit - highest); returns their sum down the list. */
static double weigh(struct sampler *s)
{
    const struct candidates *c = &s->candidates;
    double sum = 0.0;
    for (size_t i = 0; i < c->n; i++)
        s->weights[i] = c->list[i].logit - c->list[0].logit;
    s->kernels->exp(s->weights, c->n);
    for (size_t i = 0; i < c->n; i++)
        sum += (double)s->weights[i];
    return sum;
}

static void filter_typical(struct sampler *s, float typical_p)
{
    struct candidates *c = &s->candidates;
    double sum = weigh(s), log_sum = fmath_log_d(sum), mean = 0.0;
    for (size_t i = 0; i < c->n; i++)
        mean += (double)s->weights[i] * ((double)c->list[i].logit - (double)c->list[0].logit);
    double entropy = log_sum - mean / sum;
    for (size_t i = 0; i < c->n; i++) {
        double surprise = log_sum - ((double)c->list[i].logit - (double)c->list[0].logit);
        s->order[i] =
            (struct candidate){.logit = (float)fabs(surprise - entropy), .id = (int32_t)i};
    }
    candidates_sort_ascending(c, s->order, c->n);

    uint8_t *keep = (uint8_t *)s->scaled;
    memset(keep, 0, c->n);
    double so_far = 0.0;
    for (size_t i = 0; i < c->n; i++) {
        keep[s->order[i].id] = 1;
        so_far += (double)s->weights[s->order[i].id];
        if (so_far > (double)typical_p * sum)
            break;
    }
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++)
        if (keep[i])
            c->list[n++] = c->list[i];
    c->n = n;
}

/* sum: of all weights that the filters before left; the list holds the highest of them. Returns
 * false when the list ended before top_p was reached. */
static bool filter_top_p(struct sampler *s, float top_p, double sum)
{
    struct candidates *c = &s->candidates;
    double so_far = 0.0;
    for (size_t i = 0; i < c->n; i++) {
        so_far += (double)s->weights[i];
        if (so_far >= (double)top_p * sum) {
            c->n = i + 1;
            return true;
        }
    }
    return false;
}

static float min_p_floor(float max, float min_p)
{
    if (min_p >= 1.0f)
        return max;
    return min_p > 0.0f ? max + fmath_log(min_p) : -INFINITY;
}

static void filter_min_p(struct sampler *s, float min_p)
{
    struct candidates *c = &s->candidates;
    float floor = min_p_floor(c->list[0].logit, min_p);
    size_t n = 1;
    while (n < c->n && c->list[n].logit >= floor)
        n++;
    c->n = n;
}

/* top_p over the whole vocabulary: its set is the highest few, so a band below the maximum is
 * sorted, wider until it holds the set. What min_p would drop anyway need not be looked at. */
static void top_p_of_all(struct sampler *s, const float *logits, const struct sampling *p,
                         float max)
{
    static const float bands[] = {4.0f, 12.0f, INFINITY};
    double sum = (double)s->kernels->sum_exp(logits, s->n_vocab, max);
    float floor = min_p_floor(max, p->min_p);
    for (size_t i = 0; i < sizeof bands / sizeof *bands; i++) {
        float band = max - bands[i];
        candidates_gather(&s->candidates, logits, band > floor ? band : floor);
        candidates_sort(&s->candidates);
        weigh(s);
        if (filter_top_p(s, p->top_p, sum) || band <= floor)
            return;
    }
}

/* --- the draw --- */

/* Walks the candidates, in the order they stand in, to where the cumulated weight passes u of the
 * whole. */
static int32_t draw_listed(struct sampler *s, float max, float temperature, double u)
{
    const struct candidates *c = &s->candidates;
    double sum = 0.0;
    for (size_t i = 0; i < c->n; i++)
        s->weights[i] = (c->list[i].logit - max) / temperature;
    s->kernels->exp(s->weights, c->n);
    for (size_t i = 0; i < c->n; i++)
        sum += (double)s->weights[i];
    s->drawn = (struct drawn){.from = DRAWN_LISTED, .sum = sum};
    double target = u * sum, so_far = 0.0;
    size_t last = 0;
    for (size_t i = 0; i < c->n; i++) {
        if (s->weights[i] == 0.0f)
            continue;
        last = i;
        so_far += (double)s->weights[i];
        if (so_far > target)
            break;
    }
    return c->list[last].id;
}

/* The same over the whole vocabulary in ascending id, summed block by block. */
static int32_t draw_all(struct sampler *s, const float *logits, float max, float temperature,
                        double u)
{
    size_t n_blocks = (s->n_vocab + DRAW_BLOCK - 1) / DRAW_BLOCK, chosen = 0;
    double sum = 0.0, so_far = 0.0;
    for (size_t i = 0; i < s->n_vocab; i++)
        s->scaled[i] = (logits[i] - max) / temperature;
    for (size_t b = 0; b < n_blocks; b++) {
        size_t begin = b * DRAW_BLOCK;
        size_t n = s->n_vocab - begin < DRAW_BLOCK ? s->n_vocab - begin : DRAW_BLOCK;
        s->weights[b] = s->kernels->sum_exp(s->scaled + begin, n, 0.0f);
        sum += (double)s->weights[b];
    }
    s->drawn = (struct drawn){.from = DRAWN_ALL, .sum = sum};
    double target = u * sum;
    for (size_t b = 0; b < n_blocks; b++) {
        if (s->weights[b] == 0.0f)
            continue;
        chosen = b;
        if (so_far + (double)s->weights[b] > target)
            break;
        so_far += (double)s->weights[b];
    }
    size_t end = (chosen + 1) * DRAW_BLOCK < s->n_vocab ? (chosen + 1) * DRAW_BLOCK : s->n_vocab;
    size_t last = chosen * DRAW_BLOCK;
    for (size_t i = last; i < end; i++) {
        float weight = fmath_exp(s->scaled[i]);
        if (weight == 0.0f)
            continue;
        last = i;
        so_far += (double)weight;
        if (so_far > target)
            break;
    }
    return (int32_t)last;
}

static int32_t choose(struct sampler *s, const float *logits, const struct sampling *p,
                      size_t position)
{
    size_t n_vocab = s->n_vocab;
    s->drawn = (struct drawn){.from = DRAWN_HIGHEST};
    if (p->temperature == 0.0f)
        return (int32_t)s->kernels->argmax(logits, n_vocab);
    double u = philox_uniform(p->seed, p->choice, position);
    float max = s->kernels->max(logits, n_vocab);
    bool top_k = p->top_k > 0 && p->top_k < n_vocab, typical = p->typical_p < 1.0f;
    bool top_p = p->top_p<1.0f, min_p = p->min_p> 0.0f;
    if (!top_k && !typical && !top_p && !min_p)
        return draw_all(s, logits, max, p->temperature, u);
    if (!top_k && !typical && !top_p) {
        candidates_gather(&s->candidates, logits, min_p_floor(max, p->min_p));
        return draw_listed(s, max, p->temperature, u);
    }
    if (!top_k && !typical) {
        top_p_of_all(s, logits, p, max);
    } else {
        candidates_top(&s->candidates, logits, top_k ? p->top_k : n_vocab);
        if (typical)
            filter_typical(s, p->typical_p);
        if (top_p) {
            double sum = weigh(s);
            filter_top_p(s, p->top_p, sum);
        }
    }
    if (min_p)
        filter_min_p(s, p->min_p);
    return draw_listed(s, s->candidates.list[0].logit, p->temperature, u);
}

static void apply_ban(struct sampler *s, float *logits, const struct sampler_ids *ban)
{
    for (size_t i = 0; i < ban->n; i++) {
        if (!valid_id(s, ban->ids[i]))
            continue;
        touch(s, logits, ban->ids[i]);
        logits[ban->ids[i]] = -INFINITY;
    }
}

enum status sampler_check(const struct sampler *s, const float *logits, struct error *err)
{
    if (!s->kernels->all_finite(logits, s->n_vocab))
        return error_set(err, STATUS_INTERNAL, "the model's logits are not finite");
    return STATUS_OK;
}

/* Of finite logits, some of which may be -infinity for the caller's own reasons (any_banned). */
static enum status draw(struct sampler *s, float *logits, const struct sampling *params,
                        const int32_t *tokens, size_t n_tokens, const struct sampler_ids *ban,
                        size_t n_ban, bool any_banned, int32_t *id, struct error *err)
{
    apply_biases(s, logits, params);
    apply_penalties(s, logits, params, tokens, n_tokens);
    for (size_t i = 0; i < n_ban; i++)
        apply_ban(s, logits, &ban[i]);
    any_banned |= s->n_touched > 0;
    float max = any_banned ? s->kernels->max(logits, s->n_vocab) : 0.0f;
    if (isfinite(max))
        *id = choose(s, logits, params, n_tokens);
    put_back(s, logits);
    if (max == -INFINITY)
        return error_set(err, STATUS_INVALID, "every token is banned: leave at least one");
    if (!isfinite(max))
        return error_set(err, STATUS_INTERNAL,
                         "the penalties took a logit out of the range of numbers");
    return STATUS_OK;
}

enum status sampler_draw(struct sampler *s, float *logits, const struct sampling *params,
                         const int32_t *tokens, size_t n_tokens, const struct sampler_ids *ban,
                         size_t n_ban, int32_t *id, struct error *err)
{
    enum status status = sampler_check(s, logits, err);
    if (status != STATUS_OK)
        return status;
    return draw(s, logits, params, tokens, n_tokens, ban, n_ban, false, id, err);
}

/* 64 logits at most: those whose bit is set. Most masks allow few tokens, or all but a few. */
static void mask_word(float *out, const float *logits, size_t n, uint64_t bits)
{
    const bool most = __builtin_popcountll(bits) > 32;
    if (most)
        memcpy(out, logits, n * sizeof *out);
    for (size_t i = 0; i < n && !most; i++)
        out[i] = -INFINITY;
    const uint64_t all = n == 64 ? UINT64_MAX : ((uint64_t)1 << n) - 1;
    for (uint64_t left = (most ? ~bits : bits) & all; left != 0; left &= left - 1) {
        const int i = __builtin_ctzll(left);
        out[i] = most ? -INFINITY : logits[i];
    }
}

enum status sampler_draw_among(struct sampler *s, const float *logits,
                               const struct sampling *params, const int32_t *tokens,
                               size_t n_tokens, const uint64_t *mask, int32_t *id,
                               struct error *err)
{
    enum status status = sampler_check(s, logits, err);
    if (status != STATUS_OK)
        return status;
    for (size_t begin = 0; begin < s->n_vocab; begin += 64) {
        size_t n = s->n_vocab - begin < 64 ? s->n_vocab - begin : 64;
        mask_word(s->masked + begin, logits + begin, n, mask[begin / 64]);
    }
    return draw(s, s->masked, params, tokens, n_tokens, NULL, 0, true, id, err);
}

float sampler_logprobs(struct sampler *s, const float *logits, int32_t id, size_t n_top,
                       struct logprob *top)
{
    float max = s->kernels->max(logits, s->n_vocab);
    double sum = (double)s->kernels->sum_exp(logits, s->n_vocab, max);
    double log_norm = (double)max + fmath_log_d(sum);
    if (n_top > 0)
        candidates_top(&s->candidates, logits, n_top);
    for (size_t i = 0; i < n_top; i++) {
        struct candidate c = s->candidates.list[i];
        top[i] = (struct logprob){.id = c.id, .logprob = (float)((double)c.logit - log_norm)};
    }
    return (float)((double)logits[id] - log_norm);
}

/* One more, where it is among the highest; equal ones stay in the order in which they come. */
static size_t put_top(struct logprob *top, size_t n, size_t n_top, int32_t id, float weight)
{
    if (n == n_top && (n_top == 0 || top[n - 1].logprob >= weight))
        return n;
    size_t at = n < n_top ? n : n - 1;
    for (; at > 0 && top[at - 1].logprob < weight; at--)
        top[at] = top[at - 1];
    top[at] = (struct logprob){id, weight};
    return n < n_top ? n + 1 : n;
}

float sampler_probabilities(const struct sampler *s, int32_t id, size_t *n_top, struct logprob *top)
{
    bool all = s->drawn.from == DRAWN_ALL;
    size_t n = 0, n_items = all ? s->n_vocab : s->candidates.n;
    double own = 0;
    if (s->drawn.from == DRAWN_HIGHEST) {
        *n_top = put_top(top, 0, *n_top, id, 1);
        return 1;
    }
    for (size_t i = 0; i < n_items; i++) {
        float weight = all ? fmath_exp(s->scaled[i]) : s->weights[i];
        int32_t item = all ? (int32_t)i : s->candidates.list[i].id;
        if (item == id)
            own = (double)weight;
        if (weight > 0)
            n = put_top(top, n, *n_top, item, weight);
    }
    for (size_t i = 0; i < n; i++)
        top[i].logprob = (float)((double)top[i].logprob / s->drawn.sum);
    *n_top = n;
    return (float)(own / s->drawn.sum);
}
