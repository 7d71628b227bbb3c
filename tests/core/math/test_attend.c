/* test_attend.c - attention over pages: every table against the definition, bit for bit, with what
 * lies beyond the visible positions full of NaN; the definition against a softmax in double
 * precision. */
#include "math_test.h"

static const size_t head_dims[] = {1, 2, 4, 7, 8, 10, 16, 20, 24, 33, 48, 64, 80, 104, 128};
static const size_t positions[] = {1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 65, 100, 511, 512};
#define N(array) (sizeof(array) / sizeof((array)[0]))

struct span {
    struct attend a; /* outputs NULL */
    float *q;
    uint8_t *pages;
    const uint8_t *blocks[ATTEND_SPAN / KV_PAGE];
    float *keys, *values; /* [n_positions][D], before rounding */
};

/* Positions stored by a table, as many as the last of n_rows rows sees when the first sees n, into
 * pages of 0xff: NaN in every type (in KV_Q8 the scales). */
static void rows_create(struct span *s, struct rng *r, const struct kernels *kernels,
                        enum kv_type type, size_t head_dim, size_t n_rows, size_t n_heads,
                        size_t n_first, enum values kind)
{
    size_t n = n_first + n_rows - 1 < ATTEND_SPAN ? n_first + n_rows - 1 : ATTEND_SPAN;
    size_t q_stride = n_heads * head_dim + (n_rows > 1 ? 5 : 0);
    size_t bytes = page_head_bytes(type, head_dim);
    ck_assert(bytes > 0 && bytes % 64 == 0);
    s->q = random_floats(r, n_rows * q_stride, kind);
    s->keys = random_floats(r, n * head_dim, kind);
    s->values = random_floats(r, n * head_dim, kind);
    s->pages = buffer(bytes * (ATTEND_SPAN / KV_PAGE));
    memset(s->pages, 0xff, bytes * (ATTEND_SPAN / KV_PAGE));
    for (size_t b = 0; b < ATTEND_SPAN / KV_PAGE; b++)
        s->blocks[b] =
            s->pages + (ATTEND_SPAN / KV_PAGE - 1 - b) * bytes; /* in any order in memory */
    for (size_t pos = 0; pos < n; pos++) {
        uint8_t *block = s->pages + (size_t)(s->blocks[pos / KV_PAGE] - s->pages);
        kernels->kv_store[type](block, pos % KV_PAGE, head_dim, s->keys + pos * head_dim,
                                s->values + pos * head_dim);
    }
    s->a = (struct attend){.q = s->q,
                           .q_stride = q_stride,
                           .n_rows = n_rows,
                           .n_heads = n_heads,
                           .head_dim = head_dim,
                           .blocks = s->blocks,
                           .n_positions = n_first,
                           .out_stride = n_heads + (n_rows > 1 ? 3 : 0)};
}

static void span_create(struct span *s, struct rng *r, const struct kernels *kernels,
                        enum kv_type type, size_t head_dim, size_t n_heads, size_t n,
                        enum values kind)
{
    rows_create(s, r, kernels, type, head_dim, 1, n_heads, n, kind);
}

static void span_destroy(struct span *s)
{
    free(s->q);
    free(s->keys);
    free(s->values);
    free(s->pages);
}

struct result {
    float *max, *sum, *acc;
};

static struct result run(const struct kernels *kernels, enum kv_type type, const struct span *s)
{
    struct attend a = s->a;
    size_t n_out = a.n_rows * a.out_stride, n_acc = n_out * a.head_dim;
    struct result out = {buffer((n_out + 8) * 4), buffer((n_out + 8) * 4), buffer((n_acc + 8) * 4)};
    for (size_t i = 0; i < n_acc + 8; i++)
        out.acc[i] = 777.0f;
    a.max = out.max;
    a.sum = out.sum;
    a.acc = out.acc;
    a.scratch = buffer(ATTEND_QUERIES * a.head_dim * sizeof(float));
    kernels->attend[type](&a);
    free(a.scratch);
    return out;
}

static void result_destroy(struct result *r)
{
    free(r->max);
    free(r->sum);
    free(r->acc);
}

static void compare(const struct table_pair *pair, enum kv_type type, const struct span *s)
{
    struct result wanted = run(pair->wanted, type, s), found = run(pair->tested, type, s);
    size_t n_out = s->a.n_rows * s->a.out_stride;
    ck_same_floats(wanted.max, found.max, n_out + 8);
    ck_same_floats(wanted.sum, found.sum, n_out + 8);
    ck_same_floats(wanted.acc, found.acc, n_out * s->a.head_dim + 8);
    result_destroy(&wanted);
    result_destroy(&found);
}

