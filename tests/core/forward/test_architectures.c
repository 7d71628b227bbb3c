/* test_architectures.c - every architecture's fixture in ../shared/fixtures/architectures: another
 * engine's numbers, and one arithmetic; or the refusal by name of what is not built.
 *
 * A new architecture is a line of the table for each of its files.
 */
#include "forward/forward.h"
#include "math/fmath.h"

#include <check.h>
#include <cjson/cJSON.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { N_PROMPT = 60, N_STEPS = 12, N_TOKENS = N_PROMPT + N_STEPS, N_SEQUENCES = 2 };

/* How near a file's numbers are. */
enum nearness {
    EXACT,   /* F32: every log-probability within 0.001 */
    GELU,    /* F32, and the other engine rounds GELU to F16: within 0.02 */
    ROUNDED, /* quantized: the divergence over the ten at each position within 0.02 */
    ENCODER, /* vectors, not texts: within 0.001, or 0.02 where there is GELU */
};

static const struct known {
    const char *file;
    enum nearness nearness;
    const char *lacks; /* refused, with this in the sentence ("": any); NULL: it is served */
} files[] = {
    {"bert.f32.gguf", ENCODER, NULL},
    {"deepseek2.f32.gguf", EXACT, "MLA"},
    {"gemma2.Q4_K_M.gguf", ROUNDED, NULL},
    {"gemma2.f32.gguf", GELU, NULL},
    {"gemma3.Q8_0.gguf", ROUNDED, NULL},
    {"gemma3.f32.gguf", GELU, NULL},
    {"gemma4-e.Q8_0.gguf", ROUNDED, "embeddings of each layer"},
    {"gemma4-e.f32.gguf", GELU, "embeddings of each layer"},
    {"gpt-oss-q8.mxfp4.gguf", ROUNDED, NULL},
    {"gpt-oss-x.mxfp4.gguf", ROUNDED, NULL},
    {"gpt-oss.f32.gguf", EXACT, NULL},
    {"granite.f32.gguf", EXACT, NULL},
    {"granitehybrid.f32.gguf", EXACT, "Mamba-2"},
    {"granitemoe.Q8_0.gguf", ROUNDED, NULL},
    {"granitemoe.f32.gguf", EXACT, NULL},
    {"lfm2.f32.gguf", EXACT, "short convolutions"},
    {"lfm2moe.f32.gguf", EXACT, "short convolutions"},
    {"llama-hd96.Q8_0.gguf", ROUNDED, NULL},
    {"mistral3.f32.gguf", EXACT, NULL},
    {"mixtral.Q8_0.gguf", ROUNDED, NULL},
    {"mixtral.f32.gguf", EXACT, NULL},
    {"mixtral256.Q4_K_M.gguf", ROUNDED, NULL},
    {"nomic-bert.f32.gguf", ENCODER, NULL},
    {"olmo2.f32.gguf", EXACT, NULL},
    {"olmoe.f32.gguf", EXACT, NULL},
    {"phi3.Q4_K_M.gguf", ROUNDED, NULL},
    {"phi3.f32.gguf", EXACT, NULL},
    {"qwen35.Q8_0.gguf", ROUNDED, NULL},
    {"qwen35.f32.gguf", EXACT, NULL},
    {"qwen35moe.f32.gguf", EXACT, NULL},
    {"qwen3moe.Q8_0.gguf", ROUNDED, NULL},
    {"qwen3moe.f32.gguf", EXACT, NULL},
    {"qwen3vl.f32.gguf", EXACT, NULL},
    {"smollm3.f32.gguf", EXACT, NULL},
    {"starcoder2.f32.gguf", GELU, NULL},
};
enum { N_FILES = sizeof files / sizeof *files };

static struct cpu cpu;

/* The folder; NULL, with a line for the reader, where it is not there. */
static const char *folder(void)
{
    static char path[512];
    const char *given = getenv("SMALLMIND_SHARED");
    snprintf(path, sizeof path, "%s/fixtures/architectures",
             given ? given : TEST_SOURCE_DIR "/../shared");
    if (access(path, R_OK) == 0)
        return path;
    printf("skipped: %s is not there\n", path);
    return NULL;
}

