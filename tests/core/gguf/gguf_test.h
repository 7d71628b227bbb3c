/* gguf_test.h - what the reader's tests share: a right file, made anew for each test, and the two
 * things to say of it. */
#pragma once

#include "core/gguf_builder.h"
#include "gguf/gguf.h"

static struct gguf_builder *b; /* each test's own file, made anew by setup */

static inline void setup(void)
{
    static const char *const words[] = {"one", "", "three"};
    static const float floats[] = {0.5f, -1.0f, 3.25f};
    static const int32_t ints[] = {-1, 2, 3};
    static const float data[64] = {1, 2, 3};
    b = gguf_builder_new();
    builder_string(b, "general.architecture", "llama");
    builder_u32(b, "a.number", 42);
    builder_f32(b, "a.real", 0.25f);
    builder_bool(b, "a.bool", 1);
    builder_strings(b, "some.words", words, 3);
    builder_f32s(b, "some.floats", floats, 3);
    builder_i32s(b, "some.ints", ints, 3);
    builder_tensor(b, "second", 0, 8, 2, data, 64);
    builder_tensor(b, "first", 0, 5, 0, data, 20);
    builder_tensor(b, "third", 1, 32, 0, data, 64);
}

static inline void teardown(void)
{
    gguf_builder_free(b);
}

/* Opens what the builder makes; the bytes are kept until the next call. */
static uint8_t *held;
static inline enum status open_built(struct gguf **out, struct error *err)
{
    size_t size;
    free(held);
    held = gguf_build(b, &size);
    *err = (struct error){0};
    *out = NULL;
    return gguf_open(out, held, size, err);
}

/* The file is refused with this status, and the message has both parts. */
static inline void refused(enum status status, const char *part, const char *other)
{
    struct gguf *gguf;
    struct error err;
    ck_assert_int_eq(open_built(&gguf, &err), status);
    ck_assert_ptr_null(gguf);
    ck_assert_int_eq(err.status, status);
    ck_assert_msg(strstr(err.text, part) != NULL && strstr(err.text, other) != NULL, "%s",
                  err.text);
    free(held);
    held = NULL;
}

static inline struct gguf *accepted(void)
{
    struct gguf *gguf;
    struct error err;
    ck_assert_msg(open_built(&gguf, &err) == STATUS_OK, "%s", err.text);
    return gguf;
}

static inline void let_go(struct gguf *gguf)
{
    gguf_close(gguf);
    free(held);
    held = NULL;
}
