/* test_forward.c - facts about the forward pass: it says what another engine says of the same
 * files, and each row's bits depend on its own sequence alone.
 */
#include "forward/forward.h"
#include "math/fmath.h"

#include <check.h>
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { N_TOP = 10, MAX_TOKENS = 40, MAX_ROWS = 128 };

/* The first few are the tree's own; the others are looked for in the shared fixtures. */
static const char *const random_models[] = {
    "llama256.F16.gguf",    "llama256.Q8_0.gguf",   "llama256.Q4_0.gguf",   "llama256.Q4_K_M.gguf",
    "llama256.Q6_K.gguf",   "gpt256.Q8_0.gguf",     "gpt256.Q4_K_M.gguf",   "llama256.BF16.gguf",
    "llama256.Q4_1.gguf",   "llama256.Q5_0.gguf",   "llama256.Q5_1.gguf",   "llama256.Q2_K.gguf",
    "llama256.Q3_K_M.gguf", "llama256.Q5_K_M.gguf", "llama256.IQ4_NL.gguf", "llama256.IQ4_XS.gguf",
    "qwen2-256.f32.gguf",   "qwen3-256.f32.gguf",   "stories260K.gguf",
};
enum { N_RANDOM_MODELS = sizeof random_models / sizeof *random_models, N_OWN_MODELS = 7 };

/* Where a fixture lies: false, with a line for the reader, when it is nowhere. */
static bool locate(const char *file, const char **folder)
{
    static char shared[512];
    char path[1024];
    const char *given = getenv("SMALLMIND_SHARED");
    snprintf(shared, sizeof shared, "%s/fixtures", given ? given : TEST_SOURCE_DIR "/../shared");
    const char *const folders[] = {TEST_SOURCE_DIR "/tests/fixtures", shared};
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", folders[i], file);
        if (access(path, R_OK) == 0) {
            *folder = folders[i];
            return true;
        }
    }
    printf("skipped: %s is not there\n", file);
    return false;
}

/* One model with everything a worker has. */
struct rig {
    struct model *model;
    struct kv *kv;
    struct team *team;
    struct forward *forward;
};

static void rig_open(struct rig *rig, const char *folder, const char *file, enum kernel_level level,
                     unsigned threads, enum kv_type type)
{
    struct error err = {0};
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    struct gguf *gguf;
    ck_assert_msg(gguf_map(&gguf, path, &err) == STATUS_OK, "%s", err.text);
    ck_assert_msg(model_load(&rig->model, gguf, 0, 1, &err) == STATUS_OK, "%s: %s", file, err.text);
    gguf_close(gguf);
    struct cpu cpu;
    cpu_detect(&cpu);
    const struct kernels *kernels;
    ck_assert_msg(kernels_select(&kernels, level, &cpu, &err) == STATUS_OK, "%s", err.text);
    size_t budget = 64 * kv_page_bytes(&rig->model->shape, type);
    ck_assert_msg(kv_create(&rig->kv, rig->model, type, budget, 8, false, &err) == STATUS_OK, "%s",
                  err.text);
    ck_assert_int_eq(
        team_create(&rig->team, threads, forward_max_phases(rig->model), cpu_set_float_mode, &err),
        STATUS_OK);
    cpu_set_float_mode();
    ck_assert_int_eq(forward_create(&rig->forward, rig->model, kernels, rig->kv, rig->team,
                                    MAX_ROWS, MAX_ROWS, &err),
                     STATUS_OK);
}

static void rig_close(struct rig *rig)
{
    forward_destroy(rig->forward);
    team_destroy(rig->team);
    kv_destroy(rig->kv);
    model_destroy(rig->model);
}

static void seq_begin(struct rig *rig, struct kv_seq *seq, const int32_t *tokens, size_t n)
{
    size_t n_cached = 0;
    memset(seq, 0, sizeof *seq);
    ck_assert(kv_begin(rig->kv, seq, 0, SIZE_MAX, tokens, n, MAX_TOKENS, &n_cached));
}

