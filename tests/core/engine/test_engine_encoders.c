/* test_engine_encoders.c - encoders: a text's vector depends on the text alone, and every position
 * of it sees every other, beyond one span of attention too.
 */
#include "core/text/vocabulary.h"
#include "core/tiny_model.h"

#include "engine_test.h"

#include <math.h>

enum {
    N_TEXTS = 9,
    WIDTH = 64,
    HEADS = 4,
    FF = 96,
    LAYERS = 2,
    CONTEXT = 1100, /* more than two spans of attention */
};

static void vector_of(struct gguf_builder *b, const char *name, float center)
{
    tiny_tensor(b, name, WEIGHT_F32, WIDTH, 0, center);
}

/* A norm's two; its weights are near 1. */
static void norm_of(struct gguf_builder *b, const char *stem)
{
    char name[96];
    snprintf(name, sizeof name, "%s.weight", stem);
    vector_of(b, name, 1);
    snprintf(name, sizeof name, "%s.bias", stem);
    vector_of(b, name, 0);
}

static void linear_of(struct gguf_builder *b, const char *stem, size_t cols, size_t rows, bool bias)
{
    char name[96];
    snprintf(name, sizeof name, "%s.weight", stem);
    tiny_tensor(b, name, WEIGHT_F16, cols, rows, 0);
    snprintf(name, sizeof name, "%s.bias", stem);
    if (bias)
        tiny_tensor(b, name, WEIGHT_F32, rows, 0, 0);
}

static void layer_of(struct gguf_builder *b, size_t layer, bool bert)
{
    const struct {
        const char *stem;
        size_t cols, rows; /* 0: a norm */
        bool there;
    } parts[] = {
        {"attn_q", WIDTH, WIDTH, bert},      {"attn_k", WIDTH, WIDTH, bert},
        {"attn_v", WIDTH, WIDTH, bert},      {"attn_qkv", WIDTH, 3 * WIDTH, !bert},
        {"attn_output", WIDTH, WIDTH, true}, {"attn_output_norm", 0, 0, true},
        {"ffn_gate", WIDTH, FF, !bert},      {"ffn_up", WIDTH, FF, true},
        {"ffn_down", FF, WIDTH, true},       {"layer_output_norm", 0, 0, true},
    };
    char stem[64];
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        snprintf(stem, sizeof stem, "blk.%zu.%s", layer, parts[i].stem);
        if (parts[i].there && parts[i].cols > 0)
            linear_of(b, stem, parts[i].cols, parts[i].rows, bert);
        else if (parts[i].there)
            norm_of(b, stem);
    }
}

static void keys_of(struct gguf_builder *b, const char *arch)
{
    const struct {
        const char *suffix;
        uint32_t value;
    } keys[] = {
        {"context_length", CONTEXT},     {"embedding_length", WIDTH},
        {"block_count", LAYERS},         {"feed_forward_length", FF},
        {"attention.head_count", HEADS}, {"pooling_type", POOLING_MEAN},
    };
    char key[96];
    builder_string(b, "general.architecture", arch);
    builder_u32(b, "tokenizer.ggml.token_type_count", 2);
    builder_u32(b, "tokenizer.ggml.eos_token_id", 0);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        snprintf(key, sizeof key, "%s.%s", arch, keys[i].suffix);
        builder_u32(b, key, keys[i].value);
    }
    snprintf(key, sizeof key, "%s.attention.layer_norm_epsilon", arch);
    builder_f32(b, key, 1e-12f);
    snprintf(key, sizeof key, "%s.attention.causal", arch);
    builder_bool(b, key, 0);
}

/* bert, whose positions are all the same vector, so that order does not matter; or nomic-bert. */
static struct gguf_builder *encoder(bool bert)
{
    struct vocabulary *v = malloc(sizeof *v);
    ck_assert_ptr_nonnull(v);
    begin_bytes(v, "gpt-2");
    size_t n_vocab = v->n;
    struct gguf_builder *b = build(v);
    free(v);
    keys_of(b, bert ? "bert" : "nomic-bert");
    tiny_tensor(b, "token_embd.weight", WEIGHT_F32, WIDTH, n_vocab, 0);
    tiny_tensor(b, "token_types.weight", WEIGHT_F32, WIDTH, 2, 0);
    norm_of(b, "token_embd_norm");
    if (bert) {
        float *zeros = calloc((size_t)CONTEXT * WIDTH, sizeof *zeros);
        ck_assert_ptr_nonnull(zeros);
        builder_tensor(b, "position_embd.weight", weight_infos[WEIGHT_F32].ggml_id, WIDTH, CONTEXT,
                       zeros, (size_t)CONTEXT * WIDTH * sizeof *zeros);
        free(zeros);
    }
    for (size_t layer = 0; layer < LAYERS; layer++)
        layer_of(b, layer, bert);
    return b;
}

