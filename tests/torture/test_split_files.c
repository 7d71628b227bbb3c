/* test_split_files.c - a split model one of whose files is damaged: it is refused in words, or is
 * loaded as what the files then say.
 *
 * Every number of each header set to the values at which programs break, each of its bits turned,
 * each file cut, missing, empty or in another's place. A fixed sample in the usual run; all of it
 * with SMALLMIND_TORTURE=all.
 */
#include "core/gguf_fields.h"
#include "core/tiny_model.h"
#include "model/model.h"

#include <sys/stat.h>
#include <unistd.h>

enum { N_PARTS = 3 };
static bool all_of_it; /* else a sample */
static size_t n_tried, n_right;
static struct gguf_fields fields;
static char folder[64], path[N_PARTS][96];
static uint8_t *bytes[N_PARTS]; /* as they should be */
static size_t size[N_PARTS];

static void write_part(size_t i, const uint8_t *from, size_t n)
{
    FILE *file = fopen(path[i], "wb");
    ck_assert(file != NULL && fwrite(from, 1, n, file) == n && fclose(file) == 0);
}

/* A small model's tensors are dealt out; the first file has its keys as well. */
static void make_parts(void)
{
    struct gguf_builder *whole = tiny_model("llama", WEIGHT_Q8_0), *parts[N_PARTS] = {whole};
    const size_t n_tensors = whole->n_tensors;
    size_t n_kept = 0;
    for (unsigned i = 1; i < N_PARTS; i++)
        parts[i] = gguf_builder_new();
    for (size_t i = 0; i < n_tensors; i++) {
        struct gguf_builder *to = parts[i % N_PARTS];
        const struct builder_tensor t = whole->tensors[i];
        to->tensors[to == whole ? n_kept++ : to->n_tensors++] = t;
    }
    for (size_t i = n_kept; i < n_tensors; i++) /* they are the others' now */
        whole->tensors[i] = (struct builder_tensor){.type = 0};
    whole->n_tensors = n_kept;
    for (unsigned i = 0; i < N_PARTS; i++) {
        builder_int(parts[i], "split.no", GGUF_U16, i, 2);
        builder_int(parts[i], "split.count", GGUF_U16, N_PARTS, 2);
        builder_int(parts[i], "split.tensors.count", GGUF_I32, n_tensors, 4);
        bytes[i] = gguf_build(parts[i], &size[i]);
        gguf_builder_free(parts[i]);
    }
}

static void setup(void)
{
    const char *place = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(folder, sizeof folder, "%s/smallmind-torture-XXXXXX", place);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    make_parts();
    for (unsigned i = 0; i < N_PARTS; i++) {
        snprintf(path[i], sizeof path[i], "%s/m-%05u-of-00003.gguf", folder, i + 1);
        write_part(i, bytes[i], size[i]);
    }
    n_tried = n_right = 0;
}

static void teardown(void)
{
    for (size_t i = 0; i < N_PARTS; i++) {
        unlink(path[i]);
        free(bytes[i]);
    }
    ck_assert_int_eq(rmdir(folder), 0);
}

/* Whether the model loads; what does not says why. */
static bool survives(const char *kind, size_t part, size_t at)
{
    struct gguf *g = NULL;
    struct model *m = NULL;
    struct error err = {0};
    enum status status = gguf_map(&g, path[0], &err);
    if (status == STATUS_OK)
        status = model_load(&m, g, 0, 1, &err);
    n_tried++;
    n_right += status == STATUS_OK;
    if (status != STATUS_OK)
        ck_assert_msg(err.status == status && err.text[0] != '\0' &&
                          (status == STATUS_FORMAT || status == STATUS_UNSUPPORTED ||
                           status == STATUS_TOO_LARGE || status == STATUS_IO),
                      "%s, file %zu, byte %zu: status %d: %s", kind, part, at, status, err.text);
    model_destroy(m);
    gguf_close(g);
    return status == STATUS_OK;
}

static void spoil(const char *kind, size_t part, size_t at, uint64_t value, size_t n)
{
    uint8_t *copy = malloc(size[part]);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, bytes[part], size[part]);
    fields_put(copy + at, value, n);
    write_part(part, copy, size[part]);
    free(copy);
    survives(kind, part, at);
}

START_TEST(a_damaged_file_of_several_does_no_harm)
{
    static const uint64_t breaking[] = {
        0,     1, UINT64_MAX, (uint64_t)1 << 31, (uint64_t)1 << 32, (uint64_t)1 << 63,
        65535, 2, N_PARTS,    UINT64_MAX - 7,
    };
    enum { N_BREAKING = sizeof breaking / sizeof *breaking };
    const size_t part = (size_t)_i;
    ck_assert(survives("whole", part, 0));
    fields_walk(&fields, bytes[part], size[part]);
    ck_assert(fields.whole);
    const size_t n_header = fields.at, step = all_of_it ? 1 : 3;
    for (size_t i = 0; i < fields.n; i++) {
        const struct gguf_field f = fields.items[i];
        if (f.kind == FIELD_TEXT || f.kind == FIELD_MAGIC)
            continue;
        uint64_t old = fields_int(bytes[part] + f.at, f.n_bytes);
        for (size_t v = i % step; v < N_BREAKING + 2; v += step)
            spoil("a number", part, f.at,
                  v < N_BREAKING    ? breaking[v]
                  : v == N_BREAKING ? old + 1
                                    : old - 1,
                  f.n_bytes);
    }
    for (size_t bit = 0; bit < 8 * n_header; bit += all_of_it ? 1 : 31)
        spoil("a bit", part, bit / 8, bytes[part][bit / 8] ^ (1u << bit % 8), 1);
    for (size_t n = 0; n < size[part]; n += all_of_it || n < 64 ? 1 : 61) {
        write_part(part, bytes[part], n);
        ck_assert_msg(!survives("its end", part, n), "%zu of %zu bytes load", n, size[part]);
    }
    write_part(part, bytes[part], size[part]);
    ck_assert(survives("whole again", part, 0));
    printf("file %zu: %zu sets, %zu of them loaded\n", part + 1, n_tried, n_right);
}
END_TEST

START_TEST(a_file_in_anothers_place_is_noticed)
{
    for (size_t part = 0; part < N_PARTS; part++) {
        for (size_t other = 0; other < N_PARTS; other++) {
            write_part(part, bytes[other], size[other]);
            ck_assert_int_eq(survives("a place", part, other), part == other);
        }
        ck_assert_int_eq(unlink(path[part]), 0);
        ck_assert(!survives("none", part, 0));
        ck_assert_int_eq(mkdir(path[part], 0700), 0);
        ck_assert(!survives("a folder", part, 0));
        ck_assert_int_eq(rmdir(path[part]), 0);
        ck_assert_int_eq(symlink(path[part], path[part]), 0);
        ck_assert(!survives("a link to itself", part, 0));
        ck_assert_int_eq(unlink(path[part]), 0);
        write_part(part, bytes[part], size[part]);
    }
    ck_assert(survives("whole again", 0, 0));
}
END_TEST

int main(void)
{
    const char *how_much = getenv("SMALLMIND_TORTURE");
    all_of_it = how_much != NULL && strcmp(how_much, "all") == 0;
    Suite *suite = suite_create("split_files");
    TCase *tc = tcase_create("split");
    tcase_set_timeout(tc, all_of_it ? 36000 : 280);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, a_damaged_file_of_several_does_no_harm, 0, N_PARTS);
    tcase_add_test(tc, a_file_in_anothers_place_is_noticed);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
