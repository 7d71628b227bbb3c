/* attributes.c - attributes, methods of dicts and lists, items and slices. In the heap's thread.
 *
 * As in jinja2's immutable sandbox: what begins with an underscore, and what would change a value,
 * is undefined and says why when it is used. */
#include "jinja/attributes.h"

#include "jinja/iterate.h"
#include "jinja/library/strings.h"
#include "jinja/loop.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define METHOD(name)                                                                               \
    static struct jinja_value name(struct jinja_heap *heap, struct jinja_value self,               \
                                   const struct jinja_value *a, const struct jinja_args *args)

static struct jinja_value view_of(struct jinja_heap *heap, struct jinja_value self,
                                  enum jinja_view_of of)
{
    struct jinja_view *view = jinja_alloc(heap, 1, sizeof *view);
    view->dict = self.dict;
    view->of = of;
    return (struct jinja_value){.kind = JINJA_VIEW, .view = view};
}

METHOD(dict_items)
{
    (void)a, (void)args;
    return view_of(heap, self, JINJA_ITEMS);
}

METHOD(dict_keys)
{
    (void)a, (void)args;
    return view_of(heap, self, JINJA_KEYS);
}

METHOD(dict_values)
{
    (void)a, (void)args;
    return view_of(heap, self, JINJA_VALUES);
}

METHOD(dict_get)
{
    (void)args;
    const struct jinja_value *found = jinja_dict_get(heap, self.dict, a[0]);
    return found != NULL ? *found : a[1].kind == JINJA_ABSENT ? jinja_none() : a[1];
}

METHOD(copy)
{
    (void)heap, (void)a, (void)args;
    return self; /* values never change */
}

METHOD(list_index)
{
    (void)args;
    for (size_t i = 0; i < self.list->n; i++)
        if (jinja_equal(heap, self.list->items[i], a[0]))
            return jinja_int((int64_t)i);
    jinja_fail(heap, "the value is not in the list");
}

METHOD(list_count)
{
    (void)args;
    int64_t n = 0;
    for (size_t i = 0; i < self.list->n; i++)
        n += jinja_equal(heap, self.list->items[i], a[0]);
    return jinja_int(n);
}

METHOD(is_integer)
{
    (void)heap, (void)a, (void)args;
    return jinja_bool(self.number - self.number == 0 && self.number == floor(self.number));
}

METHOD(cycler_next)
{
    (void)heap, (void)a, (void)args;
    struct jinja_cycler *cycler = self.cycler;
    struct jinja_value v = cycler->items.items[cycler->at];
    cycler->at = (cycler->at + 1) % cycler->items.n;
    return v;
}

METHOD(cycler_reset)
{
    (void)heap, (void)a, (void)args;
    self.cycler->at = 0;
    return jinja_none();
}

static const struct jinja_function dict_methods[] = {
    {"items", dict_items, "", 0, "dict"},   {"keys", dict_keys, "", 0, "dict"},
    {"values", dict_values, "", 0, "dict"}, {"get", dict_get, "key default", 1, "dict"},
    {"copy", copy, "", 0, "dict"},
};
static const struct jinja_function list_methods[] = {
    {"index", list_index, "value", 1, "list"},
    {"count", list_count, "value", 1, "list"},
    {"copy", copy, "", 0, "list"},
};
static const struct jinja_function float_methods[] = {
    {"is_integer", is_integer, "", 0, "float"},
};
static const struct jinja_function cycler_methods[] = {
    {"next", cycler_next, "", 0, "Cycler"},
    {"reset", cycler_reset, "", 0, "Cycler"},
};

/* Methods of Python that a template must not call, or that this does not have. */
static const char dict_changes[] = " clear pop popitem setdefault update ";
static const char list_changes[] = " append clear pop reverse insert sort extend remove ";
static const char lacking[] = " encode maketrans translate fromkeys bit_length to_bytes from_bytes "
                              "as_integer_ratio conjugate hex fromhex bit_count ";