/* A sanitizer makes the reference many times slower: one shape in so many. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SHAPES_STEP = 7 };
#else
enum { SHAPES_STEP = 1 };
#endif

START_TEST(attention_has_the_definitions_bits)
{
    enum kv_type type = (enum kv_type)(_i % KV_TYPES);
    enum values kind = (enum values)(_i / KV_TYPES);
    struct table_pair pairs[MAX_PAIRS];
    const size_t n_pairs = table_pairs(pairs);
    struct rng r = {10 + (uint64_t)_i};
    for (size_t i = 0; i < n_pairs * N(head_dims) * N(positions); i += SHAPES_STEP) {
        size_t head_dim = head_dims[i / n_pairs % N(head_dims)],
               n = positions[i / n_pairs / N(head_dims)];
        if (head_dim > 24 && n > 100 && i % n_pairs == 0)
            continue; /* the slow pair of two references */
        struct span s;
        span_create(&s, &r, pairs[i % n_pairs].wanted, type, head_dim, 1 + i % 9, n, kind);
        compare(&pairs[i % n_pairs], type, &s);
        span_destroy(&s);
    }
}
END_TEST

/* Rows that share a span: with the ends of blocks and of the span among what they see, and with as
 * many queries as are taken together, fewer and (of one row) more. */
START_TEST(rows_together_have_the_definitions_bits)
{
    static const size_t heads[] = {1, 2, 3, 4, 5, 7, 8, 11, 12, 24};
    static const size_t firsts[] = {1, 5, 25, 32, 60, 500, 512};
    enum kv_type type = (enum kv_type)(_i % KV_TYPES);
    enum values kind = _i / KV_TYPES == 0 ? VALUES_NORMAL : VALUES_SPECIAL;
    struct table_pair pairs[MAX_PAIRS];
    const size_t n_pairs = table_pairs(pairs);
    struct rng r = {70 + (uint64_t)_i};
    for (size_t i = 1; i < n_pairs; i++) { /* not the slow pair of two references */
        for (size_t j = 0; j < N(heads) * N(firsts); j += SHAPES_STEP) {
            size_t n_heads = heads[j % N(heads)], most = ATTEND_QUERIES / n_heads;
            size_t head_dim = head_dims[(i + j) % N(head_dims)];
            struct span s;
            rows_create(&s, &r, pairs[i].wanted, type, head_dim, most - rng_below(&r, most),
                        n_heads, firsts[j / N(heads)], kind);
            compare(&pairs[i], type, &s);
            span_destroy(&s);
        }
        for (size_t n_heads = ATTEND_QUERIES + 1; n_heads < 80; n_heads += 23) {
            struct span s;
            span_create(&s, &r, pairs[i].wanted, type, 20, n_heads, 70, kind);
            compare(&pairs[i], type, &s);
            span_destroy(&s);
        }
    }
}
END_TEST

/* Positions that no row sees any more hold NaN. */
static void hide(struct span *s, const struct kernels *kernels, enum kv_type type,
                 ptrdiff_t n_hidden)
{
    float nan[128];
    for (size_t d = 0; d < s->a.head_dim; d++)
        nan[d] = NAN;
    for (ptrdiff_t pos = 0; pos < n_hidden; pos++) {
        uint8_t *block = s->pages + (size_t)(s->blocks[pos / KV_PAGE] - s->pages);
        kernels->kv_store[type](block, (size_t)pos % KV_PAGE, s->a.head_dim, nan, nan);
    }
    s->a.has_window = true;
    s->a.n_hidden = n_hidden;
}

