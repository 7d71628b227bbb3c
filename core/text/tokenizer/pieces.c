/* pieces.c - the bytes each token stands for, worked out once, end to end in one block.
 *
 * Byte-level vocabularies are written in an alphabet that gives each of the 256 bytes a printable
 * character (GPT-2's); SentencePiece writes U+2581 for the space and <0xNN> for a byte. Creation
 * only. Knows nothing of encoding.
 */
#include "base/utf8.h"
#include "text/tokenizer/internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Printable Latin-1 stands for itself; the others get the characters from U+0100 on, in order. */
static bool is_own_letter(uint32_t byte)
{
    return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

enum { FIRST_BORROWED = 0x100, N_BORROWED = 256 - 94 - 12 - 82 };

static uint32_t letter_of_byte(uint32_t byte)
{
    if (is_own_letter(byte))
        return byte;
    if (byte < 0x21)
        return FIRST_BORROWED + byte;
    if (byte <= 0xa0)
        return FIRST_BORROWED + 0x21 + (byte - 0x7f);
    return FIRST_BORROWED + 0x21 + (0xa1 - 0x7f); /* 0xad */
}

/* -1 for a character that is not of the alphabet. */
static int byte_of_letter(uint32_t cp)
{
    if (cp < 256)
        return is_own_letter(cp) ? (int)cp : -1;
    if (cp >= FIRST_BORROWED + N_BORROWED)
        return -1;
    uint32_t nth = cp - FIRST_BORROWED;
    if (nth < 0x21)
        return (int)nth;
    nth -= 0x21;
    return nth <= 0xa0 - 0x7f ? (int)(0x7f + nth) : 0xad;
}

size_t tokenizer_byte_text(uint8_t byte, char out[2])
{
    char text[4];
    size_t n = utf8_encode(letter_of_byte(byte), text); /* below U+0800 */
    memcpy(out, text, n);
    return n;
}

static size_t decode_letters(struct gguf_string entry, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < entry.n;) {
        uint32_t cp;
        size_t length = utf8_decode(entry.bytes + i, entry.n - i, &cp);
        int byte = length ? byte_of_letter(cp) : -1;
        if (byte >= 0) {
            out[n++] = (char)(uint8_t)byte;
        } else { /* not of the alphabet: stands for itself */
            length = length ? length : 1;
            memcpy(out + n, entry.bytes + i, length);
            n += length;
        }
        i += length;
    }
    return n;
}

static size_t unescape_spaces(struct gguf_string entry, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < entry.n;) {
        if (entry.n - i >= 3 && memcmp(entry.bytes + i, "\xe2\x96\x81", 3) == 0) {
            out[n++] = ' ';
            i += 3;
        } else {
            out[n++] = entry.bytes[i++];
        }
    }
    return n;
}

static size_t piece(const struct tokenizer *t, size_t id, char *out)
{
    struct gguf_string entry = strings_at(&t->entries, id);
    switch ((enum token_type)t->types[id]) {
    case TOKEN_CONTROL:
    case TOKEN_UNKNOWN:
        memcpy(out, entry.bytes, entry.n);
        return entry.n;
    case TOKEN_BYTE:
        if (tokenizer_names_bytes(t)) { /* the form was checked: <0xNN> */
            char digits[3] = {entry.bytes[3], entry.bytes[4], '\0'};
            *out = (char)(uint8_t)strtoul(digits, NULL, 16);
            return 1;
        }
        return decode_letters(entry, out);
    case TOKEN_USER_DEFINED:
        if (t->kind != TOKENIZER_BYTES)
            return unescape_spaces(entry, out);
        memcpy(out, entry.bytes, entry.n);
        return entry.n;
    case TOKEN_UNDEFINED:
    case TOKEN_NORMAL:
    case TOKEN_UNUSED:
    case TOKEN_TYPES:
        break;
    }
    return t->kind == TOKENIZER_BYTES ? decode_letters(entry, out) : unescape_spaces(entry, out);
}

enum status tokenizer_make_pieces(struct tokenizer *t, struct error *err)
{
    size_t capacity = t->entries.offsets[t->n_vocab]; /* a piece is never longer than its entry */
    t->pieces.bytes = malloc(capacity ? capacity : 1);
    t->pieces.offsets = malloc((t->n_vocab + 1) * sizeof *t->pieces.offsets);
    if (!t->pieces.bytes || !t->pieces.offsets)
        return error_no_memory(err, capacity + (t->n_vocab + 1) * sizeof *t->pieces.offsets,
                               "the vocabulary's pieces");
    uint32_t at = 0;
    t->max_piece = 1;
    for (size_t id = 0; id < t->n_vocab; id++) {
        t->pieces.offsets[id] = at;
        size_t n = piece(t, id, t->pieces.bytes + at);
        at += (uint32_t)n;
        if (n > t->max_piece)
            t->max_piece = n;
    }
    assert(at <= capacity);
    t->pieces.offsets[t->n_vocab] = at;
    return STATUS_OK;
}