/* --- the numbers --- */

static cJSON *read_reference(void)
{
    char path[600];
    snprintf(path, sizeof path, "%s/reference.json", folder());
    FILE *file = fopen(path, "rb");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fseek(file, 0, SEEK_END), 0);
    size_t n = (size_t)ftell(file);
    rewind(file);
    char *text = malloc(n + 1);
    ck_assert_ptr_nonnull(text);
    ck_assert_uint_eq(fread(text, 1, n, file), n);
    text[n] = '\0';
    fclose(file);
    cJSON *json = cJSON_Parse(text);
    free(text);
    ck_assert_ptr_nonnull(json);
    return json;
}

static const cJSON *member(const cJSON *object, const char *name)
{
    const cJSON *found = cJSON_GetObjectItemCaseSensitive(object, name);
    ck_assert_msg(found != NULL, "reference.json has no '%s'", name);
    return found;
}

/* The prompt, then what each step chose. */
static void read_tokens(const cJSON *reference, const cJSON *model, int32_t tokens[N_TOKENS])
{
    size_t n = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, member(reference, "prompt_tokens")) tokens[n++] = item->valueint;
    ck_assert_uint_eq(n, N_PROMPT);
    cJSON_ArrayForEach(item, member(model, "steps")) tokens[n++] = member(item, "id")->valueint;
    ck_assert_uint_eq(n, N_TOKENS);
}

/* --- a worker --- */

struct rig {
    struct kv *kv;
    struct team *team;
    struct forward *forward;
    size_t keep; /* tokens that others begin with */
};

static struct rig rig_open(const struct model *model, enum kernel_level level, unsigned threads,
                           enum kv_type type)
{
    struct rig rig = {0};
    struct error err = {0};
    const struct kernels *kernels;
    ck_assert_int_eq(kernels_select(&kernels, level, &cpu, &err), STATUS_OK);
    size_t budget = kv_bytes_for(&model->shape, type, N_TOKENS, 8);
    ck_assert_msg(kv_create(&rig.kv, model, type, budget, N_SEQUENCES, true, &err) == STATUS_OK,
                  "%s", err.text);
    ck_assert_int_eq(
        team_create(&rig.team, threads, forward_max_phases(model), cpu_set_float_mode, &err),
        STATUS_OK);
    ck_assert_int_eq(forward_create(&rig.forward, model, kernels, rig.kv, rig.team,
                                    N_SEQUENCES * N_TOKENS, N_SEQUENCES * N_TOKENS, &err),
                     STATUS_OK);
    return rig;
}

static void rig_close(struct rig *rig)
{
    forward_destroy(rig->forward);
    team_destroy(rig->team);
    kv_destroy(rig->kv);
}

static void begin(struct rig *rig, struct kv_seq *seq, const int32_t *tokens, size_t *n_cached)
{
    *seq = (struct kv_seq){0};
    ck_assert(kv_begin(rig->kv, seq, 0, SIZE_MAX, tokens, N_TOKENS, N_TOKENS, n_cached));
    kv_keep(seq, rig->keep);
}

/* The logits [N_TOKENS][n_vocab] after each token from where the cache leaves off, `chunk` tokens a
 * step, beside another text where `company`. Returns how many the cache knew. */
