/* test_tokenizer_files.c - facts about real vocabularies: the built-in model's, and published ones
 * where they are at hand (the folder SMALLMIND_SHARED names, or ../shared beside the tree): the ids
 * of each text are those expected.
 */
#include "base/utf8.h"
#include "vocabulary.h"

#include <pthread.h>

static struct tokenizer *open_file(const char *path)
{
    struct gguf *gguf = NULL;
    struct tokenizer *t = NULL;
    struct error err = {0};
    ck_assert_msg(gguf_map(&gguf, path, &err) == STATUS_OK, "%s", err.text);
    ck_assert_msg(tokenizer_create(&t, gguf, &err) == STATUS_OK, "%s: %s", path, err.text);
    gguf_close(gguf);
    return t;
}

/* The whole file, a NUL behind; NULL when it is not there. */
static char *read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    fseek(file, 0, SEEK_END);
    long n = ftell(file);
    rewind(file);
    ck_assert_int_ge(n, 0);
    char *text = malloc((size_t)n + 1);
    ck_assert_ptr_nonnull(text);
    ck_assert_uint_eq(fread(text, 1, (size_t)n, file), (size_t)n);
    text[n] = '\0';
    fclose(file);
    return text;
}

/* Published byte-level vocabularies lack some bytes that texts hardly have: controls, those of
 * empty planes. */
static bool can_write(const struct tokenizer *t, const char *text, size_t n)
{
    int32_t ids[64];
    size_t n_ids;
    struct error err;
    ck_assert_uint_le(tokenizer_max_ids(t, n), 64);
    return tokenizer_encode(t, text, n, 0, ids, &n_ids, &err) == STATUS_OK;
}

static void random_texts(struct tokenizer *t, uint64_t seed)
{
    enum { MAX_BYTES = 300 };
    for (unsigned round = 0; round < 160; round++) {
        char text[MAX_BYTES + 4];
        size_t n = 0, n_max = next_random(&seed) % MAX_BYTES;
        bool is_ascii = round % 2; /* mostly plane 0 else */
        while (n < n_max) {
            uint32_t cp = next_random(&seed) % (is_ascii ? 0x80 : round % 4 ? 0x110000 : 0x3000);
            if ((cp >= 0xd800 && cp < 0xe000) || cp == 0x2581) /* SentencePiece's own space */
                continue;
            size_t length = utf8_encode(cp, text + n);
            n += can_write(t, text + n, length) ? length : 0;
        }
        ck_assert(comes_back(t, text, n, 0));
        ck_assert(comes_back(t, text, n, TOKENIZER_PARSE_SPECIAL));
    }
}

static char *builtin_path(void)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/models/smallmind-tiny.gguf", TEST_SOURCE_DIR);
    return path;
}

START_TEST(the_builtin_vocabulary)
{
    struct tokenizer *t = open_file(builtin_path());
    ck_assert_str_eq(tokenizer_pre(t), "gpt-2");
    ck_assert_uint_eq(tokenizer_n_vocab(t), 2048);
    ck_assert(tokenizer_adds_bos(t) && !tokenizer_adds_eos(t));
    ck_assert_int_eq(tokenizer_bos(t), 0);
    ck_assert(tokenizer_is_end(t, tokenizer_eos(t)) && tokenizer_is_control(t, tokenizer_eos(t)));
    ck_assert_str_eq(tokens_of(t, "Once upon a time<|endoftext|>", 3),
                     "<|endoftext|>|Once|\xc4\xa0upon|\xc4\xa0"
                     "a|\xc4\xa0time|<|endoftext|>");
    ck_assert_ptr_null(strstr(tokens_of(t, "<|endoftext|>", 0), "<|endoftext|>"));
    random_texts(t, 7);
    tokenizer_destroy(t);
}
END_TEST

enum { N_THREADS = 4, N_ROUNDS = 50 };

struct share {
    const struct tokenizer *t; /* shared */
    const char *text;
    size_t n, n_wrong;
};

static void *encode_often(void *arg)
{
    struct share *share = arg;
    size_t max = tokenizer_max_ids(share->t, share->n), n_first = 0;
    int32_t *first = malloc(2 * max * sizeof *first), *ids = first + max;
    struct error err;
    for (unsigned round = 0; first && round < N_ROUNDS; round++) {
        size_t n_ids = 0;
        int32_t *out = round ? ids : first;
        share->n_wrong +=
            tokenizer_encode(share->t, share->text, share->n, 3, out, &n_ids, &err) != STATUS_OK;
        if (round == 0)
            n_first = n_ids;
        share->n_wrong += n_ids != n_first || memcmp(out, first, n_ids * sizeof *ids) != 0;
    }
    share->n_wrong += !first;
    free(first);
    return NULL;
}

