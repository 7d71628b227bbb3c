/* delta.h - the gated delta rule in lanes: the values of a head side by side, its keys one after
 * the other.
 *
 * Included once by a file that defines LANES, TOGETHER (vectors of values that pass the keys
 * together: twice as many sums run side by side) and the vec_ functions, and is compiled with the
 * instructions. The vectors that go together, 16 KiB for 128 keys, stay in the first-level cache
 * while they pass many positions. A position's change is added in the pass that asks the next
 * position's key and query, so that each position reads and writes the state once. Private to
 * core/math. */

enum { DELTA_POSITIONS = 64 }; /* whose keys meet their queries before any state is read */

struct delta_part { /* of a call: some positions */
    const struct delta *d;
    size_t first, n;
    const float *meets; /* [n]: k . q */
    const float *from;  /* the state before the first of them */
};

/* Where the keys of the values from a lane on lie, with PANEL_ROWS floats from key to key. */
ALWAYS_INLINE size_t delta_at(size_t lane, size_t size)
{
    return lane / PANEL_ROWS * PANEL_ROWS * size + lane % PANEL_ROWS;
}

/* The state's answers to a key and a query; where there is a change it is added first. */
ALWAYS_INLINE void delta_pass(const struct delta_part *p, size_t lane, size_t n_vectors, size_t t,
                              bool changes, bool asks, vec change[TOGETHER], vec to_key[TOGETHER],
                              vec to_query[TOGETHER])
{
    const struct delta *d = p->d;
    const size_t last = changes ? t - 1 : t;
    const float *k = d->k + t * d->qk_stride, *q = d->q + t * d->qk_stride;
    const float *old_k = d->k + last * d->qk_stride;
    const vec decay = vec_set(d->decay[last * d->gate_stride]);
    const float *from = changes && last > p->first ? d->state : p->from;
    const float *src[TOGETHER];
    float *dst[TOGETHER];
#pragma GCC unroll 4
    for (size_t v = 0; v < n_vectors; v++) {
        src[v] = from + delta_at(lane + v * LANES, d->size);
        dst[v] = d->state + delta_at(lane + v * LANES, d->size);
        to_key[v] = to_query[v] = vec_zero();
    }
    for (size_t j = 0; j < d->size; j++) {
#pragma GCC unroll 4
        for (size_t v = 0; v < n_vectors; v++) {
            vec s = vec_load(src[v] + j * PANEL_ROWS);
            if (changes) {
                s = vec_fma(vec_set(old_k[j]), change[v], vec_mul(decay, s));
                vec_store(dst[v] + j * PANEL_ROWS, s);
            }
            if (asks) {
                to_key[v] = vec_fma(s, vec_set(k[j]), to_key[v]);
                to_query[v] = vec_fma(s, vec_set(q[j]), to_query[v]);
            }
        }
    }
}

/* n_vectors of values from a lane on; the last may have lanes beyond the head's size. */
ALWAYS_INLINE void delta_values(const struct delta_part *p, size_t lane, size_t n_vectors)
{
    const struct delta *d = p->d;
    const size_t end = p->first + p->n;
    vec change[TOGETHER], to_key[TOGETHER], to_query[TOGETHER];
#pragma GCC unroll 4
    for (size_t v = 0; v < n_vectors; v++)
        change[v] = vec_zero();
    for (size_t t = p->first; t < end; t++) {
        if (t == p->first)
            delta_pass(p, lane, n_vectors, t, false, true, change, to_key, to_query);
        else
            delta_pass(p, lane, n_vectors, t, true, true, change, to_key, to_query);
        const vec decay = vec_set(d->decay[t * d->gate_stride]),
                  beta = vec_set(d->beta[t * d->gate_stride]);
        const vec meet = vec_set(p->meets[t - p->first]);
#pragma GCC unroll 4
        for (size_t v = 0; v < n_vectors; v++) {
            size_t at = lane + v * LANES, left = at < d->size ? d->size - at : 0;
            float *value = d->v + t * d->v_stride + at;
            vec old = left >= LANES ? vec_load(value) : vec_load_some(value, left);
            change[v] = vec_mul(beta, vec_sub(old, vec_mul(decay, to_key[v])));
            vec answer = vec_fma(change[v], meet, vec_mul(decay, to_query[v]));
            if (left >= LANES)
                vec_store(value, answer);
            else
                vec_store_some(value, left, answer);
        }
    }
    delta_pass(p, lane, n_vectors, end, true, false, change, to_key, to_query);
}

ALWAYS_INLINE float delta_meet(const float *k, const float *q, size_t n)
{
    __m256 lanes = _mm256_setzero_ps();
    size_t j = 0;
    for (; j + 8 <= n; j += 8)
        lanes = _mm256_fmadd_ps(_mm256_loadu_ps(k + j), _mm256_loadu_ps(q + j), lanes);
    if (j < n) {
        const __m256i mask = first_lanes(n - j);
        lanes = _mm256_fmadd_ps(_mm256_maskload_ps(k + j, mask), _mm256_maskload_ps(q + j, mask),
                                lanes);
    }
    return tree8(lanes);
}

ALWAYS_INLINE void delta_run(const struct delta *d)
{
    const size_t width = (d->size + PANEL_ROWS - 1) / PANEL_ROWS * PANEL_ROWS;
    float meets[DELTA_POSITIONS];
    struct delta_part p = {.d = d, .meets = meets, .from = d->from};
    if (d->from == NULL) {
        memset(d->state, 0, delta_state_floats(d->size) * sizeof *d->state);
        p.from = d->state;
    }
    for (; p.first < d->n_positions; p.first += p.n, p.from = d->state) {
        p.n = d->n_positions - p.first < DELTA_POSITIONS ? d->n_positions - p.first
                                                         : (size_t)DELTA_POSITIONS;
        for (size_t i = 0; i < p.n; i++)
            meets[i] = delta_meet(d->k + (p.first + i) * d->qk_stride,
                                  d->q + (p.first + i) * d->qk_stride, d->size);
        size_t lane = 0;
        for (; lane + TOGETHER * LANES <= width; lane += TOGETHER * LANES)
            delta_values(&p, lane, TOGETHER);
        for (; lane < width; lane += LANES)
            delta_values(&p, lane, 1);
    }
}
