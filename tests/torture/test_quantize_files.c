/* test_quantize_files.c - damaged files are rounded, too: each is refused in words and leaves
 * nothing on the disk, or becomes a file that opens, has the same tensors, and loads where the
 * damaged one does.
 *
 * Every number of the header set to the values at which programs break, each of its bits turned. A
 * fixed sample in the usual run; all of it with SMALLMIND_TORTURE=all.
 */
#include "core/gguf_fields.h"
#include "model/model.h"
#include "model/quantize/quantize.h"
#include "torture/files.h"

#include <sys/stat.h>
#include <unistd.h>

static bool all_of_it; /* else a sample */
static size_t n_tried, n_right;
static struct gguf_fields fields;
static char folder[64], in[96], out[96];

static const char *const types[] = {"F32", "Q8_0", "Q4_K_M", "IQ4_NL", "F16", "Q5_1"};
enum { N_TYPES = sizeof types / sizeof *types };

static void setup(void)
{
    /* In memory where there is such a place: thousands of files are written and synced. */
    const char *place = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(folder, sizeof folder, "%s/smallmind-torture-XXXXXX", place);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(in, sizeof in, "%s/in.gguf", folder);
    snprintf(out, sizeof out, "%s/out.gguf", folder);
    n_tried = n_right = 0;
}

static void teardown(void)
{
    unlink(in);
    unlink(out);
    ck_assert_int_eq(rmdir(folder), 0); /* nothing unfinished is left */
}

static void write_in(const uint8_t *bytes, size_t size)
{
    FILE *file = fopen(in, "wb");
    ck_assert(file != NULL && fwrite(bytes, 1, size, file) == size && fclose(file) == 0);
}

static bool loads(const char *path)
{
    struct gguf *g = NULL;
    struct model *m = NULL;
    struct error err;
    bool ok = gguf_map(&g, path, &err) == STATUS_OK && model_load(&m, g, 0, 1, &err) == STATUS_OK;
    model_destroy(m);
    gguf_close(g);
    return ok;
}

/* The new file has the tensors of the old one. */
static void check_tensors(size_t at, uint64_t value)
{
    struct gguf *old = NULL, *new = NULL;
    struct error err = {0};
    ck_assert_int_eq(gguf_map(&old, in, &err), STATUS_OK);
    ck_assert_msg(gguf_map(&new, out, &err) == STATUS_OK, "byte %zu: %#llx: %s", at,
                  (unsigned long long)value, err.text);
    ck_assert_uint_eq(gguf_n_tensors(old), gguf_n_tensors(new));
    for (size_t i = 0; i < gguf_n_tensors(old); i++) {
        const struct gguf_tensor *a = gguf_tensor_at(old, i);
        const struct gguf_tensor *b = gguf_find_tensor(new, a->name);
        ck_assert_msg(b != NULL && memcmp(a->ne, b->ne, sizeof a->ne) == 0, "%s", a->name);
    }
    gguf_close(old);
    gguf_close(new);
}

static void rounds_or_refuses(const uint8_t *bytes, size_t size, size_t at, uint64_t value)
{
    struct quantize_job job = {
        .in = in, .out = out, .type = types[n_tried++ % N_TYPES], .n_threads = 1};
    struct quantize_result result;
    struct error err = {0};
    write_in(bytes, size);
    enum status status = quantize_file(&job, &result, &err);
    if (status == STATUS_OK) {
        n_right++;
        check_tensors(at, value);
        ck_assert_msg(!loads(in) || loads(out), "%s, byte %zu: %#llx", job.type, at,
                      (unsigned long long)value);
        ck_assert_int_eq(unlink(out), 0);
    } else {
        ck_assert_msg(err.status == status && err.text[0] != '\0' &&
                          (status == STATUS_FORMAT || status == STATUS_UNSUPPORTED ||
                           status == STATUS_TOO_LARGE),
                      "status %d: %s", status, err.text);
        ck_assert_int_eq(access(out, F_OK), -1);
    }
}

static const uint64_t breaking[] = {
    0,     1, UINT64_MAX, (uint64_t)1 << 31, (uint64_t)1 << 32, (uint64_t)1 << 63, UINT64_MAX - 7,
    65536,
};
enum { N_BREAKING = sizeof breaking / sizeof *breaking };

START_TEST(damaged_files_are_rounded_or_refused)
{
    size_t size;
    uint8_t *bytes = files_make((size_t)_i, &size);
    fields_walk(&fields, bytes, size);
    ck_assert(fields.whole);
    size_t n_header = fields.at;
    rounds_or_refuses(bytes, size, 0, 0);
    ck_assert_uint_eq(n_right, 1);
    for (size_t i = 0; i < fields.n; i++) {
        const struct gguf_field f = fields.items[i];
        if (f.kind == FIELD_TEXT || f.kind == FIELD_MAGIC)
            continue;
        uint64_t old = fields_int(bytes + f.at, f.n_bytes);
        size_t step = all_of_it ? 1 : 7;
        for (size_t v = (i + (size_t)_i) % step; v < N_BREAKING + 2; v += step) {
            uint64_t value = v < N_BREAKING ? breaking[v] : v == N_BREAKING ? old + 1 : old - 1;
            fields_put(bytes + f.at, value, f.n_bytes);
            rounds_or_refuses(bytes, size, f.at, value);
            fields_put(bytes + f.at, old, f.n_bytes);
        }
    }
    for (size_t bit = 0; bit < 8 * n_header; bit += all_of_it ? 1 : 127) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        rounds_or_refuses(bytes, size, bit / 8, bytes[bit / 8]);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    printf("%s: %zu files, %zu of them rounded\n", files[_i].name, n_tried, n_right);
    free(bytes);
}
END_TEST

int main(void)
{
    const char *how_much = getenv("SMALLMIND_TORTURE");
    all_of_it = how_much != NULL && strcmp(how_much, "all") == 0;
    Suite *suite = suite_create("quantize_files");
    TCase *tc = tcase_create("quantize");
    tcase_set_timeout(tc, all_of_it ? 36000 : 280);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, damaged_files_are_rounded_or_refused, 0, N_FILES);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
