/* jinja_render.c - renders a file's cases with a template: what the tests compare with Python's
 * jinja2.
 *
 * jinja_render TEMPLATE CASES: a case is a line of JSON {"messages", "tools", "documents",
 * "add_generation_prompt", "kwargs"}; for each a line comes out: {"text": ...} or {"error": ...}. A
 * template that cannot be used answers one line {"fault": ...}. jinja_render -l CASES: a case is
 * {"template", "variables"}, as plain Jinja renders it. */
#include "api/chat/chat.h"
#include "api/chat/values.h"
#include "jinja/jinja.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct jinja_limits limits = {
    .memory_bytes = 256 << 20, .output_bytes = 16 << 20, .max_steps = 20000000, .max_depth = 1000};

static char *read_file(const char *path, size_t *n)
{
    FILE *file = fopen(path, "rb");
    char *bytes = NULL;
    *n = 0;
    if (file == NULL)
        exit(2);
    for (size_t room = 1 << 16;; room *= 2) {
        bytes = realloc(bytes, room);
        if (bytes == NULL)
            exit(2);
        *n += fread(bytes + *n, 1, room - *n, file);
        if (*n < room)
            break;
    }
    fclose(file);
    return bytes;
}

static void put(const char *name, const char *text, size_t n)
{
    size_t room = json_string_bound(n) + 64;
    struct json_writer w = {.out = malloc(room), .room = room};
    if (w.out == NULL)
        exit(2);
    json_name(&w, "{", name);
    json_string(&w, text, n);
    json_raw(&w, "}\n");
    fwrite(w.out, 1, w.n, stdout);
    free(w.out);
}

static struct json_span member(const char *line, size_t n, const char *wanted)
{
    struct json_span name, value, found = {NULL, 0};
    for (size_t at = 0; json_next_member(line, n, &at, &name, &value);)
        if (name.n == strlen(wanted) && memcmp(name.at, wanted, name.n) == 0 &&
            !(value.n == 4 && memcmp(value.at, "null", 4) == 0))
            found = value;
    return found;
}

static void render_chat(const struct chat_template *template, const char *line, size_t n)
{
    struct json_span add = member(line, n, "add_generation_prompt");
    struct json_span final = member(line, n, "continue_final_message");
    struct chat_request request = {.messages = member(line, n, "messages"),
                                   .tools = member(line, n, "tools"),
                                   .documents = member(line, n, "documents"),
                                   .kwargs = member(line, n, "kwargs"),
                                   .add_generation_prompt = add.n == 4,
                                   .continue_final_message = final.n == 4};
    struct chat_prompt prompt = {.text = NULL};
    struct error err;
    if (chat_render(template, &request, &prompt, &err) == STATUS_OK)
        put("text", prompt.text, prompt.n_text);
    else
        put("error", err.text, strlen(err.text));
    chat_prompt_free(&prompt);
}

struct variables {
    struct json_span json;
    struct jinja_value made;
};

static void build(struct jinja_heap *heap, void *context)
{
    struct variables *what = context;
    what->made = chat_value(heap, what->json);
}

struct source { /* a case's template, unescaped */
    struct json_span json;
    const struct jinja_text *text;
};

static void read_source(struct jinja_heap *heap, void *context)
{
    struct source *source = context;
    source->text = chat_value(heap, source->json).text;
}

static void render_line(const char *line, size_t n)
{
    struct jinja_heap *heap = NULL;
    struct jinja_template *template = NULL;
    struct source source = {.json = member(line, n, "template")};
    struct variables what = {.json = member(line, n, "variables")};
    const struct jinja_text *text = NULL;
    struct error err;
    enum status status = jinja_begin(&heap, "template", &limits, &err);
    if (status == STATUS_OK)
        status = jinja_build(heap, read_source, &source, &err);
    if (status == STATUS_OK)
        status =
            jinja_parse(&template, "template", source.text->bytes, source.text->n, &limits, &err);
    bool parsed = status == STATUS_OK;
    if (status == STATUS_OK)
        status = jinja_build(heap, build, &what, &err);
    if (status == STATUS_OK)
        status = jinja_render(template, heap, what.made.dict, time(NULL), &text, &err);
    if (status == STATUS_OK)
        put("text", text->bytes, text->n);
    else
        put(parsed ? "error" : "fault", err.text, strlen(err.text));
    jinja_destroy(template);
    jinja_end(heap);
}

static void render_chats(const char *path, const char *cases, size_t n_cases)
{
    size_t n_text;
    char *text = read_file(path, &n_text);
    struct chat_source source = {.text = {text, n_text}, .limits = limits};
    struct chat_template *chat = NULL;
    struct error err;
    if (chat_template_create(&chat, &source, &err) != STATUS_OK)
        exit(2);
    if (chat_template_fault(chat) != NULL)
        put("fault", chat_template_fault(chat), strlen(chat_template_fault(chat)));
    for (size_t at = 0; chat_template_fault(chat) == NULL && at < n_cases;) {
        const char *end = memchr(cases + at, '\n', n_cases - at);
        size_t n = end == NULL ? n_cases - at : (size_t)(end - cases) - at;
        if (n > 0)
            render_chat(chat, cases + at, n);
        at += n + 1;
    }
    chat_template_destroy(chat);
    free(text);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    size_t n_cases;
    char *cases = read_file(argv[2], &n_cases);
    bool lines = strcmp(argv[1], "-l") == 0;
    if (!lines)
        render_chats(argv[1], cases, n_cases);
    for (size_t at = 0; lines && at < n_cases;) {
        const char *end = memchr(cases + at, '\n', n_cases - at);
        size_t n = end == NULL ? n_cases - at : (size_t)(end - cases) - at;
        if (n > 0)
            render_line(cases + at, n);
        at += n + 1;
    }
    free(cases);
    return 0;
}