/* Runs tokens [from, to) of one sequence in one step; only the last row wants logits. */
static const float *feed(struct rig *rig, struct kv_seq *seq, const int32_t *tokens, size_t from,
                         size_t to)
{
    struct row rows[MAX_ROWS];
    kv_extend(rig->kv, seq, to - from);
    for (size_t i = from; i < to; i++)
        rows[i - from] = (struct row){
            .token = tokens[i], .position = (uint32_t)i, .seq = seq, .wants_logits = i + 1 == to};
    forward_run(rig->forward, rows, to - from);
    kv_commit(rig->kv, seq, tokens, to);
    return forward_logits(rig->forward, 0);
}

/* --- against another engine --- */

static cJSON *read_reference(const char *folder)
{
    char path[512];
    snprintf(path, sizeof path, "%s/reference.json", folder);
    FILE *file = fopen(path, "rb");
    ck_assert_ptr_nonnull(file);
    static char text[1 << 20];
    size_t n = fread(text, 1, sizeof text, file);
    fclose(file);
    cJSON *json = cJSON_ParseWithLength(text, n);
    ck_assert_ptr_nonnull(json);
    return json;
}

static double log_sum_exp(const float *x, size_t n)
{
    double max = x[0], sum = 0;
    for (size_t i = 1; i < n; i++)
        max = x[i] > max ? x[i] : max;
    for (size_t i = 0; i < n; i++)
        sum += exp(x[i] - max);
    return max + log(sum);
}

/* exact: what each log-probability may be off by; 0: rounded activations, only their sum counts. */
static void check_step(const char *file, const cJSON *step, int index, const float *logits,
                       size_t n_vocab, double exact)
{
    double norm = log_sum_exp(logits, n_vocab), drift = 0;
    const cJSON *pair;
    cJSON_ArrayForEach(pair, cJSON_GetObjectItemCaseSensitive(step, "top"))
    {
        int id = cJSON_GetArrayItem(pair, 0)->valueint;
        double expected = cJSON_GetArrayItem(pair, 1)->valuedouble, got = logits[id] - norm;
        if (exact > 0)
            ck_assert_msg(fabs(expected - got) <= exact, "%s step %d id %d: %f, not %f", file,
                          index, id, got, expected);
        drift += exp(expected) * (expected - got);
    }
    ck_assert_msg(fabs(drift) <= 0.01, "%s step %d: drift %f", file, index, drift);
}

static double tolerance(const char *file)
{
    if (strstr(file, "BF16"))
        return 0.03; /* the other engine rounds activations to BF16 too */
    return strstr(file, "F16") || strstr(file, "f32") || strstr(file, "260K") ? 0.005 : 0;
}

START_TEST(another_engine_says_the_same)
{
    const char *file = random_models[_i], *folder;
    if (!locate(file, &folder))
        return;
    cJSON *reference = read_reference(folder);
    int32_t tokens[MAX_TOKENS];
    size_t n = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(reference, "prompt_tokens"))
        tokens[n++] = item->valueint;
    struct rig rig;
    rig_open(&rig, folder, file, KERNELS_AUTO, 2, KV_F32);
    struct kv_seq seq;
    seq_begin(&rig, &seq, tokens, n);
    const float *logits = feed(&rig, &seq, tokens, 0, n);
    const cJSON *steps = cJSON_GetObjectItemCaseSensitive(
        cJSON_GetObjectItemCaseSensitive(reference, "models"), file);
    int index = 0;
    cJSON_ArrayForEach(item, steps)
    {
        check_step(file, item, index++, logits, rig.model->shape.n_vocab, tolerance(file));
        tokens[n++] = cJSON_GetObjectItemCaseSensitive(item, "id")->valueint;
        logits = feed(&rig, &seq, tokens, n - 1, n);
    }
    ck_assert_int_eq(index, 12);
    rig_close(&rig);
    cJSON_Delete(reference);
}
END_TEST

/* --- the same bits --- */

static void make_tokens(int32_t *tokens, size_t n, unsigned seed)
{
    for (size_t i = 0; i < n; i++)
        tokens[i] = (int32_t)((seed = seed * 1664525u + 1013904223u) >> 8) % 500 + 4;
}

/* The logits after each of MAX_TOKENS tokens, fed one by one, one thread, the reference kernels:
 * what all else must equal. */