enum { WINDOW = 301, REACH = LAYERS * (WINDOW / 2) };

/* gemma-embedding, whose layers all see through a window around each position. */
static struct gguf_builder *windowed(void)
{
    static const char *const norms[] = {"attn_norm", "post_attention_norm", "ffn_norm",
                                        "post_ffw_norm"};
    const size_t head = WIDTH / HEADS;
    char name[96];
    struct gguf_builder *b = encoder(true);
    for (size_t i = 0; i < LAYERS; i++) {
        for (size_t k = 0; k < sizeof norms / sizeof *norms; k++) {
            snprintf(name, sizeof name, "blk.%zu.%s.weight", i, norms[k]);
            vector_of(b, name, 1);
        }
        snprintf(name, sizeof name, "blk.%zu.ffn_gate", i);
        linear_of(b, name, WIDTH, FF, false);
        snprintf(name, sizeof name, "blk.%zu.attn_q_norm.weight", i);
        tiny_tensor(b, name, WEIGHT_F32, head, 0, 1);
        snprintf(name, sizeof name, "blk.%zu.attn_k_norm.weight", i);
        tiny_tensor(b, name, WEIGHT_F32, head, 0, 1);
        static const char *const others[] = {
            "attn_output_norm.weight", "attn_output_norm.bias", "layer_output_norm.weight",
            "layer_output_norm.bias",  "ffn_up.bias",           "ffn_down.bias"};
        for (size_t k = 0; k < sizeof others / sizeof *others; k++) {
            snprintf(name, sizeof name, "blk.%zu.%s", i, others[k]);
            builder_remove_tensor(b, name);
        }
    }
    static const char *const berts[] = {"position_embd.weight", "token_types.weight",
                                        "token_embd_norm.weight", "token_embd_norm.bias"};
    for (size_t k = 0; k < sizeof berts / sizeof *berts; k++)
        builder_remove_tensor(b, berts[k]);
    vector_of(b, "output_norm.weight", 1);
    static const char *const keys[] = {
        "context_length",          "embedding_length",     "block_count",
        "feed_forward_length",     "attention.head_count", "pooling_type",
        "attention.sliding_window"};
    const uint32_t values[] = {CONTEXT, WIDTH, LAYERS, FF, HEADS, POOLING_MEAN, WINDOW};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        snprintf(name, sizeof name, "gemma-embedding.%s", keys[i]);
        builder_u32(b, name, values[i]);
    }
    builder_f32(b, "gemma-embedding.attention.layer_norm_rms_epsilon", 1e-6f);
    builder_remove(b, "general.architecture");
    builder_string(b, "general.architecture", "gemma-embedding");
    return b;
}

static enum status load(struct gguf_builder *b, struct error *err)
{
    struct gguf *gguf;
    size_t size;
    uint8_t *bytes = gguf_build(b, &size);
    gguf_builder_free(b);
    ok(gguf_open(&gguf, bytes, size, err), err);
    enum status status = model_load(&world.model, gguf, 0, 1, err);
    if (status == STATUS_OK)
        ok(tokenizer_create(&world.tokenizer, gguf, err), err);
    gguf_close(gguf);
    free(bytes);
    cpu_detect(&world.cpu);
    world.n_vocab = status == STATUS_OK ? world.model->shape.n_vocab : 0;
    return status;
}

static void world_of(bool bert)
{
    struct error err;
    ok(load(encoder(bert), &err), &err);
}

