/* mutate_gguf.c - libFuzzer's mutator for model files: it knows where the fields are.
 *
 * One number becomes a value at which programs break; keys and tensors change places, are doubled,
 * removed or renamed after another; the header keeps its counts and padding where that makes a
 * better file. Now and then the plain mutator has its way.
 */
#include "core/gguf_fields.h"
#include "fuzz/fuzz.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

static struct gguf_fields fields;

struct mutation {
    uint8_t *data; /* [max_size], borrowed */
    size_t size, max_size;
    uint64_t random;
};

static size_t pick(struct mutation *m, size_t n) /* below n > 0 */
{
    m->random = m->random * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(m->random >> 33) % n;
}

static void change_number(struct mutation *m)
{
    static const uint64_t values[] = {
        0,
        1,
        2,
        UINT64_MAX,
        (uint64_t)1 << 31,
        (uint64_t)1 << 32,
        (uint64_t)1 << 63,
        ((uint64_t)1 << 31) - 1,
        ((uint64_t)1 << 32) - 1,
        ((uint64_t)1 << 63) - 1,
        65535,
        65536,
        ((uint64_t)1 << 20) + 1,
        UINT64_MAX - 7,
    };
    enum { N = sizeof values / sizeof values[0] };
    for (size_t tries = 0; tries < 64; tries++) {
        const struct gguf_field *f = &fields.items[pick(m, fields.n)];
        if (f->kind == FIELD_TEXT || f->n_bytes > 8)
            continue;
        uint64_t old = fields_int(m->data + f->at, f->n_bytes);
        size_t i = pick(m, N + 8);
        uint64_t value = i < N       ? values[i]
                         : i < N + 2 ? old + 1
                         : i < N + 4 ? old - 1
                         : i < N + 5 ? 2 * old
                         : i < N + 6 ? old / 2
                                     : pick(m, 64);
        fields_put(m->data + f->at, f->kind == FIELD_TYPE && i >= 6 ? pick(m, 40) : value,
                   f->n_bytes);
        return;
    }
}

/* Bytes [at, at + n_old) of the header become others; the data move to where they then belong. */
static void splice(struct mutation *m, size_t at, size_t n_old, const uint8_t *bytes, size_t n)
{
    size_t end = fields.at - n_old + n, start = (end + fields.alignment - 1) / fields.alignment;
    if (fields.data_start > m->size || end > m->max_size || start > m->max_size / fields.alignment)
        return;
    start *= fields.alignment;
    size_t n_data = m->size - fields.data_start;
    if (n_data > m->max_size - start)
        return;
    uint8_t *made = calloc(1, start + n_data + 1);
    FUZZ_CHECK(made != NULL, "memory");
    memcpy(made, m->data, at);
    memcpy(made + at, bytes, n);
    memcpy(made + at + n, m->data + at + n_old, fields.at - at - n_old);
    memcpy(made + start, m->data + fields.data_start, n_data);
    m->size = start + n_data;
    memcpy(m->data, made, m->size);
    free(made);
}

/* One of the file's records, a key's or a tensor's, and where the count of its kind stands. */
static void pick_record(struct mutation *m, bool tensor, size_t *start, size_t *end)
{
    size_t i = pick(m, tensor ? fields.n_tensors : fields.n_values);
    *start = tensor ? fields.tensors[i].start : fields.values[i].start;
    *end = tensor ? fields.tensors[i].end : fields.values[i].end;
}

static void change_records(struct mutation *m)
{
    bool tensor = fields.n_values == 0 || (fields.n_tensors > 0 && pick(m, 2) == 0);
    size_t a, a_end, b, b_end, count_at = tensor ? 8 : 16, how = pick(m, 4);
    pick_record(m, tensor, &a, &a_end);
    pick_record(m, tensor, &b, &b_end);
    uint8_t *record = malloc(a_end - a);
    FUZZ_CHECK(record != NULL, "memory");
    memcpy(record, m->data + a, a_end - a);
    uint64_t count = fields_int(m->data + count_at, 8);
    if (how == 0) { /* doubled, before another */
        fields_put(m->data + count_at, count + 1, 8);
        splice(m, b, 0, record, a_end - a);
    } else if (how == 1) { /* removed */
        fields_put(m->data + count_at, count - 1, 8);
        splice(m, a, a_end - a, record, 0);
    } else if (how == 2) { /* in another's place */
        splice(m, b, b_end - b, record, a_end - a);
    } else { /* with another's name */
        size_t n = 8 + (size_t)fields_int(record, 8);
        splice(m, b, 8 + (size_t)fields_int(m->data + b, 8), record, n);
    }
    free(record);
}

/* A string of the header becomes longer or shorter, or another of the file's strings. */
static void change_text(struct mutation *m)
{
    uint8_t made[8 + 256];
    for (size_t tries = 0; tries < 64; tries++) {
        size_t i = pick(m, fields.n), n = 0;
        const struct gguf_field *f = &fields.items[i];
        if (f->kind != FIELD_LENGTH)
            continue;
        size_t n_old = 8 + (size_t)fields_int(m->data + f->at, 8);
        const struct gguf_field *other = &fields.items[pick(m, fields.n)];
        if (other->kind == FIELD_TEXT && other->n_bytes <= 200) {
            n = other->n_bytes;
            memcpy(made + 8, m->data + other->at, n);
        } else if (n_old <= 8 + 200) {
            n = n_old - 8;
            memcpy(made + 8, m->data + f->at + 8, n);
        }
        if (pick(m, 2) == 0)
            n = n == 0 ? 0 : LLVMFuzzerMutate(made + 8, n, 256);
        fields_put(made, n, 8);
        splice(m, f->at, n_old, made, 8 + n);
        return;
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    struct mutation m = {.data = data, .size = size, .max_size = max_size, .random = seed};
    size_t how = pick(&m, 16);
    fields_walk(&fields, data, size);
    if (how == 0 || fields.n == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    if (how < 9 || !fields.whole || fields.n_values + fields.n_tensors == 0)
        change_number(&m);
    else if (how < 13)
        change_records(&m);
    else
        change_text(&m);
    return m.size;
}
