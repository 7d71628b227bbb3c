/* value.c - Python's values: made, compared, ordered. Owned by the heap's thread. */
#include "jinja/value.h"

#include "jinja/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct jinja_value jinja_none(void)
{
    return (struct jinja_value){.kind = JINJA_NONE};
}

struct jinja_value jinja_bool(bool truth)
{
    return (struct jinja_value){.kind = JINJA_BOOL, .truth = truth};
}

struct jinja_value jinja_int(int64_t value)
{
    return (struct jinja_value){.kind = JINJA_INT, .integer = value};
}

struct jinja_value jinja_float(double value)
{
    return (struct jinja_value){.kind = JINJA_FLOAT, .number = value};
}

struct jinja_value jinja_undefined(const struct jinja_text *name, const char *note)
{
    return (struct jinja_value){.kind = JINJA_UNDEFINED, .text = name, .note = note};
}

struct jinja_value jinja_string(const struct jinja_text *text)
{
    return (struct jinja_value){.kind = JINJA_STRING, .text = text};
}

struct jinja_value jinja_chars(struct jinja_heap *heap, const char *literal)
{
    return jinja_string(jinja_text_new(heap, literal, strlen(literal), false));
}

static struct jinja_value sequence(struct jinja_heap *heap, enum jinja_kind kind,
                                   const struct jinja_value *items, size_t n)
{
    struct jinja_list *list = jinja_alloc(heap, 1, sizeof *list);
    *list = (struct jinja_list){.items = items, .n = n};
    return (struct jinja_value){.kind = kind, .list = list};
}

struct jinja_value jinja_list(struct jinja_heap *heap, const struct jinja_value *items, size_t n)
{
    return sequence(heap, JINJA_LIST, items, n);
}

struct jinja_value jinja_tuple(struct jinja_heap *heap, const struct jinja_value *items, size_t n)
{
    return sequence(heap, JINJA_TUPLE, items, n);
}

struct jinja_value jinja_pair_of(struct jinja_heap *heap, struct jinja_value a,
                                 struct jinja_value b)
{
    struct jinja_value *items = jinja_alloc(heap, 2, sizeof *items);
    items[0] = a;
    items[1] = b;
    return jinja_tuple(heap, items, 2);
}

struct jinja_value jinja_dict_value(const struct jinja_dict *dict)
{
    return (struct jinja_value){.kind = JINJA_DICT, .dict = dict};
}

void jinja_push(struct jinja_heap *heap, struct jinja_items *to, struct jinja_value value)
{
    if (to->n == to->room) {
        size_t room = to->room == 0 ? 4 : to->room * 2, size = sizeof to->items[0];
        to->items = jinja_grow(heap, to->items, to->room * size, room * size);
        to->room = room;
    }
    to->items[to->n++] = value;
}

/* FNV-1a. Keys chosen to collide cost steps, which are bounded. */
static uint64_t hash_bytes(const void *bytes, size_t n)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ ((const unsigned char *)bytes)[i]) * 0x100000001b3u;
    return hash ^ hash >> 29;
}

static uint64_t hash_of(struct jinja_heap *heap, struct jinja_value key)
{
    double number = 0;
    switch ((int)key.kind) {
    case JINJA_STRING:
    case JINJA_BIGINT:
        return hash_bytes(key.text->bytes, key.text->n);
    case JINJA_BOOL:
    case JINJA_INT:
    case JINJA_FLOAT:
        jinja_as_double(key, &number);
        number = number == 0 ? 0 : number;
        return hash_bytes(&number, sizeof number);
    case JINJA_TUPLE: {
        uint64_t hash = key.list->n;
        jinja_enter(heap);
        for (size_t i = 0; i < key.list->n; i++)
            hash = hash * 31 + hash_of(heap, key.list->items[i]);
        jinja_leave(heap);
        return hash;
    }
    case JINJA_LIST:
    case JINJA_DICT:
    case JINJA_VIEW:
    case JINJA_SLICE:
        jinja_fail(heap, "unhashable type: '%s'", jinja_type_name(key));
    default:
        return (uint64_t)key.kind;
    }
}

