/* test_one_arithmetic.c - for every weight type and every architecture: each set of kernels that
 * this machine has, any number of threads, any company in the batch and any cut of the tokens give
 * the bits of the plain kernels on one thread, one sequence at a time.
 */
#include "core/any_model.h"
#include "forward/forward.h"
#include "math/kernels_tables.h"

#include <check.h>

/* A sanitizer makes everything many times slower: then each type meets every third architecture. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { ARCH_STEP = 3 };
#else
enum { ARCH_STEP = 1 };
#endif

enum { SEQUENCES = 3, LENGTH = 33, MAX_ROWS = SEQUENCES * LENGTH };

/* The first goes beyond a page of the cache. */
static const size_t lengths[SEQUENCES] = {LENGTH, 19, 7};

/* One model with everything a worker has. */
struct rig {
    struct model *model;
    struct kv *kv;
    struct team *team;
    struct forward *forward;
};

static struct cpu cpu;

static struct model *load(size_t i)
{
    struct gguf *gguf = NULL;
    struct model *model = NULL;
    struct error err = {0};
    size_t size;
    uint8_t *bytes =
        any_model(&any_archs[i % N_ANY_ARCHS], (enum weight_type)(i / N_ANY_ARCHS), &size);
    ck_assert_msg(gguf_open(&gguf, bytes, size, &err) == STATUS_OK, "%s", err.text);
    ck_assert_msg(model_load(&model, gguf, 0, 1, &err) == STATUS_OK, "%s: %s",
                  any_archs[i % N_ANY_ARCHS].name, err.text);
    gguf_close(gguf);
    free(bytes);
    return model;
}

static struct rig rig_open(struct model *model, const struct kernels *kernels, unsigned threads,
                           enum kv_type type)
{
    struct rig rig = {.model = model};
    struct error err = {0};
    size_t budget = SEQUENCES * kv_pages_for(LENGTH) * kv_page_bytes(&model->shape, type);
    ck_assert_msg(kv_create(&rig.kv, model, type, budget, SEQUENCES, false, &err) == STATUS_OK,
                  "%s", err.text);
    ck_assert_int_eq(
        team_create(&rig.team, threads, forward_max_phases(model), cpu_set_float_mode, &err),
        STATUS_OK);
    ck_assert_int_eq(
        forward_create(&rig.forward, model, kernels, rig.kv, rig.team, MAX_ROWS, MAX_ROWS, &err),
        STATUS_OK);
    return rig;
}

static void rig_close(struct rig *rig)
{
    forward_destroy(rig->forward);
    team_destroy(rig->team);
    kv_destroy(rig->kv);
}

struct sequence {
    int32_t tokens[LENGTH];
    struct kv_seq kv;
    size_t n;      /* computed */
    float *logits; /* [LENGTH][n_vocab] */
};

static void begin(struct rig *rig, struct sequence *s)
{
    size_t n_cached;
    s->kv = (struct kv_seq){0};
    s->n = 0;
    ck_assert(kv_begin(rig->kv, &s->kv, 0, SIZE_MAX, s->tokens, 1, LENGTH, &n_cached));
}

/* The next tokens of some sequences in one step, n[s] of each; every row's logits are wanted, and
 * stored or compared. */
static void step(struct rig *rig, struct sequence *sequences, const size_t n[SEQUENCES],
                 bool compare)
{
    struct row rows[MAX_ROWS];
    size_t n_rows = 0, n_vocab = rig->model->shape.n_vocab, row = 0;
    for (size_t s = 0; s < SEQUENCES; s++) {
        struct sequence *q = &sequences[s];
        if (n[s] > 0)
            kv_extend(rig->kv, &q->kv, n[s]);
        for (size_t i = q->n; i < q->n + n[s]; i++)
            rows[n_rows++] = (struct row){.token = q->tokens[i],
                                          .position = (uint32_t)i,
                                          .seq = &q->kv,
                                          .wants_logits = true};
    }
    forward_run(rig->forward, rows, n_rows);
    for (size_t s = 0; s < SEQUENCES; s++) {
        struct sequence *q = &sequences[s];
        for (size_t i = 0; i < n[s]; i++, row++, q->n++) {
            const float *got = forward_logits(rig->forward, row);
            if (compare)
                ck_assert_mem_eq(got, q->logits + q->n * n_vocab, n_vocab * sizeof(float));
            else
                memcpy(q->logits + q->n * n_vocab, got, n_vocab * sizeof(float));
        }
        if (n[s] > 0)
            kv_commit(rig->kv, &q->kv, q->tokens, q->n);
    }
}