static struct job *text_of(size_t n, uint32_t seed, enum pooling pooling)
{
    struct job_size size = {.n_prompt = n,
                            .max_piece = tokenizer_max_piece(world.tokenizer),
                            .n_vector = world.model->shape.n_embd};
    struct job *job;
    struct error err;
    ok(job_create(&job, &size, &err), &err);
    for (size_t k = 0; k < n; k++)
        job_prompt(job)[k] = (int32_t)(lcg(&seed) % world.n_vocab);
    job->pooling = pooling;
    job->arrived_ns = clock_now_ns();
    return job;
}

static struct job *text_at(size_t i)
{
    static const size_t lengths[N_TEXTS] = {1, 700, 2, 33, 1, CONTEXT, 31, 512, 64};
    return text_of(lengths[i], (uint32_t)i + 1, i % 2 == 0 ? POOLING_CLS : POOLING_MEAN);
}

static struct job *run_text(struct engine *engine, struct job *job)
{
    submit(engine, job);
    wait_finished(engine, job);
    ck_assert_int_eq(job->finish, FINISH_LENGTH);
    return job;
}

START_TEST(a_text_alone_is_the_text_in_any_batch)
{
    struct job *alone[N_TEXTS], *together[N_TEXTS];
    struct error err;
    uint64_t retry_ms;
    ok(load(_i == 4 ? windowed() : encoder(_i % 2 == 0), &err), &err);
    struct engine_options o = options_of(1, 1);
    ok(kernels_select(&o.kernels, KERNELS_REF, &world.cpu, &err), &err);
    struct engine *engine = engine_open(&o);
    for (size_t i = 0; i < N_TEXTS; i++)
        alone[i] = run_text(engine, text_at(i));
    engine_destroy(engine);

    o = options_of(1, (unsigned)_i / 2 % 2 + 1);
    o.step_tokens = _i == 3 ? 4000 : 64; /* a text goes whole into a step all the same */
    engine = engine_open(&o);
    for (size_t i = 0; i < N_TEXTS; i++)
        together[i] = text_at(i);
    ok(engine_submit_all(engine, together, N_TEXTS, &retry_ms, &err), &err);
    for (size_t i = 0; i < N_TEXTS; i++) {
        wait_finished(engine, together[i]);
        ck_assert_int_eq(together[i]->finish, FINISH_LENGTH);
        ck_assert_int_eq(memcmp(alone[i]->vector, together[i]->vector, WIDTH * sizeof(float)), 0);
        job_destroy(alone[i]);
        job_destroy(together[i]);
    }
    engine_destroy(engine);
    world_close();
}
END_TEST

/* Without positions a text's mean does not depend on its order, nor its first vector on the order
 * of the others: so each position sees all, whichever span it lies in. */
START_TEST(every_position_sees_every_other)
{
    static const size_t lengths[] = {5, 40, 513, 1000};
    world_of(true);
    struct engine_options o = options_of(1, 2);
    struct engine *engine = engine_open(&o);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        for (enum pooling pooling = POOLING_MEAN; pooling <= POOLING_CLS; pooling++) {
            struct job *there = text_of(lengths[i], 3, pooling);
            struct job *back = text_of(lengths[i], 3, pooling);
            size_t first = pooling == POOLING_CLS, n = lengths[i] - first;
            for (size_t k = 0; k < n; k++)
                job_prompt(back)[first + k] = there->prompt[first + n - 1 - k];
            run_text(engine, there);
            run_text(engine, back);
            for (size_t k = 0; k < WIDTH; k++)
                ck_assert_float_le(fabsf(there->vector[k] - back->vector[k]), 2e-5f);
            /* ... and on which they are. */
            job_prompt(back)[lengths[i] - 1] = (there->prompt[lengths[i] - 1] + 1) % 7;
            struct job *other = text_of(lengths[i], 3, pooling);
            memcpy(job_prompt(other), back->prompt, lengths[i] * sizeof(int32_t));
            run_text(engine, other);
            ck_assert_int_ne(memcmp(other->vector, back->vector, WIDTH * sizeof(float)), 0);
            job_destroy(there);
            job_destroy(back);
            job_destroy(other);
        }
    }
    engine_destroy(engine);
    world_close();
}
END_TEST