struct jinja_dict *jinja_dict_new(struct jinja_heap *heap)
{
    return jinja_alloc(heap, 1, sizeof(struct jinja_dict));
}

enum { DICT_LINEAR = 8 }; /* pairs that are searched one by one */

static size_t find_pair(struct jinja_heap *heap, const struct jinja_dict *dict,
                        struct jinja_value key)
{
    if (dict->slots == NULL) {
        if (key.kind != JINJA_STRING)
            hash_of(heap, key);
        for (size_t i = 0; i < dict->n; i++)
            if (jinja_equal(heap, dict->pairs[i].key, key))
                return i;
        return SIZE_MAX;
    }
    for (size_t at = hash_of(heap, key);; at++) {
        uint32_t slot = dict->slots[at & (dict->n_slots - 1)];
        jinja_steps(heap, 1);
        if (slot == 0)
            return SIZE_MAX;
        if (jinja_equal(heap, dict->pairs[slot - 1].key, key))
            return slot - 1;
    }
}

static void index_pair(struct jinja_heap *heap, struct jinja_dict *dict, size_t i)
{
    size_t at = hash_of(heap, dict->pairs[i].key);
    while (dict->slots[at & (dict->n_slots - 1)] != 0) {
        jinja_steps(heap, 1);
        at++;
    }
    dict->slots[at & (dict->n_slots - 1)] = (uint32_t)i + 1;
}

void jinja_dict_set(struct jinja_heap *heap, struct jinja_dict *dict, struct jinja_value key,
                    struct jinja_value value)
{
    size_t i = find_pair(heap, dict, key);
    if (i != SIZE_MAX) {
        dict->pairs[i].value = value;
        return;
    }
    if (dict->n == dict->room) {
        size_t room = dict->room == 0 ? 4 : dict->room * 2, size = sizeof dict->pairs[0];
        dict->pairs = jinja_grow(heap, dict->pairs, dict->room * size, room * size);
        dict->room = room;
    }
    dict->pairs[dict->n++] = (struct jinja_pair){key, value};
    if (dict->n > DICT_LINEAR && dict->n * 2 > dict->n_slots) {
        dict->n_slots = dict->n_slots == 0 ? 32 : dict->n_slots * 2;
        dict->slots = jinja_alloc(heap, dict->n_slots, sizeof dict->slots[0]);
        for (size_t k = 0; k < dict->n; k++)
            index_pair(heap, dict, k);
    } else if (dict->slots != NULL) {
        index_pair(heap, dict, dict->n - 1);
    }
}

const struct jinja_value *jinja_dict_get(struct jinja_heap *heap, const struct jinja_dict *dict,
                                         struct jinja_value key)
{
    size_t i = find_pair(heap, dict, key);
    return i == SIZE_MAX ? NULL : &dict->pairs[i].value;
}

const struct jinja_value *jinja_dict_text(struct jinja_heap *heap, const struct jinja_dict *dict,
                                          const char *bytes, size_t n)
{
    struct jinja_text text = {.bytes = bytes, .n = n};
    return jinja_dict_get(heap, dict, jinja_string(&text));
}

bool jinja_is_number(struct jinja_value v)
{
    return v.kind == JINJA_BOOL || v.kind == JINJA_INT || v.kind == JINJA_BIGINT ||
           v.kind == JINJA_FLOAT;
}

bool jinja_as_int(struct jinja_value v, int64_t *out)
{
    if (v.kind != JINJA_BOOL && v.kind != JINJA_INT)
        return false;
    *out = v.kind == JINJA_BOOL ? v.truth : v.integer;
    return true;
}

/* Digits beyond 64 bits as a double; far ones become infinite. */
static double digits_value(const struct jinja_text *digits)
{
    char copy[400]; /* more digits than any double has before its point */
    if (digits->n >= sizeof copy)
        return digits->bytes[0] == '-' ? -INFINITY : INFINITY;
    memcpy(copy, digits->bytes, digits->n);
    copy[digits->n] = '\0';
    return strtod(copy, NULL);
}

bool jinja_as_double(struct jinja_value v, double *out)
{
    int64_t integer;
    if (v.kind == JINJA_FLOAT)
        *out = v.number;
    else if (v.kind == JINJA_BIGINT)
        *out = digits_value(v.text);
    else if (jinja_as_int(v, &integer))
        *out = (double)integer;
    else
        return false;
    return true;
}

