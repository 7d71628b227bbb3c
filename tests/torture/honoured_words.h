/* honoured_words.h - what the comparisons of models with their files are written in: assertions,
 * and values of keys as the second reading has them. Test code.
 */
#pragma once

#include "core/gguf_fields.h"
#include "model/model.h"
#include "text/tokenizer/tokenizer.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Check's own assertions report every success, millions here. */
#define MUST(condition, ...)                                                                       \
    do {                                                                                           \
        if (!(condition))                                                                          \
            ck_abort_msg(#condition ": " __VA_ARGS__);                                             \
    } while (0)

#define HOLDS(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            ck_abort_msg("%s", #condition " is false");                                            \
    } while (0)

static inline bool text_is(const char *bytes, size_t n, const char *text)
{
    return n == strlen(text) && memcmp(bytes, text, n) == 0;
}

static inline struct gguf_string honoured_string(const struct gguf_fields *f, size_t at)
{
    return (struct gguf_string){(const char *)f->bytes + at + 8,
                                (size_t)fields_int(f->bytes + at, 8)};
}

static inline double honoured_number(const struct gguf_fields *f, const struct fields_value *v)
{
    size_t n = fields_width(v->type);
    uint64_t bits = fields_int(f->bytes + v->at, n);
    if (v->type == GGUF_F32) {
        float value;
        memcpy(&value, f->bytes + v->at, 4);
        return (double)value;
    }
    if (v->type == GGUF_F64) {
        double value;
        memcpy(&value, f->bytes + v->at, 8);
        return value;
    }
    bool is_signed =
        v->type == GGUF_I8 || v->type == GGUF_I16 || v->type == GGUF_I32 || v->type == GGUF_I64;
    if (is_signed && n < 8 && bits >> (8 * n - 1) != 0)
        return (double)bits - ldexp(1, 8 * (int)n);
    return is_signed ? (double)(int64_t)bits : (double)bits;
}