/* The last position's vector changes with the tokens within reach of it, and with no other. */
START_TEST(a_window_lies_around_each_position)
{
    static const size_t distances[] = {1, 150, 151, REACH, REACH + 1, 700};
    struct error err;
    ok(load(windowed(), &err), &err);
    struct engine_options o = options_of(1, (unsigned)_i + 1);
    struct engine *engine = engine_open(&o);
    struct job *plain = run_text(engine, text_of(CONTEXT, 9, POOLING_LAST));
    for (size_t i = 0; i < sizeof distances / sizeof *distances; i++) {
        struct job *other = text_of(CONTEXT, 9, POOLING_LAST);
        size_t at = CONTEXT - 1 - distances[i];
        job_prompt(other)[at] = (other->prompt[at] + 1) % (int32_t)world.n_vocab;
        run_text(engine, other);
        bool same = memcmp(plain->vector, other->vector, WIDTH * sizeof(float)) == 0;
        ck_assert_int_eq(same, distances[i] > REACH);
        job_destroy(other);
    }
    job_destroy(plain);
    engine_destroy(engine);
    world_close();
}
END_TEST

/* The head's own sums, of the first position's vector. */
START_TEST(scores_are_the_heads)
{
    struct error err;
    const bool dense = _i == 1;
    struct gguf_builder *b = encoder(false);
    tiny_tensor(b, "cls.output.weight", WEIGHT_F32, WIDTH, 2, 0);
    tiny_tensor(b, "cls.output.bias", WEIGHT_F32, 2, 0, 0);
    if (dense)
        linear_of(b, "cls", WIDTH, WIDTH, true);
    builder_u32(b, "nomic-bert.pooling_type", POOLING_RANK);
    ok(load(b, &err), &err);
    ck_assert_uint_eq(world.model->shape.n_scores, 2);
    struct engine_options o = options_of(1, 2);
    struct engine *engine = engine_open(&o);
    struct job *vector = run_text(engine, text_of(40, 5, POOLING_CLS));
    struct job *ranked = text_of(40, 5, POOLING_RANK);
    ranked->n_vector = 2;
    run_text(engine, ranked);
    double x[WIDTH], y[WIDTH];
    float row[WIDTH];
    for (size_t i = 0; i < WIDTH; i++)
        x[i] = y[i] = (double)vector->vector[i];
    for (size_t r = 0; dense && r < WIDTH; r++) {
        matrix_row(&world.model->score_dense.w, r, row);
        double sum = (double)world.model->score_dense.bias[r];
        for (size_t i = 0; i < WIDTH; i++)
            sum += (double)row[i] * x[i];
        y[r] = tanh(sum);
    }
    for (size_t r = 0; r < 2; r++) {
        matrix_row(&world.model->score_out.w, r, row);
        double sum = (double)world.model->score_out.bias[r];
        for (size_t i = 0; i < WIDTH; i++)
            sum += (double)row[i] * y[i];
        ck_assert_double_le(fabs(sum - (double)ranked->vector[r]), 2e-5);
    }
    job_destroy(vector);
    job_destroy(ranked);
    engine_destroy(engine);
    world_close();
}
END_TEST

/* y [rows] = W x. */
static void multiply(const struct linear *l, const double *x, double *y)
{
    float row[4 * WIDTH];
    for (size_t r = 0; r < l->w.n_rows; r++) {
        matrix_row(&l->w, r, row);
        y[r] = 0;
        for (size_t i = 0; i < l->w.n_cols; i++)
            y[r] += (double)row[i] * x[i];
    }
}

/* Of the pooled vector, whatever the pooling. */
START_TEST(vectors_go_through_both_matrices)
{
    enum { BETWEEN = 4 * WIDTH - 2 };
    struct error err;
    struct job *texts[2];
    double x[WIDTH], between[BETWEEN], wanted[WIDTH];
    const enum pooling pooling = _i == 0 ? POOLING_MEAN : POOLING_LAST;
    for (size_t with = 0; with < 2; with++) {
        struct gguf_builder *b = windowed();
        if (with == 1) {
            tiny_tensor(b, "dense_2.weight", WEIGHT_F32, WIDTH, BETWEEN, 0);
            tiny_tensor(b, "dense_3.weight", WEIGHT_F32, BETWEEN, WIDTH, 0);
            builder_u32(b, "gemma-embedding.dense_2_feat_out", BETWEEN);
        }
        ok(load(b, &err), &err);
        struct engine_options o = options_of(1, (unsigned)with + 1);
        struct engine *engine = engine_open(&o);
        texts[with] = run_text(engine, text_of(45, 5, pooling));
        engine_destroy(engine);
        if (with == 0)
            world_close();
    }
    for (size_t i = 0; i < WIDTH; i++)
        x[i] = (double)texts[0]->vector[i];
    multiply(&world.model->vector_dense[0], x, between);
    multiply(&world.model->vector_dense[1], between, wanted);
    for (size_t i = 0; i < WIDTH; i++)
        ck_assert_double_le(fabs(wanted[i] - (double)texts[1]->vector[i]), 1e-4);
    job_destroy(texts[0]);
    job_destroy(texts[1]);
    world_close();
}
END_TEST