int64_t jinja_need_int(struct jinja_heap *heap, struct jinja_value v)
{
    int64_t out;
    if (v.kind == JINJA_UNDEFINED)
        jinja_fail_undefined(heap, v);
    if (!jinja_as_int(v, &out))
        jinja_fail(heap, "'%s' object cannot be interpreted as an integer", jinja_type_name(v));
    return out;
}

bool jinja_length(struct jinja_value v, size_t *out)
{
    switch ((int)v.kind) {
    case JINJA_UNDEFINED:
        *out = 0;
        return true;
    case JINJA_STRING:
        *out = v.text->n_chars;
        return true;
    case JINJA_LIST:
    case JINJA_TUPLE:
        *out = v.list->n;
        return true;
    case JINJA_DICT:
        *out = v.dict->n;
        return true;
    case JINJA_VIEW:
        *out = v.view->dict->n;
        return true;
    case JINJA_RANGE:
        *out = v.range->n;
        return true;
    default:
        return false;
    }
}

bool jinja_truth(struct jinja_value v)
{
    size_t n;
    switch ((int)v.kind) {
    case JINJA_ABSENT:
    case JINJA_UNDEFINED:
    case JINJA_NONE:
        return false;
    case JINJA_BOOL:
        return v.truth;
    case JINJA_INT:
        return v.integer != 0;
    case JINJA_FLOAT:
        return v.number != 0;
    default:
        return jinja_length(v, &n) ? n != 0 : true;
    }
}

const char *jinja_type_name(struct jinja_value v)
{
    static const char *const names[] = {
        [JINJA_ABSENT] = "missing",
        [JINJA_UNDEFINED] = "Undefined",
        [JINJA_NONE] = "NoneType",
        [JINJA_BOOL] = "bool",
        [JINJA_INT] = "int",
        [JINJA_BIGINT] = "int",
        [JINJA_FLOAT] = "float",
        [JINJA_STRING] = "str",
        [JINJA_LIST] = "list",
        [JINJA_TUPLE] = "tuple",
        [JINJA_DICT] = "dict",
        [JINJA_VIEW] = "dict_view",
        [JINJA_RANGE] = "range",
        [JINJA_ITERATOR] = "generator",
        [JINJA_NAMESPACE] = "Namespace",
        [JINJA_FUNCTION] = "function",
        [JINJA_METHOD] = "method",
        [JINJA_MACRO] = "Macro",
        [JINJA_LOOP] = "LoopContext",
        [JINJA_CYCLER] = "Cycler",
        [JINJA_JOINER] = "Joiner",
        [JINJA_SLICE] = "slice",
    };
    if (v.kind == JINJA_VIEW)
        return v.view->of == JINJA_KEYS     ? "dict_keys"
               : v.view->of == JINJA_VALUES ? "dict_values"
                                            : "dict_items";
    return v.kind == JINJA_STRING && v.text->markup ? "Markup" : names[v.kind];
}

void jinja_fail_undefined(struct jinja_heap *heap, struct jinja_value v)
{
    if (v.text == NULL)
        jinja_fail(heap, "%s", v.note == NULL ? "a value is undefined" : v.note);
    if (v.note == NULL)
        jinja_fail(heap, "'%.*s' is undefined", (int)(v.text->n < 100 ? v.text->n : 100),
                   v.text->bytes);
    jinja_fail(heap, "'%s object' has no attribute '%.*s'", v.note,
               (int)(v.text->n < 100 ? v.text->n : 100), v.text->bytes);
}

