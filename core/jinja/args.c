/* args.c - gives a built-in function its arguments, by position and by name. */
#include "jinja/args.h"

#include "jinja/text.h"

#include <string.h>

/* The index of a name in a list with blanks between, or -1. */
static int index_of(const char *params, const struct jinja_text *name)
{
    for (int i = 0; *params != '\0'; i++) {
        size_t n = strcspn(params, " ");
        if (n == name->n && memcmp(params, name->bytes, n) == 0)
            return i;
        params += n + (params[n] == ' ');
    }
    return -1;
}

static unsigned count_params(const char *params)
{
    unsigned n = *params != '\0';
    for (; *params != '\0'; params++)
        n += *params == ' ';
    return n;
}

struct jinja_value args_call(struct jinja_heap *heap, const struct jinja_function *function,
                             struct jinja_value self, const struct jinja_args *args)
{
    struct jinja_value a[JINJA_PARAMS_MAX] = {{.kind = JINJA_ABSENT}};
    jinja_enter(heap);
    if (function->params != NULL) {
        unsigned n = count_params(function->params);
        if (args->n > n)
            jinja_fail(heap, "%s() takes at most %u arguments (%zu given)", function->name, n,
                       args->n);
        for (size_t i = 0; i < args->n; i++)
            a[i] = args->at[i];
        for (size_t i = 0; i < args->n_named; i++) {
            const struct jinja_text *name = args->named[i].key.text;
            int at = index_of(function->params, name);
            if (at < 0)
                jinja_fail(heap, "%s() got an unexpected keyword argument '%.*s'", function->name,
                           (int)(name->n < 100 ? name->n : 100), name->bytes);
            if (a[at].kind != JINJA_ABSENT)
                jinja_fail(heap, "%s() got multiple values for argument '%.*s'", function->name,
                           (int)(name->n < 100 ? name->n : 100), name->bytes);
            a[at] = args->named[i].value;
        }
        for (unsigned i = 0; i < function->required; i++)
            if (a[i].kind == JINJA_ABSENT)
                jinja_fail(heap, "%s() takes at least %u arguments", function->name,
                           function->required);
    }
    struct jinja_value result = function->run(heap, self, a, args);
    jinja_leave(heap);
    return result;
}

const struct jinja_function *args_find(const struct jinja_function *table, size_t n,
                                       const char *name, size_t n_name)
{
    for (size_t i = 0; i < n; i++)
        if (strlen(table[i].name) == n_name && memcmp(table[i].name, name, n_name) == 0)
            return &table[i];
    return NULL;
}

const struct jinja_text *args_text(struct jinja_heap *heap, struct jinja_value v)
{
    if (v.kind == JINJA_UNDEFINED)
        jinja_fail_undefined(heap, v);
    if (v.kind != JINJA_STRING)
        jinja_fail(heap, "a string is needed, not '%s'", jinja_type_name(v));
    return v.text;
}

int64_t args_int(struct jinja_heap *heap, struct jinja_value v, int64_t fallback)
{
    return v.kind == JINJA_ABSENT || v.kind == JINJA_NONE ? fallback : jinja_need_int(heap, v);
}

bool args_bool(struct jinja_value v, bool fallback)
{
    return v.kind == JINJA_ABSENT ? fallback : jinja_truth(v);
}
