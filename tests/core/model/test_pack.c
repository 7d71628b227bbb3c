/* test_pack.c - packed weights kept in a file: what comes back is what was kept, for every kind of
 * tensor, and nothing that is damaged, foreign or another's is taken. */
#include "gguf/gguf.h"
#include "model/model.h"
#include "model/pack.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_ROOM = 4096 };

static const uint64_t plenty = (uint64_t)1 << 40;
static const _Atomic bool never = false;
static char folder[PATH_ROOM / 2], fixture[PATH_ROOM];

static void setup(void)
{
    snprintf(folder, sizeof folder, "/tmp/smallmind-pack-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(fixture, sizeof fixture, "%s/tests/fixtures/llama256.Q4_0.gguf", TEST_SOURCE_DIR);
}

/* Calls fn for each file of the folder, the hidden ones too. */
static size_t each_file(void (*fn)(const char *path))
{
    char path[PATH_ROOM];
    size_t n = 0;
    DIR *dir = opendir(folder);
    for (const struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        n++;
        if (fn != NULL)
            fn(path);
    }
    closedir(dir);
    return n;
}

static void remove_file(const char *path)
{
    ck_assert_int_eq(unlink(path), 0);
}

static void teardown(void)
{
    each_file(remove_file);
    ck_assert_int_eq(rmdir(folder), 0);
}

/* NULL: of a kind that is refused. */
static struct model *load(const char *path, size_t n_context)
{
    struct gguf *gguf;
    struct model *model = NULL;
    struct error err;
    ck_assert_msg(gguf_map(&gguf, path, &err) == STATUS_OK, "%s", err.text);
    if (model_load_packed(&model, gguf, n_context, 2, folder, &err) != STATUS_OK)
        model = NULL;
    gguf_close(gguf);
    return model;
}

static void keep(const struct model *model)
{
    struct error err;
    ck_assert_msg(model_keep(model, plenty, &never, &err) == STATUS_OK, "%s", err.text);
}

/* Where a word leads, if it is an address in the model; SIZE_MAX: it is something else. */
static size_t place_of(const void *word, const struct model *m)
{
    uintptr_t at;
    memcpy(&at, word, sizeof at);
    if (at - (uintptr_t)m->arena.base < m->arena.n_bytes)
        return at - (uintptr_t)m->arena.base;
    return at - (uintptr_t)m < sizeof *m ? m->arena.n_bytes + at - (uintptr_t)m : SIZE_MAX;
}

/* Addresses of the same places in both; what else is there may be padding. */
static void same_places(const void *of_a, const void *of_b, size_t n_bytes, const struct model *a,
                        const struct model *b)
{
    for (size_t i = 0; i + sizeof(uintptr_t) <= n_bytes; i += sizeof(uintptr_t))
        ck_assert_uint_eq(place_of((const uint8_t *)of_a + i, a),
                          place_of((const uint8_t *)of_b + i, b));
}

static void same(const struct model *a, const struct model *b)
{
    const size_t first = a->pack->first;
    ck_assert_uint_eq(a->arena.n_used, b->arena.n_used);
    ck_assert_int_eq(memcmp(a->arena.base + first, b->arena.base + first, a->arena.n_used - first),
                     0);
    same_places(a->layers, b->layers, a->shape.n_layers * sizeof *a->layers, a, b);
    same_places(a, b, offsetof(struct model, arena), a, b);
    ck_assert_uint_eq(a->weight_bytes, b->weight_bytes);
    ck_assert_uint_eq(a->bytes_per_token, b->bytes_per_token);
}

START_TEST(every_kind_of_model_comes_back_as_it_was)
{
    char path[PATH_ROOM], shared[PATH_ROOM / 2];
    const char *given = getenv("SMALLMIND_SHARED");
    const char *const folders[] = {TEST_SOURCE_DIR "/tests/fixtures", shared};
    size_t n = 0;
    snprintf(shared, sizeof shared, "%s/fixtures/architectures",
             given ? given : TEST_SOURCE_DIR "/../shared");
    for (size_t i = 0; i < 2; i++) {
        DIR *dir = opendir(folders[i]);
        for (const struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
            const size_t n_name = strlen(e->d_name);
            snprintf(path, sizeof path, "%s/%s", folders[i], e->d_name);
            if (n_name < 5 || strcmp(e->d_name + n_name - 5, ".gguf") != 0)
                continue;
            struct model *made = load(path, 0);
            if (made == NULL)
                continue;
            ck_assert(!made->from_pack && made->pack_text[0] == '\0');
            keep(made);
            struct model *found = load(path, 0);
            ck_assert_msg(found != NULL && found->from_pack, "%s", path);
            same(made, found);
            model_destroy(found);
            model_destroy(made);
            each_file(remove_file);
            n++;
        }
        if (dir != NULL)
            closedir(dir);
    }
    ck_assert_uint_gt(n, 0);
}
END_TEST

static void keep_fixture(void)
{
    struct model *model = load(fixture, 0);
    keep(model);
    model_destroy(model);
}

/* It is made anew: with a reason, where there was a file. */
static void is_not_taken(bool with_reason)
{
    struct model *model = load(fixture, 0);
    ck_assert(!model->from_pack);
    ck_assert_int_eq(model->pack_text[0] != '\0', with_reason);
    struct error err;
    struct gguf *gguf;
    struct model *plain;
    ck_assert_int_eq(gguf_map(&gguf, fixture, &err), STATUS_OK);
    ck_assert_int_eq(model_load(&plain, gguf, 0, 1, &err), STATUS_OK);
    gguf_close(gguf);
    ck_assert_uint_eq(plain->arena.n_used, model->arena.n_used);
    ck_assert_int_eq(memcmp(plain->arena.base + model->pack->first,
                            model->arena.base + model->pack->first,
                            plain->arena.n_used - model->pack->first),
                     0);
    model_destroy(plain);
    model_destroy(model);
}

static size_t flip_at; /* of the file's bytes; in 64ths of it */

static void flip(const char *path)
{
    struct stat s;
    uint8_t byte;
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    ck_assert_int_eq(fstat(fd, &s), 0);
    const off_t at = (off_t)((size_t)s.st_size * flip_at / 64);
    ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
    byte ^= 16;
    ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

START_TEST(a_damaged_file_is_not_taken)
{
    keep_fixture();
    for (flip_at = 1; flip_at < 64; flip_at += 7) {
        each_file(flip);
        is_not_taken(true);
        each_file(flip);
    }
    flip_at = 0;
    each_file(flip);
    is_not_taken(true);
    keep_fixture(); /* in its place */
    struct model *model = load(fixture, 0);
    ck_assert(model->from_pack);
    model_destroy(model);
}
END_TEST

static void cut(const char *path)
{
    struct stat s;
    ck_assert_int_eq(stat(path, &s), 0);
    ck_assert_int_eq(truncate(path, s.st_size - 1), 0);
}

static void open_to_all(const char *path)
{
    ck_assert_int_eq(chmod(path, 0666), 0);
}

START_TEST(a_file_that_was_cut_or_that_others_may_write_is_not_taken)
{
    keep_fixture();
    each_file(open_to_all);
    is_not_taken(true);
    each_file(cut);
    is_not_taken(true);
}
END_TEST

START_TEST(another_file_or_context_has_a_place_of_its_own)
{
    char copy[PATH_ROOM];
    keep_fixture();
    struct model *model = load(fixture, 16);
    ck_assert(!model->from_pack && model->pack_text[0] == '\0');
    keep(model);
    model_destroy(model);
    ck_assert_uint_eq(each_file(NULL), 2);

    FILE *from = fopen(fixture, "re"); /* the same bytes: who knows that without reading them? */
    snprintf(copy, sizeof copy, "%s/copy.gguf", folder);
    FILE *to = fopen(copy, "we");
    for (int c; (c = fgetc(from)) != EOF;)
        fputc(c, to);
    fclose(from);
    fclose(to);
    model = load(copy, 0);
    ck_assert(!model->from_pack && model->pack_text[0] == '\0');
    model_destroy(model);
}
END_TEST

static uint64_t file_bytes;

static void measure(const char *path)
{
    struct stat s;
    ck_assert_int_eq(stat(path, &s), 0);
    file_bytes = (uint64_t)s.st_size > file_bytes ? (uint64_t)s.st_size : file_bytes;
}

static void age(const char *path)
{
    const struct timespec times[2] = {{.tv_sec = 1000000}, {.tv_sec = 1000000}};
    ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
}

START_TEST(the_folder_is_bounded_and_the_least_used_goes)
{
    struct error err;
    struct model *models[3];
    for (size_t i = 0; i < 3; i++)
        models[i] = load(fixture, 16 + i);
    keep(models[0]);
    each_file(measure);
    ck_assert_int_eq(model_keep(models[0], file_bytes / 2, &never, &err), STATUS_TOO_LARGE);
    const uint64_t most = file_bytes * 5 / 2;
    ck_assert_int_eq(model_keep(models[1], most, &never, &err), STATUS_OK);
    each_file(age);
    struct model *used = load(fixture, 16); /* now the other is the one used least recently */
    ck_assert(used->from_pack);
    ck_assert_int_eq(model_keep(models[2], most, &never, &err), STATUS_OK);
    ck_assert_uint_eq(each_file(NULL), 2);
    model_destroy(used);
    used = load(fixture, 16);
    ck_assert(used->from_pack);
    model_destroy(used);
    used = load(fixture, 17);
    ck_assert(!used->from_pack);
    model_destroy(used);
    for (size_t i = 0; i < 3; i++)
        model_destroy(models[i]);
}
END_TEST

START_TEST(what_is_stopped_or_cannot_be_written_leaves_nothing)
{
    const _Atomic bool now = true;
    struct error err;
    struct model *model = load(fixture, 0);
    ck_assert_int_eq(model_keep(model, plenty, &now, &err), STATUS_STOPPING);
    ck_assert_uint_eq(each_file(NULL), 0);
    snprintf(model->pack->folder, sizeof model->pack->folder, "%s/none/at/all", folder);
    ck_assert_int_eq(model_keep(model, plenty, &never, &err), STATUS_IO);
    model_destroy(model);
    is_not_taken(false);
}
END_TEST

/* What a file holds of the fixtures with every kind of panel. Where this fails the layout has
 * changed, and files of older versions must not be taken any more: raise PACK_VERSION in
 * core/model/pack.c, then set the sum here. */
START_TEST(the_layout_is_the_one_of_this_version)
{
    static const char *const names[] = {"llama256.Q4_0", "llama256.Q8_0", "llama256.Q4_K_M",
                                        "llama256.Q6_K", "llama256.F16",  "gpt256.Q4_K_M"};
    char path[PATH_ROOM];
    uint64_t sum = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/tests/fixtures/%s.gguf", TEST_SOURCE_DIR, names[i]);
        struct model *model = load(path, 64);
        for (size_t k = model->pack->first; k < model->arena.n_used; k++)
            sum = (sum ^ model->arena.base[k]) * 0x100000001b3u; /* FNV-1a */
        model_destroy(model);
    }
    ck_assert_msg(sum == UINT64_C(0xdc5ce250a4f3f85c), "the sum is 0x%016llx",
                  (unsigned long long)sum);
}
END_TEST

START_TEST(a_model_of_no_file_has_no_place)
{
    struct gguf *gguf;
    struct model *model;
    struct error err;
    struct stat s;
    const int fd = open(fixture, O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(fstat(fd, &s), 0);
    uint8_t *bytes = malloc((size_t)s.st_size);
    ck_assert_int_eq(read(fd, bytes, (size_t)s.st_size), s.st_size);
    close(fd);
    ck_assert_int_eq(gguf_open(&gguf, bytes, (size_t)s.st_size, &err), STATUS_OK);
    ck_assert_int_eq(model_load_packed(&model, gguf, 0, 1, folder, &err), STATUS_OK);
    ck_assert_ptr_null(model->pack);
    model_destroy(model);
    gguf_close(gguf);
    free(bytes);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pack");
    TCase *tc = tcase_create("pack");
    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, every_kind_of_model_comes_back_as_it_was);
    tcase_add_test(tc, a_damaged_file_is_not_taken);
    tcase_add_test(tc, a_file_that_was_cut_or_that_others_may_write_is_not_taken);
    tcase_add_test(tc, another_file_or_context_has_a_place_of_its_own);
    tcase_add_test(tc, the_folder_is_bounded_and_the_least_used_goes);
    tcase_add_test(tc, what_is_stopped_or_cannot_be_written_leaves_nothing);
    tcase_add_test(tc, the_layout_is_the_one_of_this_version);
    tcase_add_test(tc, a_model_of_no_file_has_no_place);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