static bool listed(const char *words, const struct jinja_text *name)
{
    char word[24];
    if (name->n > sizeof word - 3)
        return false;
    snprintf(word, sizeof word, " %.*s ", (int)name->n, name->bytes);
    return strstr(words, word) != NULL;
}

bool jinja_lacks_method(const struct jinja_text *name)
{
    return listed(lacking, name);
}

static const struct jinja_function *method_of(struct jinja_value v, const struct jinja_text *name)
{
#define FIND(table) args_find((table), sizeof(table) / sizeof((table)[0]), name->bytes, name->n)
    switch ((int)v.kind) {
    case JINJA_STRING:
        return args_find(strings_methods, strings_n_methods, name->bytes, name->n);
    case JINJA_DICT:
        return FIND(dict_methods);
    case JINJA_LIST:
        return FIND(list_methods);
    case JINJA_TUPLE:
        return jinja_is(name, "copy") ? NULL : FIND(list_methods);
    case JINJA_FLOAT:
        return FIND(float_methods);
    case JINJA_CYCLER:
        return FIND(cycler_methods);
    case JINJA_LOOP:
        return args_find(jinja_loop_methods, jinja_loop_n_methods, name->bytes, name->n);
    default:
        return NULL;
    }
}

static bool is_unsafe(struct jinja_value v, const struct jinja_text *name)
{
    if (name->n > 4 && memcmp(name->bytes, "__", 2) == 0 &&
        memcmp(name->bytes + name->n - 2, "__", 2) == 0)
        return v.kind != JINJA_DICT || listed(" __class__ __init__ __doc__ __dict__ ", name);
    return (v.kind == JINJA_DICT && listed(dict_changes, name)) ||
           (v.kind == JINJA_LIST && listed(list_changes, name));
}

static struct jinja_value unsafe(struct jinja_heap *heap, struct jinja_value v,
                                 const struct jinja_text *name)
{
    char note[128];
    int n = snprintf(note, sizeof note, "access to attribute '%.*s' of '%s' object is unsafe",
                     (int)(name->n < 32 ? name->n : 32), name->bytes, jinja_type_name(v));
    char *copy = jinja_alloc(heap, (size_t)n + 1, 1);
    memcpy(copy, note, (size_t)n);
    return jinja_undefined(NULL, copy);
}

/* As Python's getattr(). */
static bool own_attribute(struct jinja_heap *heap, struct jinja_value v,
                          const struct jinja_text *name, struct jinja_value *out)
{
    const struct jinja_function *function = method_of(v, name);
    const struct jinja_value *found;
    if (function != NULL) {
        struct jinja_method *method = jinja_alloc(heap, 1, sizeof *method);
        *method = (struct jinja_method){function, v};
        *out = (struct jinja_value){.kind = JINJA_METHOD, .method = method};
        return true;
    }
    if (is_unsafe(v, name)) {
        *out = unsafe(heap, v, name);
        return true;
    }
    if (v.kind == JINJA_NAMESPACE) {
        found = jinja_dict_get(heap, v.names, jinja_string(name));
        if (found != NULL)
            *out = *found;
        return found != NULL;
    }
    if (v.kind == JINJA_LOOP)
        return jinja_loop_attribute(heap, v.loop, name, out);
    if (v.kind == JINJA_TUPLE && v.list->group &&
        (jinja_is(name, "grouper") || jinja_is(name, "list"))) {
        *out = v.list->items[jinja_is(name, "list")];
        return true;
    }
    if (v.kind == JINJA_CYCLER && jinja_is(name, "current")) {
        *out = v.cycler->items.items[v.cycler->at];
        return true;
    }
    if (v.kind == JINJA_MACRO)
        return jinja_loop_macro_attribute(heap, v.macro, name, out);
    if (v.kind == JINJA_BIGINT && (jinja_is(name, "real") || jinja_is(name, "numerator"))) {
        *out = v;
        return true;
    }
    if ((v.kind == JINJA_INT || v.kind == JINJA_BOOL) &&
        (jinja_is(name, "real") || jinja_is(name, "numerator"))) {
        int64_t value = 0;
        jinja_as_int(v, &value);
        *out = jinja_int(value);
        return true;
    }
    return false;
}

