/* test_attention.c - attention over contexts of several spans: however a step's rows fall into
 * tiles, whatever is split over threads and whichever thread does which part, each row gets the
 * bits that the plain kernels give it alone.
 */
#include "forward/attention.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { D = 12, CONTEXT = 1200, SEQUENCES = 3, LAYERS = 2, MAX_ROWS = 300 };

static const struct kernels *ref_kernels, *auto_kernels;
static struct model model;
static struct kv *kv;
static struct kv_seq seqs[SEQUENCES];
static struct row rows[MAX_ROWS];
static uint32_t wanted[MAX_ROWS];
static float *q, *alone, *together; /* [MAX_ROWS][H * D] */

static uint32_t state;

static float noise(void)
{
    return (float)((state = state * 1664525u + 1013904223u) >> 8) * 0x1p-23f - 1.0f;
}

/* Every sequence's whole context is stored: a row looks at what lies before it alone. */
static void open_context(size_t n_heads, size_t n_kv_heads, enum kv_type type)
{
    struct error err;
    struct cpu cpu;
    cpu_detect(&cpu);
    ck_assert_int_eq(kernels_select(&ref_kernels, KERNELS_REF, &cpu, &err), STATUS_OK);
    ck_assert_int_eq(kernels_select(&auto_kernels, KERNELS_AUTO, &cpu, &err), STATUS_OK);
    size_t n_cached;
    state = 1;
    model = (struct model){
        .shape = {.n_layers = LAYERS, .n_heads = n_heads, .n_kv_heads = n_kv_heads, .head_dim = D},
        .n_context = CONTEXT};
    for (size_t i = 0; i < LAYERS; i++)
        model.shape.layers[i] = (struct layer_shape){
            .n_heads = (uint16_t)n_heads, .n_kv_heads = (uint16_t)n_kv_heads, .head_dim = D};
    size_t budget = kv_bytes_for(&model.shape, type, CONTEXT, SEQUENCES);
    ck_assert_int_eq(kv_create(&kv, &model, type, budget, SEQUENCES, false, &err), STATUS_OK);
    for (size_t s = 0; s < SEQUENCES; s++) {
        seqs[s] = (struct kv_seq){0};
        ck_assert(kv_begin(kv, &seqs[s], 0, SIZE_MAX, (const int32_t[]){1}, 1, CONTEXT, &n_cached));
        kv_extend(kv, &seqs[s], CONTEXT);
        for (size_t i = 0; i < CONTEXT * LAYERS * n_kv_heads; i++) {
            size_t pos = i % CONTEXT, layer = i / CONTEXT % LAYERS, head = i / CONTEXT / LAYERS;
            float k[D], v[D];
            for (size_t d = 0; d < D; d++) {
                k[d] = noise() * 2;
                v[d] = noise();
            }
            ref_kernels->kv_store[type](kv_block(kv, seqs[s].pages[pos / KV_PAGE], layer, head),
                                        pos % KV_PAGE, D, k, v);
        }
    }
    size_t n = MAX_ROWS * n_heads * D;
    q = malloc(n * sizeof *q);
    alone = malloc(n * sizeof *alone);
    together = malloc(n * sizeof *together);
    for (size_t i = 0; i < n; i++)
        q[i] = noise();
}

static void close_context(void)
{
    kv_destroy(kv);
    free(q);
    free(alone);
    free(together);
}

static struct attention *create(const struct kernels *kernels, unsigned n_threads)
{
    struct attention *attention;
    struct error err;
    ck_assert_int_eq(attention_create(&attention, &model, kernels, kv, n_threads, MAX_ROWS, &err),
                     STATUS_OK);
    return attention;
}

static struct attention_layer layer_of(size_t layer, float *out)
{
    size_t width = model.shape.n_heads * D;
    return (struct attention_layer){.layer = layer,
                                    .last = layer + 1 == LAYERS,
                                    .q = q,
                                    .q_stride = width,
                                    .out = out,
                                    .out_stride = width};
}

/* Each of the rows by itself. */
static void attend_alone(const uint32_t *list, size_t n, size_t layer)
{
    struct attention *a = create(ref_kernels, 1);
    size_t width = model.shape.n_heads * D;
    for (size_t i = 0; i < n; i++) {
        size_t t = list ? list[i] : i;
        struct attention_layer l = layer_of(layer, alone + i * width);
        l.q += t * width;
        attention_plan(a, &rows[t], 1, (const uint32_t[]){0}, 1);
        attention_run(a, &l, 0, attention_items(a, l.last), 0);
        ck_assert_uint_eq(attention_merge_items(a, l.last), 0);
    }
    attention_destroy(a);
}