START_TEST(windows_and_caps_have_the_definitions_bits)
{
    static const size_t heads[] = {1, 2, 3, 5, 8, 24}, firsts[] = {1, 25, 32, 60, 96, 500, 512};
    enum kv_type type = (enum kv_type)(_i % KV_TYPES);
    struct table_pair pairs[MAX_PAIRS];
    const size_t n_pairs = table_pairs(pairs);
    struct rng r = {90 + (uint64_t)_i};
    for (size_t i = 1; i < n_pairs; i++) {
        for (size_t j = 0; j < 3 * N(heads) * N(firsts); j += SHAPES_STEP) {
            size_t n_heads = heads[j % N(heads)], most = ATTEND_QUERIES / n_heads;
            size_t n_rows = most - rng_below(&r, most), first = firsts[j / 3 / N(heads)];
            struct span s;
            rows_create(&s, &r, pairs[i].wanted, type, head_dims[(i + j) % N(head_dims)], n_rows,
                        n_heads, first, VALUES_NORMAL);
            /* every row sees something of the span */
            size_t reach = first < ATTEND_SPAN + 1 - n_rows ? first : ATTEND_SPAN + 1 - n_rows;
            hide(&s, pairs[i].wanted, type, (ptrdiff_t)rng_below(&r, reach + 3) - 3);
            s.a.softcap = j % 2 == 0 ? 0.0f : 0.5f + (float)(j % 7);
            compare(&pairs[i], type, &s);
            struct result all = run(pairs[i].tested, type, &s);
            for (size_t h = 0; h < n_rows * n_heads; h++) {
                float sum = all.sum[h / n_heads * s.a.out_stride + h % n_heads];
                ck_assert_msg(sum >= 1.0f, "a sum of %g", (double)sum); /* no NaN came in */
            }
            result_destroy(&all);
            span_destroy(&s);
        }
    }
}
END_TEST

START_TEST(a_row_gives_the_same_bits_alone_and_among_others)
{
    enum { D = 40, HEADS = 3, ROWS = 8 };
    enum kv_type type = (enum kv_type)(_i % KV_TYPES);
    struct table_pair pairs[MAX_PAIRS];
    const size_t n_pairs = table_pairs(pairs);
    struct rng r = {80};
    struct span s;
    rows_create(&s, &r, &kernels_ref, type, D, ROWS, HEADS, 507, VALUES_NORMAL);
    s.a.has_window = _i >= KV_TYPES;
    s.a.n_hidden = 27;
    for (size_t i = 0; i < n_pairs; i++) {
        struct result all = run(pairs[i].tested, type, &s);
        for (size_t row = 0; row < ROWS; row++) {
            struct span one = s;
            one.a.q = s.q + row * s.a.q_stride;
            one.a.n_rows = 1;
            one.a.n_hidden = s.a.n_hidden + (ptrdiff_t)row;
            one.a.n_positions = 507 + row < ATTEND_SPAN ? 507 + row : ATTEND_SPAN;
            struct result alone = run(pairs[i].tested, type, &one);
            ck_same_floats(all.acc + row * s.a.out_stride * D, alone.acc, HEADS * D);
            ck_same_floats(all.sum + row * s.a.out_stride, alone.sum, HEADS);
            ck_same_floats(all.max + row * s.a.out_stride, alone.max, HEADS);
            result_destroy(&alone);
        }
        result_destroy(&all);
    }
    span_destroy(&s);
}
END_TEST

START_TEST(stored_pages_are_the_same_bytes)
{
    enum kv_type type = (enum kv_type)(_i % KV_TYPES);
    enum values kind = (enum values)(_i / KV_TYPES);
    struct table_pair pairs[MAX_PAIRS];
    const size_t n_pairs = table_pairs(pairs);
    for (size_t i = 0; i < n_pairs * N(head_dims); i++) {
        size_t head_dim = head_dims[i / n_pairs];
        if (kind == VALUES_SPECIAL)
            continue; /* F32 NaN's bits may differ where it passes a register; the test above covers
                         NaN */
        struct rng r = {20}, again = {20};
        struct span wanted, found;
        span_create(&wanted, &r, pairs[i % n_pairs].wanted, type, head_dim, 1, 45, kind);
        span_create(&found, &again, pairs[i % n_pairs].tested, type, head_dim, 1, 45, kind);
        ck_assert_mem_eq(wanted.pages, found.pages,
                         page_head_bytes(type, head_dim) * (ATTEND_SPAN / KV_PAGE));
        span_destroy(&wanted);
        span_destroy(&found);
    }
}
END_TEST

START_TEST(a_head_gives_the_same_bits_alone_and_in_a_group)
{
    struct table_pair pairs[MAX_PAIRS];
    const size_t n_pairs = table_pairs(pairs);
    struct rng r = {30};
    struct span s;
    span_create(&s, &r, &kernels_ref, KV_F16, 20, 7, 70, VALUES_NORMAL);
    for (size_t i = 0; i < n_pairs; i++) {
        struct result all = run(pairs[i].tested, KV_F16, &s);
        for (size_t h = 0; h < 7; h++) {
            struct span one = s;
            one.a.q = s.q + h * 20;
            one.a.n_heads = 1;
            struct result alone = run(pairs[i].tested, KV_F16, &one);
            ck_same_floats(all.acc + h * 20, alone.acc, 20);
            ck_same_floats(all.sum + h, alone.sum, 1);
            result_destroy(&alone);
        }
        result_destroy(&all);
    }
    span_destroy(&s);
}
END_TEST