/* -1, 0, 1; 2: not comparable (NaN). */
static int order_numbers(struct jinja_value a, struct jinja_value b)
{
    int64_t i, k;
    double x = 0, y = 0;
    if (jinja_as_int(a, &i) && jinja_as_int(b, &k))
        return (i > k) - (i < k);
    if (a.kind == JINJA_BIGINT && b.kind == JINJA_BIGINT) {
        bool minus = a.text->bytes[0] == '-', other = b.text->bytes[0] == '-';
        if (minus != other)
            return minus ? -1 : 1;
        int sign = a.text->n != b.text->n ? (a.text->n > b.text->n ? 1 : -1)
                                          : memcmp(a.text->bytes, b.text->bytes, a.text->n);
        sign = (sign > 0) - (sign < 0);
        return minus ? -sign : sign;
    }
    jinja_as_double(a, &x);
    jinja_as_double(b, &y);
    if (isnan(x) || isnan(y))
        return 2;
    return (x > y) - (x < y);
}

static bool equal_lists(struct jinja_heap *heap, const struct jinja_list *a,
                        const struct jinja_list *b)
{
    if (a == b)
        return true;
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!jinja_equal(heap, a->items[i], b->items[i]))
            return false;
    return true;
}

static bool equal_dicts(struct jinja_heap *heap, const struct jinja_dict *a,
                        const struct jinja_dict *b)
{
    if (a == b)
        return true;
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++) {
        const struct jinja_value *other = jinja_dict_get(heap, b, a->pairs[i].key);
        if (other == NULL || !jinja_equal(heap, a->pairs[i].value, *other))
            return false;
    }
    return true;
}

static bool equal_ranges(const struct jinja_range *a, const struct jinja_range *b)
{
    return a->n == b->n &&
           (a->n == 0 || (a->start == b->start && (a->n == 1 || a->step == b->step)));
}

bool jinja_equal(struct jinja_heap *heap, struct jinja_value a, struct jinja_value b)
{
    jinja_steps(heap, 1);
    if (jinja_is_number(a) && jinja_is_number(b))
        return order_numbers(a, b) == 0;
    if (a.kind != b.kind)
        return false;
    bool equal;
    switch ((int)a.kind) {
    case JINJA_ABSENT:
    case JINJA_UNDEFINED:
    case JINJA_NONE:
        return true;
    case JINJA_STRING:
        return jinja_same(a.text, b.text);
    case JINJA_LIST:
    case JINJA_TUPLE:
        jinja_enter(heap);
        equal = equal_lists(heap, a.list, b.list);
        jinja_leave(heap);
        return equal;
    case JINJA_DICT:
        jinja_enter(heap);
        equal = equal_dicts(heap, a.dict, b.dict);
        jinja_leave(heap);
        return equal;
    case JINJA_VIEW:
        return a.view->of == b.view->of && a.view->of != JINJA_VALUES &&
               equal_dicts(heap, a.view->dict, b.view->dict);
    case JINJA_RANGE:
        return equal_ranges(a.range, b.range);
    default:
        return a.list == b.list; /* the same object */
    }
}

int jinja_order(struct jinja_heap *heap, struct jinja_value a, struct jinja_value b, const char *op)
{
    jinja_steps(heap, 1);
    if (jinja_is_number(a) && jinja_is_number(b))
        return order_numbers(a, b);
    if (a.kind == JINJA_STRING && b.kind == JINJA_STRING) {
        size_t n = a.text->n < b.text->n ? a.text->n : b.text->n;
        int order = n == 0 ? 0 : memcmp(a.text->bytes, b.text->bytes, n);
        return order != 0 ? (order > 0) - (order < 0)
                          : (a.text->n > b.text->n) - (a.text->n < b.text->n);
    }
    if (a.kind == b.kind && (a.kind == JINJA_LIST || a.kind == JINJA_TUPLE)) {
        jinja_enter(heap);
        int order = 0;
        for (size_t i = 0; order == 0 && i < a.list->n && i < b.list->n; i++)
            if (!jinja_equal(heap, a.list->items[i], b.list->items[i]))
                order = jinja_order(heap, a.list->items[i], b.list->items[i], op);
        jinja_leave(heap);
        return order != 0 ? order : (a.list->n > b.list->n) - (a.list->n < b.list->n);
    }
    if (a.kind == JINJA_UNDEFINED)
        jinja_fail_undefined(heap, a);
    if (b.kind == JINJA_UNDEFINED)
        jinja_fail_undefined(heap, b);
    jinja_fail(heap, "'%s' not supported between instances of '%s' and '%s'", op,
               jinja_type_name(a), jinja_type_name(b));
}