/* All at once, in chunks done by one thread or another in some order. */
static void attend_together(const struct kernels *kernels, unsigned n_threads, size_t n_rows,
                            size_t n_wanted, size_t layer)
{
    struct attention *a = create(kernels, n_threads);
    struct attention_layer l = layer_of(layer, together);
    attention_plan(a, rows, n_rows, wanted, n_wanted);
    size_t n_items = attention_items(a, l.last), n_merged = attention_merge_items(a, l.last);
    size_t step = n_items / 7 + 1, first = (n_items - 1) / step * step;
    for (size_t i = first;; i -= step) { /* the last chunk first */
        attention_run(a, &l, i, i + step < n_items ? i + step : n_items,
                      (unsigned)(i / step % n_threads));
        if (i == 0)
            break;
    }
    if (n_merged > 0) {
        attention_merge(a, &l, n_merged / 2, n_merged);
        attention_merge(a, &l, 0, n_merged / 2);
    }
    attention_destroy(a);
}

static void check(size_t n_rows, size_t n_wanted)
{
    static const unsigned threads[] = {1, 2, 5, 40};
    for (size_t layer = 0; layer < LAYERS; layer++) {
        bool last = layer + 1 == LAYERS;
        size_t n = last ? n_wanted : n_rows, n_floats = n * model.shape.n_heads * D;
        attend_alone(last ? wanted : NULL, n, layer);
        for (size_t i = 0; n > 0 && i < 2 * sizeof threads / sizeof *threads; i++) {
            memset(together, 0, n_floats * sizeof *together);
            attend_together(i % 2 ? ref_kernels : auto_kernels, threads[i / 2], n_rows, n_wanted,
                            layer);
            ck_assert_mem_eq(alone, together, n_floats * sizeof *alone);
        }
    }
}

/* n rows of a sequence from a position. */
static size_t add_rows(size_t n_rows, size_t s, size_t position, size_t n)
{
    for (size_t i = 0; i < n; i++)
        rows[n_rows + i] = (struct row){.position = (uint32_t)(position + i), .seq = &seqs[s]};
    return n_rows + n;
}

/* Heads, KV heads: groups of every size, one larger than what is taken together. */
static const struct heads {
    size_t n, n_kv;
} heads[] = {{3, 3}, {6, 3}, {6, 2}, {8, 2}, {7, 1}, {12, 1}, {30, 1}};
enum { N_HEADS = sizeof heads / sizeof *heads };

START_TEST(a_prompt_in_parts_among_others)
{
    open_context(heads[_i].n, heads[_i].n_kv, (enum kv_type)(_i % KV_TYPES));
    size_t n = add_rows(0, 0, 700, 1);
    n = add_rows(n, 1, 490, 70); /* across the border of two spans */
    n = add_rows(n, 2, 1023, 2);
    n = add_rows(n, 1, 560, 60); /* goes on, but not next to its beginning */
    for (uint32_t i = 0; i < 6; i++)
        wanted[i] = i * 20 + i % 2;
    check(n, 6);
    close_context();
}
END_TEST

START_TEST(by_row_only_where_every_row_is_alone_and_wanted)
{
    open_context(6, 2, KV_F16);
    struct attention *a = create(ref_kernels, 2);
    size_t n = add_rows(0, 0, 30, 1);
    n = add_rows(n, 1, 7, 1);
    n = add_rows(n, 2, 100, 1);
    for (uint32_t i = 0; i < 4; i++)
        wanted[i] = i;
    attention_plan(a, rows, n, wanted, n);
    ck_assert(attention_is_by_row(a));
    bool seen[3][2] = {{false}};
    ck_assert_uint_eq(attention_items(a, false), 6);
    for (size_t i = 0; i < 6; i++) {
        size_t kv_head, row = attention_item_row(a, i, &kv_head);
        ck_assert(!seen[row][kv_head]);
        seen[row][kv_head] = true;
    }
    attention_plan(a, rows, n, wanted, n - 1);
    ck_assert(!attention_is_by_row(a));
    n = add_rows(n, 0, 31, 1); /* the first one's next, not beside it */
    attention_plan(a, rows, n, wanted, n);
    ck_assert(!attention_is_by_row(a));
    attention_destroy(a);
    close_context();
}
END_TEST

START_TEST(few_rows_of_long_contexts)
{
    open_context(heads[_i].n, heads[_i].n_kv, (enum kv_type)(_i % KV_TYPES));
    size_t n = add_rows(0, 0, 1150, 1);
    wanted[0] = 0;
    check(n, 1);
    n = add_rows(n, 2, 30, 1);
    wanted[1] = 1;
    check(n, 2);
    n = add_rows(n, 1, 1020, 6);
    wanted[1] = 7;
    check(n, 2);
    check(n, 0);
    close_context();
}
END_TEST

START_TEST(all_of_a_prompt_is_wanted)
{
    open_context(6, 2, KV_F16);
    size_t n = add_rows(0, 0, 0, MAX_ROWS);
    for (uint32_t i = 0; i < n; i++)
        wanted[i] = i;
    check(n, n);
    close_context();
}
END_TEST

int main(void)
{
    cpu_set_float_mode();
    Suite *suite = suite_create("attention");
    TCase *c = tcase_create("facts");
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, a_prompt_in_parts_among_others, 0, N_HEADS);
    tcase_add_test(c, by_row_only_where_every_row_is_alone_and_wanted);
    tcase_add_loop_test(c, few_rows_of_long_contexts, 0, N_HEADS);
    tcase_add_test(c, all_of_a_prompt_is_wanted);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
