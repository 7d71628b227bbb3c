/* test_load.c - facts about loading: the built-in model is there, options are honoured or refused
 * by name. */
#include "cli/load.h"

#include "embed/embed.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 16 };

static struct settings *settings;
static struct loaded loaded;
static struct error err;

static void forget(void)
{
    load_free(&loaded);
    settings_free(settings);
    settings = NULL;
}

/* "--cpu ref", through the settings' own table. */
static enum status load(const char *line)
{
    char words[256], program[] = "smallmind", *argv[WORDS_MAX] = {program}, *env[] = {NULL};
    int argc = 1;
    snprintf(words, sizeof words, "%s", line);
    char *rest = words;
    for (char *word; line[0] != '\0' && (word = strsep(&rest, " ")) != NULL;)
        argv[argc++] = word;
    forget();
    err = (struct error){0};
    ck_assert_int_eq(settings_resolve(&settings, argc, argv, env, NULL, 0, &err), STATUS_OK);
    return load_all(&loaded, settings, &err);
}

static void refuses(const char *line, enum status status, const char *param, const char *part)
{
    ck_assert_int_eq(load(line), status);
    ck_assert_ptr_null(loaded.model);
    ck_assert_str_eq(err.param, param);
    ck_assert_msg(strstr(err.text, part) != NULL, "\"%s\" does not hold \"%s\"", err.text, part);
}

START_TEST(builtin_model_is_embedded_and_aligned)
{
    ck_assert_uint_eq((uintptr_t)embed_model % 64, 0);
    ck_assert_uint_eq((uintptr_t)embed_openapi_yaml % 64, 0);
    ck_assert_uint_gt(embed_model_size, 1 << 20);
    ck_assert_int_eq(memcmp(embed_model, "GGUF", 4), 0);
    ck_assert_uint_gt(embed_openapi_yaml_size, 0);
    ck_assert_int_eq(load(""), STATUS_OK);
    ck_assert_str_eq(loaded.model->name, "smallmind-tiny");
    ck_assert_uint_eq(loaded.model->n_context, 512);
    ck_assert_uint_eq(tokenizer_n_vocab(loaded.tokenizer), loaded.model->shape.n_vocab);
}
END_TEST

/* The settings give places in a list of words; the engine takes enums. */
START_TEST(words_of_the_settings_are_the_kernels_own)
{
    static const char *const types[] = {"f32", "f16", "q8"};
    ck_assert_int_eq(load("--cpu ref --context 64"), STATUS_OK);
    ck_assert_str_eq(loaded.kernels->name, "ref");
    ck_assert_uint_eq(loaded.model->n_context, 64);
    for (int type = 0; type < KV_TYPES; type++) {
        char line[32];
        snprintf(line, sizeof line, "--kv-type %s", types[type]);
        ck_assert_int_eq(load(line), STATUS_OK);
        ck_assert_int_eq(settings->kv_type, type);
    }
    static const char *const levels[] = {"auto", "ref", "avx2", "avxvnni", "avx512", "amx", "neon"};
    for (int level = 0; level < KERNEL_LEVELS; level++) {
        char line[32];
        snprintf(line, sizeof line, "--cpu %s", levels[level]);
        enum status status = load(line);
        ck_assert_int_eq(settings->cpu, level);
        if (status == STATUS_OK && level != KERNELS_AUTO)
            ck_assert_str_eq(loaded.kernels->name, levels[level]);
        else if (status != STATUS_OK)
            ck_assert_msg(strstr(err.text, levels[level]) != NULL, "%s", err.text);
    }
}
END_TEST

START_TEST(options_that_cannot_be_honoured_are_refused_by_name)
{
    refuses("--context 513", STATUS_INVALID, "--context", "512");
#ifdef __x86_64__
    refuses("--cpu neon", STATUS_UNSUPPORTED, "--cpu", "neon");
#else
    refuses("--cpu avx2", STATUS_UNSUPPORTED, "--cpu", "avx2");
#endif
}
END_TEST

START_TEST(a_file_at_fault_is_named)
{
    refuses("--model /nonexistent.gguf", STATUS_IO, "", "/nonexistent.gguf");
    refuses("--model " TEST_SOURCE_DIR "/Makefile", STATUS_FORMAT, "", "/Makefile");
    struct tokenizer *tokenizer = NULL;
    ck_assert_int_ne(load_tokenizer(&tokenizer, TEST_SOURCE_DIR "/Makefile", &err), STATUS_OK);
    ck_assert_ptr_nonnull(strstr(err.text, "/Makefile"));
    ck_assert_ptr_null(tokenizer);
}
END_TEST

START_TEST(vocabulary_loads_alone)
{
    struct tokenizer *tokenizer = NULL;
    ck_assert_int_eq(load_tokenizer(&tokenizer, "builtin", &err), STATUS_OK);
    ck_assert_uint_eq(tokenizer_n_vocab(tokenizer), 2048);
    tokenizer_destroy(tokenizer);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("load");
    TCase *facts = tcase_create("facts");
    tcase_set_timeout(facts, 60);
    tcase_add_checked_fixture(facts, NULL, forget);
    tcase_add_test(facts, builtin_model_is_embedded_and_aligned);
    tcase_add_test(facts, words_of_the_settings_are_the_kernels_own);
    tcase_add_test(facts, options_that_cannot_be_honoured_are_refused_by_name);
    tcase_add_test(facts, a_file_at_fault_is_named);
    tcase_add_test(facts, vocabulary_loads_alone);
    suite_add_tcase(suite, facts);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
