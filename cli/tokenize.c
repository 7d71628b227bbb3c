/* tokenize.c - `tokenize` and `detokenize`: standard input to ids and back. Main thread. */
#include "cli/verbs.h"

#include "base/checked.h"
#include "cli/load.h"
#include "cli/terminal.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A reader that has left is not a failure. */
static int write_out(const char *bytes, size_t n)
{
    struct error err = {0};
    enum status status = terminal_write(bytes, n, &err);
    return status == STATUS_OK || status == STATUS_CANCELLED ? EXIT_DONE : verb_fail(&err);
}

/* Ids on one line, separated by spaces; malloc'ed. NULL: out of memory. */
static char *format_ids(const int32_t *ids, size_t n_ids, size_t *n)
{
    enum { ID_CHARS = 11 }; /* 2147483647 and a space */
    char *line = malloc(n_ids * ID_CHARS + 2), *at = line;
    if (line == NULL)
        return NULL;
    for (size_t i = 0; i < n_ids; i++)
        at += snprintf(at, ID_CHARS + 1, "%s%d", i > 0 ? " " : "", (int)ids[i]);
    *at++ = '\n';
    *n = (size_t)(at - line);
    return line;
}

int verb_tokenize(const struct settings *settings)
{
    struct tokenizer *tokenizer = NULL;
    struct error err = {0};
    char *text = NULL, *line = NULL;
    int32_t *ids = NULL;
    size_t n_text = 0, n_ids = 0, n_line = 0;
    unsigned flags = (settings->special ? TOKENIZER_PARSE_SPECIAL : 0U) |
                     (settings->add_special ? TOKENIZER_ADD_SPECIAL : 0U) |
                     (settings->no_normalize ? TOKENIZER_NO_NORMALIZE : 0U);
    enum status status = load_tokenizer(&tokenizer, settings->model, &err);
    if (status == STATUS_OK) {
        terminal_invite("the text");
        status = terminal_read(NULL, &text, &n_text, &err);
    }
    if (status == STATUS_OK) {
        size_t room = tokenizer_max_ids(tokenizer, n_text);
        ids = calloc(room > 0 ? room : 1, sizeof *ids);
        status = ids != NULL ? tokenizer_encode(tokenizer, text, n_text, flags, ids, &n_ids, &err)
                             : error_no_memory(&err, room * sizeof *ids, "token ids");
    }
    if (status == STATUS_OK) {
        line = format_ids(ids, n_ids, &n_line);
        if (line == NULL)
            status = error_no_memory(&err, n_ids, "token ids as text");
    }
    int code = status == STATUS_OK ? write_out(line, n_line) : verb_fail(&err);
    tokenizer_destroy(tokenizer);
    free(text);
    free(ids);
    free(line);
    return code;
}

/* Reads ids separated by white space; *ids is malloc'ed. */
static enum status read_ids(char *text, size_t n_text, size_t n_vocab, int32_t **out, size_t *n,
                            struct error *err)
{
    if (strlen(text) != n_text)
        return error_set(err, STATUS_INVALID, "standard input: a NUL byte among the token ids");
    size_t n_ids = 0, room = n_text / 2 + 1; /* an id and a space take two bytes at least */
    int32_t *ids = calloc(room, sizeof *ids);
    if (ids == NULL)
        return error_no_memory(err, room * sizeof *ids, "token ids");
    char *rest = NULL;
    for (char *word = strtok_r(text, " \t\r\n", &rest); word != NULL;
         word = strtok_r(NULL, " \t\r\n", &rest)) {
        size_t length = strlen(word);
        unsigned long long id = strtoull(word, NULL, 10);
        if (length > 10 || strspn(word, "0123456789") != length || id >= n_vocab) {
            error_set(err, STATUS_INVALID,
                      "standard input: \"%.32s\" is not a token id; ids are 0 to %zu", word,
                      n_vocab - 1);
            free(ids);
            return STATUS_INVALID;
        }
        ids[n_ids++] = (int32_t)id;
    }
    *out = ids;
    *n = n_ids;
    return STATUS_OK;
}

int verb_detokenize(const struct settings *settings)
{
    struct tokenizer *tokenizer = NULL;
    struct error err = {0};
    char *text = NULL, *out = NULL;
    int32_t *ids = NULL;
    size_t n_text = 0, n_ids = 0, n_out = 0;
    enum status status = load_tokenizer(&tokenizer, settings->model, &err);
    if (status == STATUS_OK) {
        terminal_invite("the token ids");
        status = terminal_read(NULL, &text, &n_text, &err);
    }
    if (status == STATUS_OK)
        status = read_ids(text, n_text, tokenizer_n_vocab(tokenizer), &ids, &n_ids, &err);
    if (status == STATUS_OK) {
        size_t room;
        if (!checked_mul(n_ids, tokenizer_max_piece(tokenizer), &room) ||
            (out = malloc(room + 1)) == NULL)
            status = error_no_memory(&err, n_ids, "the text of token ids");
        else
            n_out = tokenizer_decode(tokenizer, ids, n_ids, out);
    }
    int code = status == STATUS_OK ? write_out(out, n_out) : verb_fail(&err);
    tokenizer_destroy(tokenizer);
    free(text);
    free(ids);
    free(out);
    return code;
}