/* Scores that rise with every block, fall, are all equal, or are far apart: the running maximum's
 * branches. */
START_TEST(attention_follows_a_moving_maximum)
{
    struct table_pair pairs[MAX_PAIRS];
    const size_t n_pairs = table_pairs(pairs);
    struct rng r = {40};
    for (size_t i = 0; i < n_pairs * 5; i++) {
        struct span s;
        span_create(&s, &r, &kernels_ref, KV_F32, 8, 5, 200, VALUES_NORMAL);
        for (size_t j = 0; j < 40; j++)
            s.q[j] = 1.0f;
        for (size_t pos = 0; pos < 200; pos++) {
            float k[8] = {0},
                  level[5] = {(float)pos, -(float)pos, 0.0f, pos % 2 == 0 ? 90.0f : -90.0f, -1e30f};
            k[0] = level[i / n_pairs];
            uint8_t *block = s.pages + (size_t)(s.blocks[pos / KV_PAGE] - s.pages);
            kernels_ref.kv_store[KV_F32](block, pos % KV_PAGE, 8, k, s.values + pos * 8);
        }
        compare(&pairs[i % n_pairs], KV_F32, &s);
        span_destroy(&s);
    }
}
END_TEST

/* Spans of one context, merged, against a softmax over all of it. */
START_TEST(merged_spans_are_close_to_the_truth)
{
    enum { D = 20, HEADS = 3, SPANS = 3, LAST = 77 };
    struct table_pair pairs[MAX_PAIRS];
    const size_t n_pairs = table_pairs(pairs);
    for (size_t i = 0; i < n_pairs; i++) {
        struct rng r = {50};
        struct span s[SPANS];
        float max[SPANS * HEADS], sum[SPANS * HEADS], acc[SPANS * HEADS * D], out[HEADS * D];
        for (size_t j = 0; j < SPANS; j++) {
            span_create(&s[j], &r, &kernels_ref, KV_F32, D, HEADS,
                        j + 1 < SPANS ? ATTEND_SPAN : LAST, VALUES_NORMAL);
            memcpy(s[j].q, s[0].q, HEADS * D * sizeof(float));
            float scratch[ATTEND_QUERIES * D];
            s[j].a.scratch = scratch;
            s[j].a.max = max + j * HEADS;
            s[j].a.sum = sum + j * HEADS;
            s[j].a.acc = acc + j * HEADS * D;
            pairs[i].tested->attend[KV_F32](&s[j].a);
        }
        const float sinks[HEADS] = {-3.0f, 0.5f, 40.0f}, *sink = _i == 1 ? sinks : NULL;
        pairs[i].wanted->attend_merge(max, sum, acc, sink, SPANS, HEADS, D, out);
        pairs[i].tested->attend_merge(max, sum, acc, sink, SPANS, HEADS, D,
                                      acc); /* onto the first span */
        ck_same_floats(out, acc, HEADS * D);
        for (size_t h = 0; h < HEADS; h++) {
            double total = sink != NULL ? exp((double)sink[h]) : 0, truth[D] = {0};
            for (size_t j = 0; j < SPANS; j++) {
                for (size_t pos = 0; pos < s[j].a.n_positions; pos++) {
                    double score = 0;
                    for (size_t d = 0; d < D; d++)
                        score += (double)s[0].q[h * D + d] * (double)s[j].keys[pos * D + d];
                    total += exp(score);
                    for (size_t d = 0; d < D; d++)
                        truth[d] += exp(score) * (double)s[j].values[pos * D + d];
                }
            }
            for (size_t d = 0; d < D; d++)
                ck_assert_double_eq_tol((double)out[h * D + d], truth[d] / total, 5e-6);
        }
        for (size_t j = 0; j < SPANS; j++)
            span_destroy(&s[j]);
    }
}
END_TEST

