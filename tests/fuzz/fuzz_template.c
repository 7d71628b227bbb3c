/* fuzz_template.c - any bytes as a chat template, and any JSON as what it renders.
 *
 * The text before the first NUL is the template, what follows are its variables: an object, or else
 * some of ours. What comes out is UTF-8 within the limits, its spans ascend and lie apart, and a
 * text without any of the request's has no span.
 */
#include "api/chat/values.h"
#include "base/utf8.h"
#include "fuzz/fuzz.h"
#include "jinja/jinja.h"

#include <string.h>

static const struct jinja_limits limits = {
    .memory_bytes = 8 << 20, .output_bytes = 1 << 20, .max_steps = 200000, .max_depth = 200};

struct input {
    struct json_span json;
    const struct jinja_dict *variables;
};

static void build(struct jinja_heap *heap, void *context)
{
    struct input *input = context;
    input->variables = chat_value(heap, input->json).dict;
}

static void render(const struct jinja_template *template, struct json_span json)
{
    struct jinja_heap *heap = NULL;
    const struct jinja_text *text = NULL;
    struct error err;
    FUZZ_CHECK(jinja_begin(&heap, "template", &limits, &err) == STATUS_OK, "memory");
    struct input input = {.json = json};
    enum status status = jinja_build(heap, build, &input, &err);
    if (status == STATUS_OK)
        status = jinja_render(template, heap, input.variables, 1700000000, &text, &err);
    if (status == STATUS_OK) {
        FUZZ_CHECK(utf8_check(text->bytes, text->n) == text->n, "not UTF-8");
        FUZZ_CHECK(text->n <= limits.output_bytes, "%zu bytes", text->n);
        for (size_t i = 0, end = 0; i < text->n_spans; i++) {
            FUZZ_CHECK(text->spans[i].begin < text->spans[i].end && text->spans[i].end <= text->n &&
                           (i == 0 || text->spans[i].begin > end),
                       "span %zu", i);
            end = text->spans[i].end;
        }
    }
    jinja_end(heap);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char ours[] =
        "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":"
        "\"h\\u00e9\\n\"},{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\","
        "\"arguments\":{\"a\":1.50,\"b\":[null,true]}}}]}],\"tools\":null,\"n\":7,\"s\":\"a b\","
        "\"l\":[3,1,2],\"d\":{\"x\":1}}";
    const char *text = (const char *)data, *end = size == 0 ? NULL : memchr(data, 0, size);
    size_t n = end == NULL ? size : (size_t)(end - text);
    struct json_span json = {ours, sizeof ours - 1};
    struct jinja_template *template = NULL;
    struct error err;
    if (end != NULL && n + 1 < size && end[1] == '{' &&
        json_check(end + 1, size - n - 1, 64, 10000, NULL) == STATUS_OK)
        json = (struct json_span){end + 1, size - n - 1};
    if (utf8_check(text, n) < n) /* files are checked before */
        n = utf8_check(text, n);
    if (jinja_parse(&template, "template", text, n, &limits, &err) == STATUS_OK)
        render(template, json);
    jinja_destroy(template);
    return 0;
}
