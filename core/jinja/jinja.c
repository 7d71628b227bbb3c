/* jinja.c - the room's face: parses templates and runs renderings, each in its heap. */
#include "jinja/jinja.h"

#include "jinja/heap.h"
#include "jinja/statements.h"

#include <stdlib.h>

struct jinja_template {
    struct jinja_heap *heap; /* owned: the tree lies in it */
    const struct jinja_node *body;
    struct jinja_names names;
};

struct parsing {
    struct jinja_template *template;
    const char *text;
    size_t n;
};

static void parse(struct jinja_heap *heap, void *context)
{
    struct parsing *what = context;
    what->template->body = parser_read(heap, what->text, what->n, &what->template->names);
}

enum status jinja_parse(struct jinja_template **out, const char *name, const char *text, size_t n,
                        const struct jinja_limits *limits, struct error *err)
{
    struct jinja_template *template = calloc(1, sizeof *template);
    if (template == NULL)
        return error_no_memory(err, sizeof *template, name);
    enum status status = jinja_heap_create(&template->heap, name, limits, err);
    if (status == STATUS_OK)
        status = jinja_heap_run(template->heap, parse, &(struct parsing){template, text, n}, err);
    if (status != STATUS_OK)
        jinja_destroy(template);
    else
        *out = template;
    return status;
}

void jinja_destroy(struct jinja_template *template)
{
    if (template == NULL)
        return;
    jinja_heap_destroy(template->heap);
    free(template);
}

enum status jinja_begin(struct jinja_heap **out, const char *name,
                        const struct jinja_limits *limits, struct error *err)
{
    return jinja_heap_create(out, name, limits, err);
}

void jinja_end(struct jinja_heap *heap)
{
    jinja_heap_destroy(heap);
}

enum status jinja_build(struct jinja_heap *heap, void (*build)(struct jinja_heap *, void *),
                        void *context, struct error *err)
{
    return jinja_heap_run(heap, build, context, err);
}

struct rendering {
    const struct jinja_template *template;
    const struct jinja_dict *variables;
    int64_t now;
    const struct jinja_text *text;
};

static void render(struct jinja_heap *heap, void *context)
{
    struct rendering *what = context;
    const struct jinja_names *names = &what->template->names;
    const struct jinja_text loop = {.bytes = "loop", .n = 4}, caller = {.bytes = "caller", .n = 6},
                            varargs = {.bytes = "varargs", .n = 7},
                            kwargs = {.bytes = "kwargs", .n = 6};
    struct jinja_scope top = {0};
    struct jinja_builder out = {.heap = heap, .limit = jinja_output_limit(heap)};
    struct jinja_run run = {.heap = heap,
                            .names = names,
                            .variables = what->variables,
                            .scope = &top,
                            .out = &out,
                            .now = what->now,
                            .render = statements_render,
                            .special = {.loop = parser_name(names, &loop),
                                        .caller = parser_name(names, &caller),
                                        .varargs = parser_name(names, &varargs),
                                        .kwargs = parser_name(names, &kwargs)}};
    statements_render(&run, what->template->body);
    what->text = jinja_finish(&out);
}

enum status jinja_render(const struct jinja_template *template, struct jinja_heap *heap,
                         const struct jinja_dict *variables, int64_t now,
                         const struct jinja_text **out, struct error *err)
{
    struct rendering what = {.template = template, .variables = variables, .now = now};
    heap->line = 0;
    enum status status = jinja_heap_run(heap, render, &what, err);
    if (status == STATUS_OK)
        *out = what.text;
    return status;
}
