/* tokenize_texts.c - the ids of many texts with one vocabulary, for comparisons with other
 * programs.
 *
 * usage: tokenize_texts VOCABULARY.gguf FLAGS < texts, each ended by a NUL. FLAGS is the sum of
 * enum tokenizer_flags. Prints one line a text: its ids, or "error: " and why.
 */
#include "gguf/gguf.h"
#include "text/tokenizer/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* All of a stream; *out is the caller's. */
static size_t read_all(FILE *in, char **out)
{
    size_t n = 0, capacity = 1 << 16;
    char *bytes = malloc(capacity);
    while (bytes != NULL) {
        n += fread(bytes + n, 1, capacity - n, in);
        if (n < capacity)
            break;
        char *more = realloc(bytes, capacity *= 2);
        if (more == NULL)
            free(bytes);
        bytes = more;
    }
    *out = bytes;
    return n;
}

static void print_ids(const struct tokenizer *t, const char *text, size_t n, unsigned flags)
{
    struct error err = {0};
    size_t n_ids = 0;
    int32_t *ids = malloc((tokenizer_max_ids(t, n) + 1) * sizeof *ids);
    if (ids == NULL || tokenizer_encode(t, text, n, flags, ids, &n_ids, &err) != STATUS_OK)
        printf("error: %s", ids == NULL ? "no memory" : err.text);
    for (size_t i = 0; i < n_ids; i++)
        printf("%s%d", i == 0 ? "" : " ", (int)ids[i]);
    putchar('\n');
    free(ids);
}

int main(int argc, char **argv)
{
    struct error err = {0};
    struct gguf *gguf = NULL;
    struct tokenizer *t = NULL;
    char *bytes = NULL, *texts = NULL;
    FILE *file = argc == 3 ? fopen(argv[1], "rb") : NULL;
    size_t size = file != NULL ? read_all(file, &bytes) : 0;
    size_t n_texts = read_all(stdin, &texts);
    if (file != NULL)
        fclose(file);
    bool good = bytes != NULL && texts != NULL &&
                gguf_open(&gguf, (const uint8_t *)bytes, size, &err) == STATUS_OK &&
                tokenizer_create(&t, gguf, &err) == STATUS_OK;
    if (!good)
        fprintf(stderr, "tokenize_texts: %s\n", argc == 3 ? err.text : "two arguments are needed");
    for (size_t at = 0; good && at < n_texts;) {
        size_t n = strnlen(texts + at, n_texts - at);
        print_ids(t, texts + at, n, (unsigned)strtoul(argv[2], NULL, 10));
        at += n + 1;
    }
    tokenizer_destroy(t);
    gguf_close(gguf);
    free(bytes);
    free(texts);
    return good ? 0 : 1;
}