START_TEST(threads_share_a_tokenizer)
{
    struct tokenizer *t = open_file(builtin_path());
    static const char text[] =
        "Once upon a time there were 3 little pigs.<|endoftext|>  \xc3\xa9\n\n";
    struct share shares[N_THREADS];
    pthread_t threads[N_THREADS];
    for (size_t i = 0; i < N_THREADS; i++) {
        shares[i] = (struct share){t, text, sizeof text - 1, 0};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, encode_often, &shares[i]), 0);
    }
    for (size_t i = 0; i < N_THREADS; i++) {
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        ck_assert_uint_eq(shares[i].n_wrong, 0);
    }
    tokenizer_destroy(t);
}
END_TEST

/* Where the published vocabularies are; NULL, with a word, when they are not. */
static const char *shared(void)
{
    static char path[512];
    const char *folder = getenv("SMALLMIND_SHARED");
    snprintf(path, sizeof path, "%s", folder ? folder : TEST_SOURCE_DIR "/../shared");
    char probe[600];
    snprintf(probe, sizeof probe, "%s/fixtures/tokenizers/ggml-vocab-gpt-2.gguf", path);
    FILE *file = fopen(probe, "rb");
    if (!file) {
        printf("skipped: no published vocabularies in %s\n", path);
        return NULL;
    }
    fclose(file);
    return path;
}

static void compare_ids(struct tokenizer *t, const char *name, char *texts, char *expected)
{
    static const char border[] = "\n__ggml_vocab_test__\n";
    unsigned n_texts = 0;
    char *end;
    for (char *text = texts; (end = strstr(text, border)) != NULL; text = end + sizeof border - 1) {
        size_t n = (size_t)(end - text), n_ids = 0, n_line = 0;
        int32_t *ids = ids_of(t, text, n, 0, &n_ids);
        char *line = calloc(n_ids + 1, 12);
        ck_assert_ptr_nonnull(line);
        for (size_t i = 0; i < n_ids; i++)
            n_line += (size_t)sprintf(line + n_line, " %d", (int)ids[i]);
        char *line_end = strchr(expected, '\n');
        ck_assert_ptr_nonnull(line_end);
        *line_end = '\0';
        ck_assert_msg(strcmp(line, expected) == 0, "%s, text %u '%.*s':\n%s\nexpected\n%s", name,
                      n_texts, (int)n, text, line, expected);
        ck_assert_msg(comes_back(t, text, n, 0), "%s, text %u", name, n_texts);
        expected = line_end + 1;
        n_texts++;
        free(line);
        free(ids);
    }
    ck_assert_uint_gt(n_texts, 40);
    ck_assert_str_eq(expected, "");
}

START_TEST(published_vocabularies)
{
    static const char *const names[] = {"llama-spm", "phi-3",  "gpt-2",
                                        "refact",    "falcon", "deepseek-coder"};
    const char *folder = shared();
    if (!folder)
        return;
    char path[600];
    snprintf(path, sizeof path, "%s/fixtures/tokenizers/ggml-vocab-%s.gguf", folder, names[_i]);
    struct tokenizer *t = open_file(path);
    snprintf(path, sizeof path, "%s/fixtures/tokenizers/ggml-vocab-%s.gguf.inp", folder, names[_i]);
    char *texts = read_file(path);
    snprintf(path, sizeof path, "%s/fixtures/tokenizers/ggml-vocab-%s.gguf.out", folder, names[_i]);
    char *expected = read_file(path);
    ck_assert(texts && expected);
    compare_ids(t, names[_i], texts, expected);
    random_texts(t, 8);
    free(texts);
    free(expected);
    tokenizer_destroy(t);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tokenizer_files");
    TCase *tc = tcase_create("facts");
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, the_builtin_vocabulary);
    tcase_add_test(tc, threads_share_a_tokenizer);
    tcase_add_loop_test(tc, published_vocabularies, 0, 6);
    suite_add_tcase(suite, tc);
    return run_text_suite(suite);
}