static size_t compute(struct rig *rig, const struct model *model, const int32_t *tokens,
                      size_t chunk, bool company, float *logits)
{
    const size_t n_vocab = model->shape.n_vocab;
    int32_t other[N_TOKENS];
    struct kv_seq seqs[N_SEQUENCES];
    size_t n_cached, other_cached;
    begin(rig, &seqs[0], tokens, &n_cached);
    for (size_t i = 0; i < N_TOKENS; i++)
        other[i] = tokens[N_TOKENS - 1 - i];
    if (company)
        begin(rig, &seqs[1], other, &other_cached);
    for (size_t at = n_cached, end; at < N_TOKENS; at = end) {
        struct row rows[N_SEQUENCES * N_TOKENS];
        size_t n = 0, room = kv_room(rig->kv, &seqs[0], chunk);
        if (company && at >= other_cached)
            room = kv_room(rig->kv, &seqs[1], room);
        end = at + room < N_TOKENS ? at + room : N_TOKENS;
        ck_assert(kv_extend(rig->kv, &seqs[0], end - at));
        if (company && at >= other_cached) {
            ck_assert(kv_extend(rig->kv, &seqs[1], end - at));
            for (size_t i = at; i < end; i++)
                rows[n++] = (struct row){.token = other[i],
                                         .position = (uint32_t)i,
                                         .seq = &seqs[1],
                                         .wants_logits = i % 3 == 0};
        }
        size_t wanted = 0;
        for (size_t i = 0; i < n; i++)
            wanted += rows[i].wants_logits;
        for (size_t i = at; i < end; i++)
            rows[n++] = (struct row){
                .token = tokens[i], .position = (uint32_t)i, .seq = &seqs[0], .wants_logits = true};
        forward_run(rig->forward, rows, n);
        for (size_t i = at; i < end; i++)
            memcpy(logits + i * n_vocab, forward_logits(rig->forward, wanted + i - at),
                   n_vocab * sizeof *logits);
        kv_commit(rig->kv, &seqs[0], tokens, end);
        if (n > end - at)
            kv_commit(rig->kv, &seqs[1], other, end);
    }
    kv_end(rig->kv, &seqs[0]);
    if (company)
        kv_end(rig->kv, &seqs[1]);
    return n_cached;
}

static double log_sum(const float *logits, size_t n)
{
    double max = (double)-INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++)
        max = fmax(max, (double)logits[i]);
    for (size_t i = 0; i < n; i++)
        sum += exp((double)logits[i] - max);
    return max + log(sum);
}

/* Ours against one list of ten. */
static void agrees(const struct known *file, const cJSON *top, const float *logits, size_t n_vocab,
                   size_t position)
{
    double all = log_sum(logits, n_vocab), worst = 0, divergence = 0;
    const cJSON *pair;
    cJSON_ArrayForEach(pair, top)
    {
        int id = cJSON_GetArrayItem(pair, 0)->valueint;
        double theirs = cJSON_GetArrayItem(pair, 1)->valuedouble;
        double ours = (double)logits[id] - all;
        worst = fmax(worst, fabs(theirs - ours));
        divergence += exp(theirs) * (theirs - ours);
    }
    double off = file->nearness == ROUNDED ? fabs(divergence) : worst;
    double most = file->nearness == EXACT ? 0.001 : 0.02;
    ck_assert_msg(off <= most, "%s: after token %zu: %g off; at most %g is right", file->file,
                  position, off, most);
}

static enum status load(const char *name, struct model **model, struct error *err)
{
    char path[600];
    struct gguf *gguf;
    snprintf(path, sizeof path, "%s/%s", folder(), name);
    enum status status = gguf_map(&gguf, path, err);
    if (status != STATUS_OK)
        return status;
    status = model_load(model, gguf, 256, 1, err);
    gguf_close(gguf);
    return status;
}

/* All the ways to come by the same logits. */
static void has_one_arithmetic(const struct known *file, const struct model *model,
                               const int32_t *tokens, const float *expected)
{
    static const struct way {
        enum kernel_level level;
        unsigned threads;
        size_t chunk;
        bool company;
    } ways[] = {
        {KERNELS_AUTO, 1, 1, false},  {KERNELS_AUTO, 2, 7, false}, {KERNELS_AUTO, 2, 64, true},
        {KERNELS_AUTO, 1, 7, true},   {KERNELS_AUTO, 2, 1, true},  {KERNELS_REF, 2, 1, false},
        {KERNELS_AVX2, 2, 64, false}, {KERNELS_AVX2, 1, 1, true},
    };
    const size_t n_vocab = model->shape.n_vocab, n = N_TOKENS * n_vocab;
    float *got = malloc(n * sizeof *got);
    ck_assert_ptr_nonnull(got);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        const struct kernels *kernels;
        struct error err;
        if (kernels_select(&kernels, ways[i].level, &cpu, &err) != STATUS_OK)
            continue;
        struct rig rig = rig_open(model, ways[i].level, ways[i].threads, KV_F32);
        compute(&rig, model, tokens, ways[i].chunk, ways[i].company, got);
        ck_assert_msg(memcmp(got, expected, n * sizeof *got) == 0, "%s: way %zu", file->file, i);
        /* Once more: what the cache holds is not computed again. */
        size_t n_cached = compute(&rig, model, tokens, 7, false, got);
        ck_assert_uint_gt(n_cached, 0);
        ck_assert_msg(memcmp(got, expected, n * sizeof *got) == 0, "%s: way %zu, cached",
                      file->file, i);
        rig_close(&rig);
    }
    free(got);
}

