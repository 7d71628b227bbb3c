/* fuzz_body.c - any bytes as a request's body, for each route that has one, and as an Accept
 * header.
 *
 * Besides what the sanitizers see: what a decoder accepts is strict JSON, what it hands out keeps
 * the vocabulary and UTF-8, and a refusal is a sentence with a status that is the client's fault.
 */
#include "api/anthropic/anthropic.h"
#include "api/chat/chat.h"
#include "api/decoded.h"
#include "api/json/json.h"
#include "api/llama/llama.h"
#include "api/ollama/ollama.h"
#include "api/openai/openai.h"
#include "api/responses/responses.h"
#include "api/tgi/tgi.h"
#include "api/vectors/vectors.h"
#include "base/utf8.h"
#include "fuzz/fuzz.h"

#include <string.h>

static const struct api_limits limits = {
    .n_context = 512, .max_json_depth = 64, .max_json_nodes = 2000, .max_choices = 8};

static const struct tokenizer *builtin(void)
{
    static struct tokenizer *tokenizer;
    struct gguf *gguf;
    struct error err = {0};
    if (tokenizer != NULL)
        return tokenizer;
    enum status status = gguf_map(&gguf, TEST_SOURCE_DIR "/models/smallmind-tiny.gguf", &err);
    FUZZ_CHECK(status == STATUS_OK, "%s", err.text);
    status = tokenizer_create(&tokenizer, gguf, &err);
    FUZZ_CHECK(status == STATUS_OK, "%s", err.text);
    gguf_close(gguf);
    return tokenizer;
}

static void check_refusal(enum status status, const struct error *err)
{
    FUZZ_CHECK(err->status == status && err->text[0] != '\0', "status %d", status);
    FUZZ_CHECK(status == STATUS_FORMAT || status == STATUS_INVALID ||
                   status == STATUS_UNSUPPORTED || status == STATUS_TOO_LARGE ||
                   status == STATUS_CONTEXT || status == STATUS_UNABLE,
               "status %d: %s", status, err->text);
}

static void try_generate(const char *body, size_t n, bool plain, bool strict)
{
    const struct tokenizer *t = builtin();
    struct decoded request = {0};
    struct error err = {0};
    enum status status = decode_body(&request, body, n, plain, t, &limits, &err);
    if (status != STATUS_OK) {
        check_refusal(status, &err);
        return;
    }
    FUZZ_CHECK(strict || (plain && (n == 0 || body[0] != '{')), "no JSON, and accepted");
    const struct job *job = request.job;
    FUZZ_CHECK(job->n_prompt > 0 && job->n_prompt + job->max_tokens <= limits.n_context,
               "%zu and %zu tokens", (size_t)job->n_prompt, (size_t)job->max_tokens);
    job_destroy(request.job);
}

static const struct chat_template *chatml(void)
{
    static struct chat_template *template;
    struct error err = {0};
    const struct chat_source source = {
        .text = chat_builtin("chatml"),
        .tokenizer = builtin(),
        .limits = {.memory_bytes = 1 << 22,
                   .output_bytes = 1 << 18,
                   .max_steps = 100000,
                   .max_depth = 50},
    };
    if (template != NULL)
        return template;
    enum status status = chat_template_create(&template, &source, &err);
    FUZZ_CHECK(status == STATUS_OK && chat_template_fault(template) == NULL, "no chatml");
    return template;
}

/* Every dialect takes the body, or refuses it and leaves nothing. */
static void try_dialects(const char *body, size_t n, bool strict)
{
    static const struct dialect *const dialects[] = {
        &openai_completions, &openai_chat,        &openai_responses, &anthropic_messages,
        &anthropic_count,    &ollama_generate,    &ollama_chat,      &tgi_root,
        &tgi_stream,         &llama_completion,   &llama_chat,       &vectors_openai,
        &vectors_ollama,     &vectors_ollama_one, &vectors_tei,      &vectors_llama,
        &vectors_ranks};
    for (size_t i = 0; i < sizeof dialects / sizeof dialects[0]; i++) {
        struct generation g = {.dialect = dialects[i]};
        struct api_limits own = limits;
        own.pooling = dialects[i] == &vectors_ranks ? POOLING_RANK : POOLING_MEAN;
        own.n_vector = own.max_inputs = 16;
        struct error err = {0};
        const struct generation_source source = {
            .body = body, .n_body = n, .tokenizer = builtin(), .limits = &own, .chat = chatml()};
        enum status status = dialects[i]->decode(&g, &source, &err);
        if (status != STATUS_OK) {
            check_refusal(status, &err);
            FUZZ_CHECK(g.n_choices == 0 && g.wishes == NULL, "%s", dialects[i]->name);
            continue;
        }
        FUZZ_CHECK(strict, "no JSON, and accepted");
        FUZZ_CHECK(g.n_choices > 0 || dialects[i]->form(&g, NULL) == ANSWER_JSON, "no stream");
        for (size_t k = 0; k < g.n_choices; k++)
            FUZZ_CHECK(g.choices[k].job->n_prompt > 0, "an empty prompt");
        generation_free(&g, true);
    }
}

static void try_tokenize(const char *body, size_t n, bool strict)
{
    int32_t *ids = NULL;
    size_t n_ids = 0;
    struct error err = {0};
    bool pieces;
    enum status status = native_tokenize(body, n, builtin(), &limits, &ids, &n_ids, &pieces, &err);
    if (status != STATUS_OK) {
        check_refusal(status, &err);
        return;
    }
    FUZZ_CHECK(strict, "no JSON, and accepted");
    for (size_t i = 0; i < n_ids; i++)
        FUZZ_CHECK(ids[i] >= 0 && (size_t)ids[i] < tokenizer_n_vocab(builtin()), "id %d", ids[i]);
    free(ids);
}

static void try_detokenize(const char *body, size_t n, bool strict)
{
    char *text = NULL;
    size_t n_text = 0;
    struct error err = {0};
    enum status status = native_detokenize(body, n, builtin(), &limits, &text, &n_text, &err);
    if (status != STATUS_OK) {
        check_refusal(status, &err);
        return;
    }
    FUZZ_CHECK(strict, "no JSON, and accepted");
    FUZZ_CHECK(utf8_check(text, n_text) == n_text, "not UTF-8");
    free(text);
}

/* Any bytes written as a string are strict JSON. */
static void try_writer(const char *bytes, size_t n)
{
    size_t room = json_string_bound(n);
    char *out = malloc(room);
    struct error err = {0};
    struct json_writer w = {.out = out, .room = room};
    FUZZ_CHECK(out != NULL, "memory");
    json_string(&w, bytes, n);
    FUZZ_CHECK(!w.full && json_check(out, w.n, 1, 1, &err) == STATUS_OK, "%s", err.text);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *body = (const char *)data;
    struct error err = {0};
    enum status status = json_check(body, size, limits.max_json_depth, limits.max_json_nodes, &err);
    bool strict = status == STATUS_OK;
    if (!strict)
        check_refusal(status, &err);
    try_generate(body, size, false, strict);
    try_generate(body, size, true, strict);
    try_dialects(body, size, strict);
    try_tokenize(body, size, strict);
    try_detokenize(body, size, strict);
    try_writer(body, size);

    char *accept = malloc(size + 1);
    FUZZ_CHECK(accept != NULL, "memory");
    memcpy(accept, data, size);
    accept[size] = '\0';
    FUZZ_CHECK(accept_form(true, accept) == ANSWER_SSE, "the stream field wins");
    accept_form(false, accept);
    free(accept);
    return 0;
}