/* The bounds of a slice of n items, as Python has them. */
static void slice_bounds(struct jinja_heap *heap, const struct jinja_slice *slice, int64_t n,
                         int64_t *start, int64_t *stop, int64_t *step)
{
    const struct jinja_value *parts[] = {&slice->start, &slice->stop, &slice->step};
    int64_t *out[] = {start, stop, step};
    bool given[3];
    for (int i = 0; i < 3; i++) {
        given[i] = parts[i]->kind != JINJA_NONE;
        if (given[i] && !jinja_as_int(*parts[i], out[i]))
            jinja_fail(heap, "slice indices must be integers or None");
    }
    if (!given[2])
        *step = 1;
    if (*step == 0)
        jinja_fail(heap, "slice step cannot be zero");
    if (*step > n + 1 || *step < -(n + 1)) /* one item at most, as with the longest useful step */
        *step = *step > 0 ? n + 1 : -(n + 1);
    int64_t low = *step > 0 ? 0 : -1, high = *step > 0 ? n : n - 1;
    for (int i = 0; i < 2; i++) {
        if (!given[i])
            *out[i] = (i == 0) == (*step > 0) ? low : high;
        else if (*out[i] < 0)
            *out[i] = *out[i] + n < low ? low : *out[i] + n;
        else if (*out[i] > high)
            *out[i] = high;
    }
}

static size_t slice_length(int64_t start, int64_t stop, int64_t step)
{
    if (step > 0)
        return start < stop ? ((uint64_t)(stop - start) - 1) / (uint64_t)step + 1 : 0;
    return start > stop ? ((uint64_t)(start - stop) - 1) / (0 - (uint64_t)step) + 1 : 0;
}

static struct jinja_value slice_text(struct jinja_heap *heap, const struct jinja_text *text,
                                     int64_t start, int64_t step, size_t n)
{
    if (step == 1) {
        size_t begin = jinja_char_offset(text, (size_t)start);
        return jinja_string(
            jinja_part(heap, text, begin, jinja_char_offset(text, (size_t)start + n)));
    }
    struct jinja_builder b = {.heap = heap};
    size_t at = n == 0 ? 0 : jinja_char_offset(text, (size_t)start);
    for (size_t i = 0; i < n; i++) {
        jinja_add_part(&b, text, at, at + jinja_char_size(text, at));
        jinja_steps(heap, 1);
        for (int64_t k = 0; i + 1 < n && k < (step > 0 ? step : -step); k++)
            at = step > 0 ? at + jinja_char_size(text, at) : jinja_char_before(text, at);
    }
    return jinja_string(jinja_marked(heap, jinja_finish(&b), text->markup));
}

/* v[a:b:c], which Python does itself: what has no slices fails. */
static struct jinja_value slice_item(struct jinja_heap *heap, struct jinja_value v,
                                     const struct jinja_slice *slice)
{
    size_t length;
    int64_t start = 0, stop = 0, step = 1;
    struct jinja_value out;
    if ((v.kind != JINJA_STRING && v.kind != JINJA_LIST && v.kind != JINJA_TUPLE &&
         v.kind != JINJA_RANGE) ||
        !jinja_length(v, &length))
        jinja_fail(heap, "'%s' object has no slices", jinja_type_name(v));
    slice_bounds(heap, slice, (int64_t)length, &start, &stop, &step);
    size_t n = slice_length(start, stop, step);
    if (v.kind == JINJA_STRING) {
        out = slice_text(heap, v.text, start, step, n);
    } else if (v.kind == JINJA_RANGE) {
        struct jinja_range *range = jinja_alloc(heap, 1, sizeof *range);
        *range = (struct jinja_range){v.range->start + start * v.range->step, v.range->step * step,
                                      n, v.range->start + stop * v.range->step};
        out = (struct jinja_value){.kind = JINJA_RANGE, .range = range};
    } else if (step == 1) {
        const struct jinja_value *items = n == 0 ? NULL : v.list->items + start;
        out = (v.kind == JINJA_LIST ? jinja_list : jinja_tuple)(heap, items, n);
    } else {
        struct jinja_value *items = jinja_alloc(heap, n, sizeof *items);
        for (size_t i = 0; i < n; i++)
            items[i] = v.list->items[start + (int64_t)i * step];
        jinja_steps(heap, n / 8 + 1);
        out = (v.kind == JINJA_LIST ? jinja_list : jinja_tuple)(heap, items, n);
    }
    return out;
}

