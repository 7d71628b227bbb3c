/* test_windows.c - layers that see only the last positions, over several spans of attention: what
 * has left every window does not matter and what has not does, and every way to compute it gives
 * the same bits.
 */
#include "core/tiny_model.h"
#include "forward/forward.h"

#include <check.h>

enum { CONTEXT = 1200, N_TOKENS = 1100, MAX_ROWS = 128 };

static struct cpu cpu;
static int32_t tokens[N_TOKENS];

/* Gemma 2's layers, with windows of so many positions where windowed says. */
static struct model *load(uint32_t window, const uint8_t windowed[TINY_LAYERS])
{
    static const char *const norms[] = {"post_attention_norm.weight", "post_ffw_norm.weight"};
    struct gguf_builder *b = tiny_model("gemma2", WEIGHT_F32);
    char name[64];
    builder_u32(b, "gemma2.context_length", CONTEXT);
    builder_u32(b, "gemma2.attention.sliding_window", window);
    builder_put(builder_array(b, "gemma2.attention.sliding_window_pattern", GGUF_BOOL, TINY_LAYERS),
                windowed, TINY_LAYERS);
    for (size_t i = 0; i < 2 * (size_t)TINY_LAYERS; i++) {
        snprintf(name, sizeof name, "blk.%zu.%s", i / 2, norms[i % 2]);
        tiny_tensor(b, name, WEIGHT_F32, TINY_EMBD, 0, 1);
    }
    size_t size;
    uint8_t *bytes = gguf_build(b, &size);
    gguf_builder_free(b);
    struct gguf *gguf;
    struct model *model;
    struct error err = {0};
    ck_assert_msg(gguf_open(&gguf, bytes, size, &err) == STATUS_OK, "%s", err.text);
    ck_assert_msg(model_load(&model, gguf, 0, 1, &err) == STATUS_OK, "%s", err.text);
    gguf_close(gguf);
    free(bytes);
    ck_assert_uint_eq(model->n_context, CONTEXT);
    return model;
}

/* The logits after the last of the tokens, computed `chunk` at a time. */
static void compute(const struct model *model, enum kernel_level level, unsigned threads,
                    size_t chunk, enum kv_type type, float logits[TINY_VOCAB])
{
    const struct kernels *kernels;
    struct error err = {0};
    struct kv *kv;
    struct team *team;
    struct forward *forward;
    struct kv_seq seq = {0};
    size_t n_cached, budget = 2 * kv_pages_for(CONTEXT) * kv_page_bytes(&model->shape, type);
    ck_assert_int_eq(kernels_select(&kernels, level, &cpu, &err), STATUS_OK);
    ck_assert_int_eq(kv_create(&kv, model, type, budget, 1, false, &err), STATUS_OK);
    ck_assert_int_eq(
        team_create(&team, threads, forward_max_phases(model), cpu_set_float_mode, &err),
        STATUS_OK);
    ck_assert_int_eq(forward_create(&forward, model, kernels, kv, team, MAX_ROWS, 1, &err),
                     STATUS_OK);
    ck_assert(kv_begin(kv, &seq, 0, SIZE_MAX, tokens, N_TOKENS, N_TOKENS, &n_cached));
    for (size_t at = 0; at < N_TOKENS;) {
        struct row rows[MAX_ROWS];
        size_t n = kv_room(kv, &seq, at + chunk < N_TOKENS ? chunk : N_TOKENS - at);
        ck_assert(kv_extend(kv, &seq, n));
        for (size_t i = 0; i < n; i++)
            rows[i] = (struct row){.token = tokens[at + i],
                                   .position = (uint32_t)(at + i),
                                   .seq = &seq,
                                   .wants_logits = at + i + 1 == N_TOKENS};
        forward_run(forward, rows, n);
        at += n;
        kv_commit(kv, &seq, tokens, at);
    }
    memcpy(logits, forward_logits(forward, 0), TINY_VOCAB * sizeof *logits);
    forward_destroy(forward);
    team_destroy(team);
    kv_destroy(kv);
}

static void set_tokens(void)
{
    uint64_t state = 5;
    for (size_t i = 0; i < N_TOKENS; i++)
        tokens[i] = (int32_t)(tiny_random(&state) % TINY_VOCAB);
}

static const uint32_t windows[] = {1, 40, 250, 512, 513};

/* Two layers see what is 2 (window - 1) before. */
START_TEST(what_has_left_every_window_does_not_matter)
{
    const uint32_t window = windows[_i];
    const size_t reach = N_TOKENS - 1 - 2 * ((size_t)window - 1);
    float logits[TINY_VOCAB], other[TINY_VOCAB];
    struct model *model = load(window, (const uint8_t[]){1, 1});
    set_tokens();
    compute(model, KERNELS_AUTO, 1, 64, KV_F32, logits);
    for (size_t i = 0; i < reach; i++)
        tokens[i] = (tokens[i] + 1) % TINY_VOCAB;
    compute(model, KERNELS_AUTO, 1, 64, KV_F32, other);
    ck_assert_mem_eq(logits, other, sizeof logits);
    tokens[reach] = (tokens[reach] + 1) % TINY_VOCAB;
    compute(model, KERNELS_AUTO, 1, 64, KV_F32, other);
    ck_assert_mem_ne(logits, other, sizeof logits);
    model_destroy(model);
}
END_TEST

START_TEST(every_way_gives_the_same_bits)
{
    static const size_t chunks[] = {1, 7, 100};
    const enum kv_type type = (enum kv_type)(_i % KV_TYPES);
    float expected[TINY_VOCAB], logits[TINY_VOCAB];
    struct model *model = load(windows[_i], (const uint8_t[]){1, 0});
    set_tokens();
    compute(model, KERNELS_REF, 1, 64, type, expected);
    for (int level = KERNELS_REF; level < KERNEL_LEVELS; level++) {
        const struct kernels *kernels;
        struct error err;
        if (kernels_select(&kernels, (enum kernel_level)level, &cpu, &err) != STATUS_OK)
            continue;
        compute(model, (enum kernel_level)level, 1 + (unsigned)level % 2, chunks[level % 3], type,
                logits);
        ck_assert_mem_eq(logits, expected, sizeof logits);
    }
    compute(model, KERNELS_AUTO, 2, 100, type, logits);
    ck_assert_mem_eq(logits, expected, sizeof logits);
    model_destroy(model);
}
END_TEST

int main(void)
{
    cpu_detect(&cpu);
    cpu_set_float_mode();
    Suite *suite = suite_create("windows");
    TCase *tc = tcase_create("windows");
    tcase_set_timeout(tc, 240);
    tcase_add_loop_test(tc, what_has_left_every_window_does_not_matter, 0,
                        sizeof windows / sizeof *windows);
    tcase_add_loop_test(tc, every_way_gives_the_same_bits, 0, sizeof windows / sizeof *windows);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