START_TEST(an_encoder_writes_no_text)
{
    struct error err;
    uint64_t retry_ms;
    world_of(true);
    struct engine_options o = options_of(1, 1);
    struct engine *engine = engine_open(&o);
    struct job *job = text_of(3, 1, POOLING_NONE);
    ck_assert_int_eq(engine_submit(engine, job, &retry_ms, &err), STATUS_UNABLE);
    ck_assert_int_eq(engine_plan(engine)->kv_type, KV_F32);
    job_destroy(job);
    engine_destroy(engine);
    world_close();
}
END_TEST

START_TEST(layers_share_the_memory_of_one)
{
    world_of(true);
    ck_assert_uint_gt(world.model->shape.n_layers, 1);
    ck_assert_uint_eq(kv_page_bytes(&world.model->shape, KV_F32),
                      HEADS * page_head_bytes(KV_F32, WIDTH / HEADS));
    world_close();
}
END_TEST

START_TEST(what_an_encoder_lacks_is_named)
{
    struct error err;
    struct gguf_builder *b = encoder(true);
    builder_remove_tensor(b, "blk.1.attn_output_norm.bias");
    ck_assert_int_eq(load(b, &err), STATUS_FORMAT);
    ck_assert_str_eq(err.param, "blk.1.attn_output_norm.bias");
    b = encoder(true);
    builder_bool(b, "bert.attention.causal", 1);
    ck_assert_int_eq(load(b, &err), STATUS_UNSUPPORTED);
    ck_assert_str_eq(err.param, "bert.attention.causal");
    b = windowed();
    tiny_tensor(b, "dense_3.weight", WEIGHT_F32, WIDTH, WIDTH, 0);
    ck_assert_int_eq(load(b, &err), STATUS_FORMAT);
    ck_assert_str_eq(err.param, "dense_2.weight");
    b = windowed();
    tiny_tensor(b, "dense_2.weight", WEIGHT_F32, WIDTH, FF, 0);
    tiny_tensor(b, "dense_3.weight", WEIGHT_F32, FF, WIDTH, 0);
    builder_u32(b, "gemma-embedding.dense_3_feat_in", FF + 1);
    ck_assert_int_eq(load(b, &err), STATUS_FORMAT);
    ck_assert_str_eq(err.param, "gemma-embedding.dense_3_feat_in");
    b = encoder(false);
    builder_u32(b, "tokenizer.ggml.token_type_count", 0);
    ck_assert_int_eq(load(b, &err), STATUS_FORMAT);
    b = encoder(false);
    builder_u32(b, "nomic-bert.pooling_type", 9);
    ck_assert_int_eq(load(b, &err), STATUS_FORMAT);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine_encoders");
    TCase *tc = tcase_create("encoders");
    tcase_set_timeout(tc, 240);
    tcase_add_loop_test(tc, a_text_alone_is_the_text_in_any_batch, 0, 5);
    tcase_add_loop_test(tc, a_window_lies_around_each_position, 0, 2);
    tcase_add_test(tc, every_position_sees_every_other);
    tcase_add_loop_test(tc, scores_are_the_heads, 0, 2);
    tcase_add_loop_test(tc, vectors_go_through_both_matrices, 0, 2);
    tcase_add_test(tc, an_encoder_writes_no_text);
    tcase_add_test(tc, layers_share_the_memory_of_one);
    tcase_add_test(tc, what_an_encoder_lacks_is_named);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