/* Another text, which begins like the one before, as with one system prompt: it goes on from where
 * that left what it had at the last page's border of what they share. */
static void goes_on_from_what_was_kept(const struct known *file, const struct model *model,
                                       const int32_t *tokens)
{
    enum { SHARED = KV_PAGE + 9 };
    int32_t other[N_TOKENS];
    const size_t n_vocab = model->shape.n_vocab, n_rest = N_TOKENS - KV_PAGE;
    float *expected = malloc(2 * N_TOKENS * n_vocab * sizeof *expected);
    ck_assert_ptr_nonnull(expected);
    float *got = expected + N_TOKENS * n_vocab;
    for (size_t i = 0; i < N_TOKENS; i++)
        other[i] = tokens[i < SHARED ? i : N_TOKENS - 1 - (i - SHARED)];
    struct rig alone = rig_open(model, KERNELS_AUTO, 1, KV_F32);
    ck_assert_uint_eq(compute(&alone, model, other, 7, false, expected), 0);
    rig_close(&alone);
    struct rig rig = rig_open(model, KERNELS_AUTO, 2, KV_F32);
    rig.keep = SHARED;
    ck_assert_uint_eq(compute(&rig, model, tokens, 64, false, got), 0);
    ck_assert_msg(compute(&rig, model, other, 64, false, got) == KV_PAGE, "%s", file->file);
    ck_assert_msg(memcmp(got + KV_PAGE * n_vocab, expected + KV_PAGE * n_vocab,
                         n_rest * n_vocab * sizeof *got) == 0,
                  "%s: other bits than alone", file->file);
    rig_close(&rig);
    free(expected);
}

static void is_right(const struct known *file)
{
    struct error err = {0};
    struct model *model;
    ck_assert_msg(load(file->file, &model, &err) == STATUS_OK, "%s: %s", file->file, err.text);
    cJSON *reference = read_reference();
    const cJSON *known = member(member(reference, "models"), file->file), *item;
    int32_t tokens[N_TOKENS];
    const size_t n_vocab = model->shape.n_vocab;
    read_tokens(reference, known, tokens);
    float *logits = malloc(N_TOKENS * n_vocab * sizeof *logits);
    ck_assert_ptr_nonnull(logits);
    struct rig rig = rig_open(model, KERNELS_REF, 1, KV_F32);
    compute(&rig, model, tokens, N_TOKENS, false, logits);
    rig_close(&rig);
    cJSON_ArrayForEach(item, member(known, "prompt_positions"))
    {
        size_t at = (size_t)strtoul(item->string, NULL, 10);
        agrees(file, item, logits + at * n_vocab, n_vocab, at);
    }
    size_t at = N_PROMPT - 1;
    cJSON_ArrayForEach(item, member(known, "steps"))
    {
        agrees(file, member(item, "top"), logits + at * n_vocab, n_vocab, at);
        at++;
    }
    has_one_arithmetic(file, model, tokens, logits);
    goes_on_from_what_was_kept(file, model, tokens);
    free(logits);
    cJSON_Delete(reference);
    model_destroy(model);
}

/* --- encoders --- */