static bool is_hashable(struct jinja_value v)
{
    if (v.kind == JINJA_TUPLE) /* looked into one level deep; deeper ones fail by name */
        for (size_t i = 0; i < v.list->n; i++)
            if (!is_hashable(v.list->items[i]))
                return false;
    return v.kind != JINJA_LIST && v.kind != JINJA_DICT && v.kind != JINJA_VIEW &&
           v.kind != JINJA_SLICE;
}

/* As Python's v[key]. */
static bool own_item(struct jinja_heap *heap, struct jinja_value v, struct jinja_value key,
                     struct jinja_value *out)
{
    size_t n;
    int64_t i;
    if (v.kind == JINJA_DICT) {
        const struct jinja_value *found =
            is_hashable(key) ? jinja_dict_get(heap, v.dict, key) : NULL;
        if (found != NULL)
            *out = *found;
        return found != NULL;
    }
    if ((v.kind != JINJA_STRING && v.kind != JINJA_LIST && v.kind != JINJA_TUPLE &&
         v.kind != JINJA_RANGE) ||
        !jinja_as_int(key, &i) || !jinja_length(v, &n))
        return false;
    i = i < 0 ? i + (int64_t)n : i;
    if (i < 0 || i >= (int64_t)n)
        return false;
    if (v.kind == JINJA_STRING) {
        size_t at = jinja_char_offset(v.text, (size_t)i);
        jinja_steps(heap, v.text->n == v.text->n_chars ? 1 : at / 64 + 1);
        *out = jinja_string(jinja_part(heap, v.text, at, at + jinja_char_size(v.text, at)));
    } else if (v.kind == JINJA_RANGE) {
        *out = jinja_range_item(v.range, (size_t)i);
    } else {
        *out = v.list->items[i];
    }
    return true;
}

static struct jinja_value nothing(struct jinja_heap *heap, struct jinja_value v,
                                  struct jinja_value key)
{
    char name[32];
    const struct jinja_text *text = key.kind == JINJA_STRING ? key.text : NULL;
    if (text == NULL) {
        int n = key.kind == JINJA_INT ? snprintf(name, sizeof name, "%" PRId64, key.integer)
                                      : snprintf(name, sizeof name, "(a %s)", jinja_type_name(key));
        text = jinja_text_new(heap, name, (size_t)n, false);
    }
    return jinja_undefined(text, v.kind == JINJA_NONE ? "None" : jinja_type_name(v));
}

struct jinja_value jinja_attribute(struct jinja_heap *heap, struct jinja_value v,
                                   const struct jinja_text *name)
{
    struct jinja_value out;
    if (v.kind == JINJA_UNDEFINED)
        jinja_fail_undefined(heap, v);
    if (own_attribute(heap, v, name, &out) || own_item(heap, v, jinja_string(name), &out))
        return out;
    return nothing(heap, v, jinja_string(name));
}

struct jinja_value jinja_item(struct jinja_heap *heap, struct jinja_value v, struct jinja_value key)
{
    struct jinja_value out;
    if (v.kind == JINJA_UNDEFINED)
        jinja_fail_undefined(heap, v);
    if (key.kind == JINJA_SLICE)
        return slice_item(heap, v, key.slice);
    if (own_item(heap, v, key, &out) ||
        (key.kind == JINJA_STRING && own_attribute(heap, v, key.text, &out)))
        return out;
    return nothing(heap, v, key);
}