/* The definition; where the machine multiplies and adds in one instruction the same source compiled
 * for that, which takes a third of the time (core/math's tests hold the two to the same bits). */
static const struct kernels *plain_kernels(void)
{
#if defined(__x86_64__)
    if (cpu.avx2)
        return &kernels_ref_fma;
#endif
    return &kernels_ref;
}

/* Each sequence by itself, the longest token by token. */
static void compute_alone(struct model *model, struct sequence *sequences, enum kv_type type)
{
    const struct kernels *kernels = plain_kernels();
    struct rig rig = rig_open(model, kernels, 1, type);
    for (size_t s = 0; s < SEQUENCES; s++) {
        uint64_t state = s + 1;
        for (size_t i = 0; i < LENGTH; i++)
            sequences[s].tokens[i] = (int32_t)(next_random(&state) % model->shape.n_vocab);
        sequences[s].logits = malloc(LENGTH * model->shape.n_vocab * sizeof(float));
        ck_assert_ptr_nonnull(sequences[s].logits);
        begin(&rig, &sequences[s]);
        for (size_t n_step = s == 0 ? 1 : lengths[s]; sequences[s].n < lengths[s];) {
            size_t n[SEQUENCES] = {0};
            n[s] = n_step;
            step(&rig, sequences, n, false);
        }
        const float *last = sequences[s].logits + (lengths[s] - 1) * model->shape.n_vocab;
        ck_assert(kernels->all_finite(last, model->shape.n_vocab));
        ck_assert(kernels->max(last, model->shape.n_vocab) > 0); /* not a model of zeros */
    }
    rig_close(&rig);
}

/* All together: they join one after the other, with prompts cut differently. */
static void compute_together(struct model *model, struct sequence *sequences,
                             const struct kernels *kernels, unsigned threads, enum kv_type type)
{
    static const size_t first[SEQUENCES] = {30, 17, 4};
    struct rig rig = rig_open(model, kernels, threads, type);
    for (size_t s = 0; s < SEQUENCES; s++)
        begin(&rig, &sequences[s]);
    for (size_t round = 0, left = 1; left > 0; round++) {
        size_t n[SEQUENCES] = {0};
        left = 0;
        for (size_t s = 0; s < SEQUENCES && s <= round; s++) {
            size_t most = lengths[s] - sequences[s].n, wanted = round == s ? first[s] : 1 + s;
            n[s] = wanted < most ? wanted : most;
            left += most - n[s];
        }
        step(&rig, sequences, n, true);
    }
    rig_close(&rig);
}

START_TEST(every_type_and_architecture_has_one_arithmetic)
{
    static const enum kv_type kv_types[] = {KV_F16, KV_F32, KV_Q8};
    const bool experts = any_archs[_i % N_ANY_ARCHS].experts > 0;
    if ((_i + _i / N_ANY_ARCHS) % (experts ? 3 : ARCH_STEP) != 0)
        return; /* experts are slow, and alike: each type meets one of their architectures */
    /* From MXFP4 on types differ from earlier ones by a table alone: one architecture each. */
    const size_t weights = (size_t)_i / N_ANY_ARCHS;
    if (weights >= WEIGHT_MXFP4 && (size_t)_i % N_ANY_ARCHS != weights % 2)
        return;
    struct model *model = load((size_t)_i);
    enum kv_type type = kv_types[(_i + _i / N_ANY_ARCHS) % 3];
    if (page_head_bytes(type, model->shape.head_dim) == 0)
        type = KV_F16;
    struct sequence sequences[SEQUENCES] = {0};
    compute_alone(model, sequences, type);
    for (int level = KERNELS_REF; level < KERNEL_LEVELS; level++) {
        const struct kernels *kernels;
        struct error err = {0};
        if (level == KERNELS_REF && _i % 5 != 0)
            continue; /* it has no shapes of its own: the next type's turn is enough */
        if (kernels_select(&kernels, (enum kernel_level)level, &cpu, &err) != STATUS_OK)
            continue;
        compute_together(model, sequences, kernels, 1 + (unsigned)level % 3, type);
    }
    for (size_t s = 0; s < SEQUENCES; s++)
        free(sequences[s].logits);
    model_destroy(model);
}
END_TEST

int main(void)
{
    cpu_detect(&cpu);
    cpu_set_float_mode();
    Suite *suite = suite_create("one_arithmetic");
    TCase *tc = tcase_create("one_arithmetic");
    tcase_set_timeout(tc, 240);
    tcase_add_loop_test(tc, every_type_and_architecture_has_one_arithmetic, 0,
                        WEIGHT_TYPES * N_ANY_ARCHS);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK); /* the pool of blocks is made once */
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
