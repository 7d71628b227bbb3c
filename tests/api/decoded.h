/* decoded.h - the native dialect's decoder as tests use it: one body, one job. */
#pragma once

#include "api/native/native.h"

#include <string.h>

struct decoded {
    struct job *job; /* the caller's */
    bool stream, profile, has_seed;
    uint64_t deadline_ms, tokenize_ns;
};

static inline enum status decode_body(struct decoded *out, const char *body, size_t n, bool plain,
                                      const struct tokenizer *tokenizer,
                                      const struct api_limits *limits, struct error *err)
{
    struct generation g = {.choices = NULL};
    const struct generation_source source = {
        .body = body, .n_body = n, .plain = plain, .tokenizer = tokenizer, .limits = limits};
    enum status status = native_dialect.decode(&g, &source, err);
    if (status == STATUS_OK)
        *out = (struct decoded){.job = g.choices[0].job,
                                .stream = g.stream,
                                .profile = g.profile,
                                .has_seed = g.has_seed,
                                .deadline_ms = g.deadline_ms,
                                .tokenize_ns = g.tokenize_ns};
    generation_free(&g, false);
    return status;
}
