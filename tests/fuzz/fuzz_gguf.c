/* fuzz_gguf.c - any bytes as a model file: opened, described, loaded, its vocabulary used.
 *
 * Besides what the sanitizers see: a refusal is a sentence, nothing is handed out with it, and what
 * loads takes memory in proportion to the file.
 */
#include "fuzz/fuzz.h"
#include "model/model.h"
#include "text/tokenizer/tokenizer.h"

#include <string.h>

enum { ROOM = 32 << 20 /* bytes: the RoPE tables of 4096 positions at most */ };

static void check_refusal(enum status status, const struct error *err)
{
    FUZZ_CHECK(err->status == status && err->text[0] != '\0', "status %d", status);
    FUZZ_CHECK(status == STATUS_FORMAT || status == STATUS_UNSUPPORTED ||
                   status == STATUS_TOO_LARGE,
               "status %d: %s", status, err->text);
}

static void use_model(const struct gguf *g, size_t size)
{
    struct model *m = NULL;
    struct shape shape;
    struct error err = {0};
    size_t n_bytes = 0;
    enum status status = model_read_shape(&shape, g, &err);
    if (status != STATUS_OK) {
        check_refusal(status, &err);
        return;
    }
    size_t n_context = shape.n_context_train < MODEL_DEFAULT_CONTEXT ? shape.n_context_train
                                                                     : MODEL_DEFAULT_CONTEXT;
    status = model_memory(g, &shape, n_context, &n_bytes, &err);
    FUZZ_CHECK(status == STATUS_OK, "%s", err.text);
    /* Panels are filled up to 16 rows. */
    FUZZ_CHECK(n_bytes <= PANEL_ROWS * size + ROOM, "%zu bytes for a file of %zu", n_bytes, size);
    status = model_load(&m, g, 0, 1, &err);
    if (status != STATUS_OK) {
        FUZZ_CHECK(m == NULL, "a refused model is handed out");
        check_refusal(status, &err);
        return;
    }
    FUZZ_CHECK(m->n_context == n_context && m->embed.n_rows == shape.n_vocab, "another shape");
    model_destroy(m);
}

static void use_tokenizer(const struct gguf *g)
{
    static const char text[] = "ab a<s> \xc3\xa9 12345 don't\r\n\t <|end|><user>\n";
    struct tokenizer *t = NULL;
    struct error err = {0};
    enum status status = tokenizer_create(&t, g, &err);
    if (status != STATUS_OK) {
        FUZZ_CHECK(t == NULL, "a refused vocabulary is handed out");
        check_refusal(status, &err);
        return;
    }
    for (unsigned flags = 0; flags < 4; flags++) {
        size_t max = tokenizer_max_ids(t, sizeof text - 1), n_ids = 0;
        int32_t *ids = malloc((max + 1) * sizeof *ids);
        FUZZ_CHECK(ids != NULL, "memory");
        if (tokenizer_encode(t, text, sizeof text - 1, flags, ids, &n_ids, &err) == STATUS_OK) {
            FUZZ_CHECK(n_ids <= max, "%zu ids, %zu at most", n_ids, max);
            size_t n = tokenizer_decode(t, ids, n_ids, NULL);
            char *out = malloc(n + (n == 0));
            FUZZ_CHECK(out != NULL && tokenizer_decode(t, ids, n_ids, out) == n, "decoding");
            free(out);
        }
        free(ids);
    }
    tokenizer_destroy(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gguf *g = NULL;
    struct error err = {0};
    enum status status = gguf_open(&g, data, size, &err);
    if (status != STATUS_OK) {
        FUZZ_CHECK(g == NULL, "a refused file is handed out");
        check_refusal(status, &err);
        return 0;
    }
    use_model(g, size);
    use_tokenizer(g);
    gguf_close(g);
    return 0;
}