START_TEST(one_span_is_only_divided)
{
    float max[1] = {3.0f}, sum[1] = {4.0f}, acc[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9}, out[9];
    const float wanted[9] = {0.25f, 0.5f, 0.75f, 1.0f, 1.25f, 1.5f, 1.75f, 2.0f, 2.25f};
    kernels_ref.attend_merge(max, sum, acc, NULL, 1, 1, 9, out);
    ck_same_floats(wanted, out, 9);
}
END_TEST

/* KV_Q8 takes a value back to within half a step of its group's scale, whatever else the head
 * holds; a group that is not finite poisons every row that sees it. */
START_TEST(q8_rounds_each_group_by_its_own_scale)
{
    enum { D = 80, POSITIONS = 40 };
    struct rng r = {60};
    struct span s;
    span_create(&s, &r, &kernels_ref, KV_Q8, D, 1, POSITIONS, VALUES_NORMAL);
    for (size_t pos = 0; pos < POSITIONS; pos++) {
        float *v = s.values + pos * D, k[D] = {0};
        for (size_t d = 0; d < D; d++)
            v[d] *= d < 32 ? 1000.0f : d < 64 ? 1.0f : 0.001f;
        k[0] = pos == 7 ? 100.0f : 0.0f; /* with q[0] = 1 only position 7 has weight */
        uint8_t *block = s.pages + (size_t)(s.blocks[pos / KV_PAGE] - s.pages);
        kernels_ref.kv_store[KV_Q8](block, pos % KV_PAGE, D, k, v);
    }
    s.q[0] = 1.0f;
    struct result found = run(&kernels_ref, KV_Q8, &s);
    for (size_t d = 0; d < D; d++) {
        float top = 0.0f, v = s.values[7 * D + d];
        for (size_t i = d / 32 * 32; i < D && i < d / 32 * 32 + 32; i++)
            top = fmaxf(top, fabsf(s.values[7 * D + i]));
        ck_assert_float_eq_tol(found.acc[d], v, top * 1.01f / 254);
    }
    result_destroy(&found);
    const float bad[3] = {INFINITY, -INFINITY, NAN};
    for (size_t i = 0; i < 3; i++) {
        float k[D] = {0};
        k[33] = bad[i];
        kernels_ref.kv_store[KV_Q8](s.pages + (size_t)(s.blocks[0] - s.pages), 3, D, k, k);
        found = run(&kernels_ref, KV_Q8, &s);
        ck_assert(isnan(found.sum[0]) && isnan(found.acc[40]));
        result_destroy(&found);
    }
    span_destroy(&s);
}
END_TEST

START_TEST(a_block_has_the_bytes_of_its_values_and_scales)
{
    ck_assert_uint_eq(page_head_bytes(KV_F16, 64), 64 * 32 * 2 * 2);
    ck_assert_uint_eq(page_head_bytes(KV_F32, 20), (20 + 24) * 32 * 4);
    ck_assert_uint_eq(page_head_bytes(KV_Q8, 64), 64 * 32 * 2 + 2 * 2 * 32 * 2);
    ck_assert_uint_eq(page_head_bytes(KV_Q8, 80), 80 * 32 * 2 + 2 * 3 * 32 * 2);
    ck_assert_uint_eq(page_head_bytes(KV_Q8, 7), 15 * 32 + 2 * 32 * 2 + 32); /* to 64 bytes */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("attend");
    TCase *c = tcase_create("attend");
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, attention_has_the_definitions_bits, 0,
                        (int)KV_TYPES * (int)VALUES_KINDS);
    tcase_add_loop_test(c, rows_together_have_the_definitions_bits, 0, 2 * KV_TYPES);
    tcase_add_loop_test(c, a_row_gives_the_same_bits_alone_and_among_others, 0, 2 * KV_TYPES);
    tcase_add_loop_test(c, windows_and_caps_have_the_definitions_bits, 0, KV_TYPES);
    tcase_add_loop_test(c, stored_pages_are_the_same_bytes, 0, (int)KV_TYPES * (int)VALUES_KINDS);
    tcase_add_test(c, a_head_gives_the_same_bits_alone_and_in_a_group);
    tcase_add_test(c, attention_follows_a_moving_maximum);
    tcase_add_loop_test(c, merged_spans_are_close_to_the_truth, 0, 2); /* without, with sinks */
    tcase_add_test(c, one_span_is_only_divided);
    tcase_add_test(c, q8_rounds_each_group_by_its_own_scale);
    tcase_add_test(c, a_block_has_the_bytes_of_its_values_and_scales);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