static float *decode_alone(const char *folder, const char *file, enum kv_type type,
                           const int32_t *tokens, size_t *n_vocab)
{
    struct rig rig;
    rig_open(&rig, folder, file, KERNELS_REF, 1, type);
    *n_vocab = rig.model->shape.n_vocab;
    float *all = malloc(MAX_TOKENS * *n_vocab * sizeof(float));
    struct kv_seq seq;
    seq_begin(&rig, &seq, tokens, 1);
    for (size_t i = 0; i < MAX_TOKENS; i++)
        memcpy(all + i * *n_vocab, feed(&rig, &seq, tokens, i, i + 1), *n_vocab * sizeof(float));
    rig_close(&rig);
    return all;
}

static const struct way { /* to compute the same sequence */
    enum kernel_level level;
    unsigned threads;
    size_t chunk; /* tokens a step */
} ways[] = {
    {KERNELS_AUTO, 1, 1}, {KERNELS_AUTO, 2, 5},          {KERNELS_AUTO, 3, 33},
    {KERNELS_REF, 2, 35}, {KERNELS_AUTO, 2, MAX_TOKENS},
};

START_TEST(chunks_threads_and_kernels_give_the_same_bits)
{
    const char *file = random_models[_i / KV_TYPES], *folder;
    if (!locate(file, &folder))
        return;
    enum kv_type type = (enum kv_type)(_i % KV_TYPES);
    int32_t tokens[MAX_TOKENS];
    make_tokens(tokens, MAX_TOKENS, 7);
    size_t n_vocab;
    float *expected = decode_alone(folder, file, type, tokens, &n_vocab);
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
        struct rig rig;
        rig_open(&rig, folder, file, ways[w].level, ways[w].threads, type);
        struct kv_seq seq;
        seq_begin(&rig, &seq, tokens, 1);
        for (size_t i = 0; i < MAX_TOKENS;) {
            size_t to = i + ways[w].chunk < MAX_TOKENS ? i + ways[w].chunk : MAX_TOKENS;
            const float *logits = feed(&rig, &seq, tokens, i, to);
            ck_assert_mem_eq(logits, expected + (to - 1) * n_vocab, n_vocab * sizeof(float));
            i = to;
        }
        rig_close(&rig);
    }
    free(expected);
}
END_TEST

START_TEST(neighbours_in_the_batch_change_nothing)
{
    enum { SEQUENCES = 4, STEPS = 36 };
    const char *file = random_models[_i], *folder;
    if (!locate(file, &folder))
        return;
    int32_t tokens[SEQUENCES][MAX_TOKENS];
    float *expected[SEQUENCES];
    size_t n_vocab = 0;
    for (unsigned s = 0; s < SEQUENCES; s++) {
        make_tokens(tokens[s], MAX_TOKENS, s);
        expected[s] = decode_alone(folder, file, KV_F16, tokens[s], &n_vocab);
    }
    struct rig rig;
    rig_open(&rig, folder, file, KERNELS_AUTO, 2, KV_F16);
    struct kv_seq seqs[SEQUENCES];
    size_t at[SEQUENCES] = {0};
    for (size_t s = 0; s < SEQUENCES; s++)
        seq_begin(&rig, &seqs[s], tokens[s], 1);
    for (size_t step = 0; step < STEPS;
         step++) { /* sequence s joins at step 2s and takes s + 1 tokens the first time */
        struct row rows[MAX_ROWS];
        size_t n_rows = 0, order[SEQUENCES], n_order = 0;
        for (size_t s = 0; s < SEQUENCES; s++) {
            size_t n = at[s] == 0 ? s + 1 : 1;
            if (step < 2 * s)
                continue;
            kv_extend(rig.kv, &seqs[s], n);
            for (size_t i = 0; i < n; i++, at[s]++)
                rows[n_rows++] = (struct row){.token = tokens[s][at[s]],
                                              .position = (uint32_t)at[s],
                                              .seq = &seqs[s],
                                              .wants_logits = i + 1 == n};
            order[n_order++] = s;
        }
        forward_run(rig.forward, rows, n_rows);
        for (size_t i = 0; i < n_order; i++) {
            size_t s = order[i];
            kv_commit(rig.kv, &seqs[s], tokens[s], at[s]);
            ck_assert_mem_eq(forward_logits(rig.forward, i), expected[s] + (at[s] - 1) * n_vocab,
                             n_vocab * sizeof(float));
        }
    }
    for (size_t s = 0; s < SEQUENCES; s++)
        free(expected[s]);
    rig_close(&rig);
}
END_TEST