/* The vector of n tokens, as the file says that it is pooled. */
static void embed(const struct model *model, enum kernel_level level, unsigned threads,
                  const int32_t *tokens, size_t n, float *vector)
{
    struct rig rig = rig_open(model, level, threads, KV_F32);
    const size_t n_embd = model->shape.n_embd;
    struct kv_seq seq;
    struct row rows[N_TOKENS];
    size_t n_cached, n_pooled = model->shape.pooling == POOLING_MEAN ? n : 1;
    begin(&rig, &seq, tokens, &n_cached);
    ck_assert(kv_extend(rig.kv, &seq, n));
    for (size_t i = 0; i < n; i++)
        rows[i] = (struct row){.token = tokens[i],
                               .position = (uint32_t)i,
                               .length = (uint32_t)n,
                               .seq = &seq,
                               .wants_vector = i < n_pooled};
    forward_run(rig.forward, rows, n);
    memset(vector, 0, n_embd * sizeof *vector);
    for (size_t i = 0; i < n_pooled; i++)
        for (size_t k = 0; k < n_embd; k++)
            vector[k] += forward_vector(rig.forward, i)[k] / (float)n_pooled;
    kv_end(rig.kv, &seq);
    rig_close(&rig);
}

static void vector_is_right(const struct known *file, const struct model *model,
                            const cJSON *expected, const int32_t *tokens, size_t n)
{
    const size_t n_embd = model->shape.n_embd;
    float *vector = malloc(2 * n_embd * sizeof *vector), *other = vector + n_embd;
    ck_assert_ptr_nonnull(vector);
    double worst = 0, square = 0;
    embed(model, KERNELS_REF, 1, tokens, n, vector);
    embed(model, KERNELS_AUTO, 2, tokens, n, other);
    ck_assert_int_eq(memcmp(vector, other, n_embd * sizeof *vector), 0);
    ck_assert_int_eq(cJSON_GetArraySize(expected), (int)n_embd);
    for (size_t i = 0; i < n_embd; i++) {
        double theirs = cJSON_GetArrayItem(expected, (int)i)->valuedouble;
        worst = fmax(worst, fabs(theirs - (double)vector[i]));
        square += theirs * theirs;
    }
    double off = worst / sqrt(square) * sqrt((double)n_embd);
    double most = model->shape.ffn == FFN_GELU ? 0.02 : 0.001;
    ck_assert_msg(off <= most, "%s, %zu tokens: %g off; at most %g is right", file->file, n, off,
                  most);
    free(vector);
}

static void encoder_is_right(const struct known *file)
{
    struct error err = {0};
    struct model *model;
    ck_assert_msg(load(file->file, &model, &err) == STATUS_OK, "%s: %s", file->file, err.text);
    cJSON *reference = read_reference();
    const cJSON *known = member(member(reference, "models"), file->file), *item;
    int32_t tokens[N_TOKENS] = {0};
    size_t n = 0;
    cJSON_ArrayForEach(item, member(reference, "prompt_tokens")) tokens[n++] = item->valueint;
    vector_is_right(file, model, member(known, "embedding"), tokens, n);
    vector_is_right(file, model, member(known, "embedding_of_23"), tokens, 23);
    cJSON_Delete(reference);
    model_destroy(model);
}

START_TEST(a_fixture_is_right_or_refused_by_name)
{
    const struct known *file = &files[_i];
    struct error err = {0};
    struct model *model;
    if (folder() == NULL)
        return;
    if (file->lacks == NULL) {
        (file->nearness == ENCODER ? encoder_is_right : is_right)(file);
        return;
    }
    ck_assert_msg(load(file->file, &model, &err) != STATUS_OK, "%s is served: say so in the table",
                  file->file);
    ck_assert_msg(strstr(err.text, file->lacks) != NULL, "%s: %s", file->file, err.text);
}
END_TEST

START_TEST(every_fixture_is_in_the_table)
{
    if (folder() == NULL)
        return;
    DIR *dir = opendir(folder());
    ck_assert_ptr_nonnull(dir);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        bool found = strstr(entry->d_name, ".gguf") == NULL;
        for (size_t i = 0; i < N_FILES; i++)
            found = found || strcmp(entry->d_name, files[i].file) == 0;
        ck_assert_msg(found, "%s is not in the table", entry->d_name);
    }
    closedir(dir);
}
END_TEST

int main(void)
{
    cpu_detect(&cpu);
    cpu_set_float_mode();
    Suite *suite = suite_create("architectures");
    TCase *tc = tcase_create("architectures");
    tcase_set_timeout(tc, 240);
    tcase_add_loop_test(tc, a_fixture_is_right_or_refused_by_name, 0, N_FILES);
    tcase_add_test(tc, every_fixture_is_in_the_table);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
