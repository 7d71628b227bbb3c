/* decode_test.h - what the tests of bodies share: a small vocabulary, and what a body is decoded
 * to. */
#pragma once

#pragma GCC diagnostic ignored "-Wunused-function" /* each file uses some */
#pragma GCC diagnostic ignored "-Wunused-variable"

#include "api/decoded.h"

#include "api/json/values.h"
#include "mini_vocab.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static struct tokenizer *tokenizer; /* puts BOS in front */
static const struct api_limits limits = {
    .n_context = 512, .max_json_depth = 64, .max_json_nodes = 10000, .max_choices = 64};

static void setup(void)
{
    tokenizer = mini_tokenizer(true);
}

static void teardown(void)
{
    tokenizer_destroy(tokenizer);
}

static enum status decode(const char *body, struct decoded *out, struct error *err)
{
    memset(err, 0, sizeof *err);
    return decode_body(out, body, strlen(body), false, tokenizer, &limits, err);
}

static struct decoded accepted(const char *body)
{
    struct decoded request;
    struct error err;
    ck_assert_msg(decode(body, &request, &err) == STATUS_OK, "%s: %s", body, err.text);
    return request;
}

/* Refused with this status and param, and every word of `words` (separated by '|') in the text. */
static void refused(const char *body, enum status status, const char *param, const char *words)
{
    struct decoded request = {.job = NULL};
    struct error err;
    enum status found = decode(body, &request, &err);
    ck_assert_msg(found == status, "%s: status %d, not %d: %s", body, found, status, err.text);
    ck_assert_ptr_null(request.job);
    ck_assert_msg(strcmp(err.param, param) == 0, "%s: param '%s': %s", body, err.param, err.text);
    for (const char *word = words; *word != '\0';) {
        size_t n = strcspn(word, "|");
        char one[128];
        snprintf(one, sizeof one, "%.*s", (int)n, word);
        ck_assert_msg(strstr(err.text, one) != NULL, "%s: no '%s' in: %s", body, one, err.text);
        word += n + (word[n] == '|');
    }
}