START_TEST(marks_change_no_bit_and_lie_within_their_phases)
{
    const char *file = random_models[_i], *folder;
    if (!locate(file, &folder))
        return;
    int32_t tokens[MAX_TOKENS];
    make_tokens(tokens, MAX_TOKENS, 7);
    size_t n_vocab;
    float *expected = decode_alone(folder, file, KV_F16, tokens, &n_vocab);
    struct rig rig;
    rig_open(&rig, folder, file, KERNELS_AUTO, 2, KV_F16);
    size_t n_phases = forward_max_phases(rig.model);
    uint64_t of_scope[SCOPES] = {0}; /* ticks set apart */
    struct team_mark *marks = calloc(2 * n_phases, sizeof *marks);
    const struct team_marks asked = {ticks_clock(), marks, n_phases, 1};
    forward_set_marks(rig.forward, &asked);
    struct kv_seq seq;
    seq_begin(&rig, &seq, tokens, 1);
    static const size_t ends[] = {MAX_TOKENS / 2, MAX_TOKENS - 1,
                                  MAX_TOKENS}; /* the last: one row */
    for (size_t step = 0, i = 0; step < 3; i = ends[step++]) {
        const size_t to = ends[step];
        const float *logits = feed(&rig, &seq, tokens, i, to);
        ck_assert_mem_eq(logits, expected + (to - 1) * n_vocab, n_vocab * sizeof(float));
        size_t n;
        const uint32_t *phases = forward_phases(rig.forward, &n);
        ck_assert_uint_gt(n, 0);
        for (size_t k = 0; k < n; k++) {
            struct scope_phase phase = forward_phase(rig.model, phases[k]);
            ck_assert(phases[k] < n_phases && (k == 0 || phases[k - 1] < phases[k]));
            bool of_layer = scope_infos[phase.scope].place == PLACE_LAYER;
            ck_assert_uint_le(phase.layer, rig.model->shape.n_layers);
            ck_assert_int_eq(of_layer, phase.layer < rig.model->shape.n_layers);
            ck_assert_uint_gt(marks[k].begin, 0);
            ck_assert_uint_ge(marks[k].end, marks[k].begin);
            for (size_t rank = 0; rank < 2; rank++) {
                const struct team_mark *mark = team_mark_at(&asked, (unsigned)rank, k);
                for (size_t part = 0; part < TEAM_PARTS; part++) {
                    ck_assert(mark->parts[part] == 0 || phase.parts[part] != SCOPES);
                    /* One chunk in four may stand for the others. */
                    ck_assert_uint_le(mark->parts[part], 4 * (mark->end - mark->begin));
                    if (mark->parts[part] > 0)
                        of_scope[phase.parts[part]] += mark->parts[part];
                }
            }
        }
        memset(marks, 0, 2 * n_phases * sizeof *marks);
    }
    static const enum scope in_one_row[] = {SCOPE_ATTN_NORM, SCOPE_ROPE,       SCOPE_OUTPUT_ROUND,
                                            SCOPE_FFN_NORM,  SCOPE_ACTIVATION, SCOPE_DOWN_ROUND,
                                            SCOPE_HEAD_NORM};
    for (size_t i = 0; i < sizeof in_one_row / sizeof *in_one_row; i++)
        ck_assert_uint_gt(of_scope[in_one_row[i]], 0);
    free(marks);
    free(expected);
    rig_close(&rig);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("forward");
    TCase *facts = tcase_create("facts");
    tcase_set_timeout(facts, 120);
    tcase_add_loop_test(facts, another_engine_says_the_same, 0, N_RANDOM_MODELS);
    tcase_add_loop_test(facts, chunks_threads_and_kernels_give_the_same_bits, 0,
                        N_OWN_MODELS * KV_TYPES);
    tcase_add_loop_test(facts, neighbours_in_the_batch_change_nothing, 0, N_OWN_MODELS);
    tcase_add_loop_test(facts, marks_change_no_bit_and_lie_within_their_phases, 0, N_OWN_MODELS);
    suite_add_tcase(suite, facts);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
