/* reader.c - opens a GGUF file: its header, its tensors' descriptions, and where their data lie.
 *
 * A file is not mapped but read, into address space reserved for all of it: the header when it is
 * opened, a tensor when it is fetched, and its pages go back when it is released. So a file that is
 * cut or changed meanwhile is an error like any other (a mapping would raise SIGBUS), and no more
 * than one tensor of it lies in memory. Any thread; one loader at a time. The format: ggml's
 * docs/gguf.md.
 */
#include "gguf/gguf.h"

#include "base/append.h"
#include "base/checked.h"
#include "gguf/internal.h"
#include "math/quant.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { DEFAULT_ALIGNMENT = 32 };

static enum status check_magic(struct gguf_cursor *c, struct error *err)
{
    const uint8_t *magic;
    enum status status;
    if ((status = gguf_take(c, 4, &magic, err)) != STATUS_OK)
        return status;
    if (memcmp(magic, "GGUF", 4) != 0)
        return error_set(
            err, STATUS_FORMAT,
            "not a GGUF file: it begins with the bytes %02x %02x %02x %02x, not with \"GGUF\"",
            magic[0], magic[1], magic[2], magic[3]);
    if ((status = gguf_take_u32(c, &c->gguf->version, err)) != STATUS_OK)
        return status;
    uint32_t version = c->gguf->version;
    uint32_t swapped = __builtin_bswap32(version);
    if (swapped >= 1 && swapped <= 3)
        return error_set(err, STATUS_UNSUPPORTED,
                         "the file is byte-swapped (big-endian GGUF version %u); only "
                         "little-endian is supported",
                         swapped);
    if (version != 2 && version != 3)
        return error_set(err, STATUS_UNSUPPORTED, "GGUF version %u; versions 2 and 3 are supported",
                         version);
    return STATUS_OK;
}

/* Checks a declared number of records against the limit and against what the rest of the file could
 * hold at most, before anything is allocated for them. */
static enum status check_count(const struct gguf_cursor *c, const char *what, uint64_t n,
                               size_t min_bytes, struct error *err)
{
    size_t room = (c->gguf->size - c->pos) / min_bytes;
    if (n > GGUF_MAX_RECORDS || n > room)
        return error_set(
            err, STATUS_FORMAT,
            "the header declares %llu %s; at most %d are allowed, and the file has room for %zu",
            (unsigned long long)n, what, GGUF_MAX_RECORDS, room);
    return STATUS_OK;
}

static enum status read_header(struct gguf_cursor *c, struct error *err)
{
    struct gguf *g = c->gguf;
    uint64_t n_tensors, n_values;
    enum status status;
    snprintf(c->what, sizeof c->what, "the header");
    if ((status = check_magic(c, err)) != STATUS_OK ||
        (status = gguf_take_u64(c, &n_tensors, err)) != STATUS_OK ||
        (status = gguf_take_u64(c, &n_values, err)) != STATUS_OK ||
        (status = check_count(c, "tensors", n_tensors, GGUF_MIN_TENSOR, err)) != STATUS_OK ||
        (status = check_count(c, "keys", n_values, GGUF_MIN_VALUE, err)) != STATUS_OK)
        return status;
    g->n_tensors = (size_t)n_tensors;
    g->n_values = (size_t)n_values;
    g->values = calloc(g->n_values + 1, sizeof g->values[0]);
    g->tensors = calloc(g->n_tensors + 1, sizeof g->tensors[0]);
    if (g->values == NULL || g->tensors == NULL)
        return error_no_memory(
            err, g->n_values * sizeof g->values[0] + g->n_tensors * sizeof g->tensors[0],
            "the file's tables");
    return STATUS_OK;
}

static enum status read_alignment(struct gguf *g, struct error *err)
{
    static const char key[] = "general.alignment";
    uint64_t alignment = DEFAULT_ALIGNMENT;
    const struct gguf_value *v = gguf_find(g, key);
    if (v != NULL && v->type != GGUF_U32)
        return error_set_param(err, STATUS_FORMAT, key, "key '%s' is %s; a u32 is needed", key,
                               gguf_value_type_name(v->type));
    if (v != NULL)
        alignment = gguf_load_u32(v->bytes);
    if (alignment < 8 || alignment > 1 << 20 || (alignment & (alignment - 1)) != 0)
        return error_set_param(err, STATUS_FORMAT, key,
                               "key '%s' is %llu; a power of two from 8 to 1048576 is needed", key,
                               (unsigned long long)alignment);
    g->alignment = (size_t)alignment;
    return STATUS_OK;
}

/* The names of all supported types, for refusals. */
static void list_types(char *out, size_t room)
{
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < WEIGHT_TYPES; i++)
        if (weight_infos[i].supported)
            append_text(out, room, &n, "%s%s", n > 0 ? " " : "", weight_infos[i].name);
}

static enum status check_type(const struct gguf_tensor *t, enum weight_type *out, struct error *err)
{
    enum weight_type type = weight_type_of_ggml(t->type);
    if (type != WEIGHT_TYPES && weight_infos[type].supported) {
        *out = type;
        return STATUS_OK;
    }
    char known[256], number[24];
    list_types(known, sizeof known);
    const char *name = ggml_type_name(t->type);
    snprintf(number, sizeof number, "number %u", t->type);
    return error_set_param(
        err, STATUS_UNSUPPORTED, t->name,
        "tensor '%s' has type %s, which is not supported; the supported ones are: %s", t->name,
        name != NULL ? name : number, known);
}

/* The tensor's dimensions, and the bytes they make. */
static enum status check_shape(struct gguf_tensor *t, enum weight_type type, struct error *err)
{
    const struct weight_info *info = &weight_infos[type];
    size_t n_values = 1, n_bytes;
    for (uint32_t i = 0; i < t->n_dims; i++) {
        if (t->ne[i] < 1 || t->ne[i] > INT32_MAX)
            return error_set_param(err, STATUS_FORMAT, t->name,
                                   "tensor '%s': dimension %u is %llu; it must be 1 to 2147483647",
                                   t->name, i, (unsigned long long)t->ne[i]);
        if (!checked_mul(n_values, (size_t)t->ne[i], &n_values))
            return error_set_param(err, STATUS_FORMAT, t->name,
                                   "tensor '%s': the product of its dimensions overflows", t->name);
    }
    if (t->ne[0] % info->block_values != 0)
        return error_set_param(
            err, STATUS_FORMAT, t->name,
            "tensor '%s': its rows have %llu values; type %s needs a multiple of %u", t->name,
            (unsigned long long)t->ne[0], info->name, info->block_values);
    if (!checked_mul(n_values / info->block_values, info->block_bytes, &n_bytes))
        return error_set_param(err, STATUS_FORMAT, t->name,
                               "tensor '%s': its size in bytes overflows", t->name);
    t->n_bytes = n_bytes;
    return STATUS_OK;
}

/* One description. *offset is relative to the data's beginning, which is not known yet. */
static enum status read_tensor(struct gguf_cursor *c, size_t i, struct gguf_tensor *t,
                               uint64_t *offset, struct error *err)
{
    struct gguf_string name;
    enum weight_type type = WEIGHT_TYPES;
    enum status status;
    snprintf(c->what, sizeof c->what, "tensor number %zu", i + 1);
    if ((status = gguf_take_string(c, sizeof t->name - 1, &name, err)) != STATUS_OK)
        return status;
    if (!gguf_is_name(name.bytes, name.n))
        return error_set(err, STATUS_FORMAT, "%s has a name that is empty or not printable ASCII",
                         c->what);
    memcpy(t->name, name.bytes, name.n);
    snprintf(c->what, sizeof c->what, "tensor '%s'", t->name);
    if ((status = gguf_take_u32(c, &t->n_dims, err)) != STATUS_OK)
        return status;
    if (t->n_dims < 1 || t->n_dims > 4)
        return error_set_param(err, STATUS_FORMAT, t->name,
                               "tensor '%s' has %u dimensions; it must have 1 to 4", t->name,
                               t->n_dims);
    for (uint32_t d = 0; d < 4; d++) {
        t->ne[d] = 1;
        if (d < t->n_dims && (status = gguf_take_u64(c, &t->ne[d], err)) != STATUS_OK)
            return status;
    }
    if ((status = gguf_take_u32(c, &t->type, err)) != STATUS_OK ||
        (status = gguf_take_u64(c, offset, err)) != STATUS_OK ||
        (status = check_type(t, &type, err)) != STATUS_OK)
        return status;
    return check_shape(t, type, err);
}

static int compare_names(const void *a, const void *b, void *tensors)
{
    const struct gguf_tensor *t = tensors;
    return strcmp(t[*(const uint32_t *)a].name, t[*(const uint32_t *)b].name);
}

static int compare_places(const void *a, const void *b, void *tensors)
{
    const struct gguf_tensor *t = tensors;
    const uint8_t *x = t[*(const uint32_t *)a].data, *y = t[*(const uint32_t *)b].data;
    return (x > y) - (x < y);
}

enum status gguf_index_tensors(struct gguf *g, struct error *err)
{
    uint32_t *index = realloc(g->tensors_by_name, (g->n_tensors + 1) * sizeof index[0]);
    if (index == NULL)
        return error_no_memory(err, g->n_tensors * sizeof index[0], "the index of tensors");
    g->tensors_by_name = index;
    for (size_t i = 0; i < g->n_tensors; i++)
        index[i] = (uint32_t)i;
    qsort_r(index, g->n_tensors, sizeof index[0], compare_names, g->tensors);
    for (size_t i = 1; i < g->n_tensors; i++) {
        const char *name = g->tensors[index[i]].name;
        if (strcmp(g->tensors[index[i - 1]].name, name) == 0)
            return error_set_param(err, STATUS_FORMAT, name, "tensor '%s' appears more than once",
                                   name);
    }
    return STATUS_OK;
}

/* Finds names given twice and data that overlap by sorting: n log n, whatever the file says. Leaves
 * the index by name. */
static enum status sort_tensors(struct gguf *g, size_t data_start, struct error *err)
{
    uint32_t *index = malloc((g->n_tensors + 1) * sizeof index[0]);
    if (index == NULL)
        return error_no_memory(err, g->n_tensors * sizeof index[0], "the index of tensors");
    g->tensors_by_name = index;
    for (size_t i = 0; i < g->n_tensors; i++)
        index[i] = (uint32_t)i;
    const uint8_t *end = g->bytes + (data_start < g->size ? data_start : g->size);
    qsort_r(index, g->n_tensors, sizeof index[0], compare_places, g->tensors);
    for (size_t i = 0; i < g->n_tensors; i++) {
        const struct gguf_tensor *t = &g->tensors[index[i]];
        if (t->data < end)
            return error_set_param(err, STATUS_FORMAT, t->name, "tensor '%s' overlaps tensor '%s'",
                                   t->name, g->tensors[index[i - 1]].name);
        end = t->data + t->n_bytes;
    }
    size_t n_after = g->size - (size_t)(end - g->bytes);
    if (n_after >= g->alignment)
        return error_set(
            err, STATUS_FORMAT,
            "%zu bytes follow the last tensor; only padding to a multiple of %zu is allowed",
            n_after, g->alignment);
    return gguf_index_tensors(g, err);
}

/* Places each tensor's data: aligned, inside the file. */
static enum status place_tensors(struct gguf *g, size_t header_end, const uint64_t *offsets,
                                 struct error *err)
{
    size_t data_start;
    if (!checked_align(header_end, g->alignment, &data_start))
        return error_set(err, STATUS_FORMAT, "the header's size overflows");
    if (g->n_tensors > 0 && data_start > g->size)
        return error_set(err, STATUS_FORMAT,
                         "the tensors' data should begin at byte %zu; the file has %zu", data_start,
                         g->size);
    size_t data_bytes = data_start < g->size ? g->size - data_start : 0;
    for (size_t i = 0; i < g->n_tensors; i++) {
        struct gguf_tensor *t = &g->tensors[i];
        unsigned long long offset = offsets[i];
        if (offset % g->alignment != 0)
            return error_set_param(
                err, STATUS_FORMAT, t->name,
                "tensor '%s': offset %llu is not a multiple of the alignment %zu", t->name, offset,
                g->alignment);
        if (offset > data_bytes || t->n_bytes > data_bytes - (size_t)offset)
            return error_set_param(
                err, STATUS_FORMAT, t->name,
                "tensor '%s': %zu bytes at offset %llu lie beyond the file's %zu bytes of data",
                t->name, t->n_bytes, offset, data_bytes);
        t->data = g->bytes + data_start + (size_t)offset;
    }
    return sort_tensors(g, data_start, err);
}

static enum status read_all(struct gguf *g, struct error *err)
{
    struct gguf_cursor c = {.gguf = g};
    uint64_t *offsets = NULL;
    enum status status;
    if ((status = read_header(&c, err)) != STATUS_OK ||
        (status = gguf_read_values(&c, err)) != STATUS_OK ||
        (status = read_alignment(g, err)) != STATUS_OK)
        return status;
    offsets = malloc((g->n_tensors + 1) * sizeof offsets[0]);
    if (offsets == NULL)
        return error_no_memory(err, g->n_tensors * sizeof offsets[0], "the tensors' offsets");
    for (size_t i = 0; i < g->n_tensors && status == STATUS_OK; i++)
        status = read_tensor(&c, i, &g->tensors[i], &offsets[i], err);
    if (status == STATUS_OK)
        status = place_tensors(g, c.pos, offsets, err);
    free(offsets);
    return status;
}

static enum status new_gguf(struct gguf **out, struct error *err)
{
    *out = calloc(1, sizeof **out);
    if (*out == NULL)
        return error_no_memory(err, sizeof **out, "a GGUF file");
    (*out)->fd = -1;
    return STATUS_OK;
}

enum status gguf_open_alone(struct gguf **out, const uint8_t *bytes, size_t size, struct error *err)
{
    struct gguf *g;
    enum status status = new_gguf(&g, err);
    if (status != STATUS_OK)
        return status;
    g->bytes = bytes;
    g->size = g->n_ready = size;
    if ((status = read_all(g, err)) != STATUS_OK)
        gguf_close(g);
    else
        *out = g;
    return status;
}

static enum status open_file(struct gguf *g, const char *path, struct error *err)
{
    /* O_NONBLOCK: a FIFO is refused below instead of waited for. */
    g->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (g->fd < 0 || fstat(g->fd, &g->identity) != 0)
        return error_errno(err, errno, "%s", path);
    if (!S_ISREG(g->identity.st_mode))
        return error_set(err, STATUS_IO, "%s: not a regular file", path);
    if (g->identity.st_size == 0)
        return error_set(err, STATUS_FORMAT, "%s: the file is empty", path);
    g->size = (size_t)g->identity.st_size;
    /* Address space only: pages are taken when the file is read into them. */
    void *reserved = mmap(NULL, g->size, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reserved == MAP_FAILED)
        return error_no_memory(err, g->size, "the address space of the model file");
    g->bytes = g->reserved = reserved;
    return STATUS_OK;
}

enum status gguf_map_alone(struct gguf **out, const char *path, struct error *err)
{
    struct gguf *g;
    enum status status = new_gguf(&g, err);
    if (status != STATUS_OK)
        return status;
    if ((status = open_file(g, path, err)) != STATUS_OK || (status = read_all(g, err)) != STATUS_OK)
        gguf_close(g);
    else
        *out = g;
    return status;
}

void gguf_close(struct gguf *gguf)
{
    if (gguf == NULL)
        return;
    for (size_t i = 0; gguf->values != NULL && i < gguf->n_values; i++)
        free(gguf->values[i].offsets);
    free(gguf->values);
    free(gguf->values_by_key);
    free(gguf->tensors);
    free(gguf->tensors_by_name);
    for (size_t i = 0; i < gguf->n_others; i++)
        gguf_close(gguf->others[i]);
    free(gguf->others);
    if (gguf->reserved != NULL)
        munmap(gguf->reserved, gguf->size);
    if (gguf->fd >= 0)
        close(gguf->fd);
    free(gguf);
}

int gguf_descriptor(const struct gguf *gguf, size_t i)
{
    return i == 0 ? gguf->fd : gguf->others[i - 1]->fd;
}

/* The file that a tensor lies in. */
static const struct gguf *part_of(const struct gguf *gguf, const struct gguf_tensor *tensor)
{
    return tensor->part == 0 ? gguf : gguf->others[tensor->part - 1];
}

enum status gguf_fetch(const struct gguf *gguf, const struct gguf_tensor *tensor, struct error *err)
{
    gguf = part_of(gguf, tensor);
    if (gguf->reserved == NULL)
        return STATUS_OK;
    struct stat now;
    const struct stat *then = &gguf->identity;
    if (fstat(gguf->fd, &now) != 0)
        return error_errno(err, errno, "cannot look at the model file again");
    if (now.st_size != then->st_size || now.st_mtim.tv_sec != then->st_mtim.tv_sec ||
        now.st_mtim.tv_nsec != then->st_mtim.tv_nsec)
        return error_set(err, STATUS_IO, "the model file changed while it was read, at tensor '%s'",
                         tensor->name);
    size_t start = (size_t)(tensor->data - gguf->bytes);
    return gguf_read_range(gguf, start, start + tensor->n_bytes, err);
}

void gguf_release(const struct gguf *gguf, const struct gguf_tensor *tensor)
{
    gguf = part_of(gguf, tensor);
    if (gguf->reserved == NULL)
        return;
    /* Whole pages only: the first and last may hold a neighbour's bytes, or the header's. */
    size_t page = (size_t)sysconf(_SC_PAGESIZE), start = (size_t)(tensor->data - gguf->bytes);
    size_t first = (start + page - 1) & ~(page - 1), last = (start + tensor->n_bytes) & ~(page - 1);
    if (first < last)
        madvise(gguf->reserved + first, last - first, MADV_DONTNEED);
}

static void describe_part(const struct gguf *g, void (*add)(void *ctx, const void *bytes, size_t n),
                          void *ctx)
{
    const struct stat *s = &g->identity;
    const uint64_t file[] = {(uint64_t)s->st_dev,          (uint64_t)s->st_ino,
                             (uint64_t)s->st_size,         (uint64_t)s->st_mtim.tv_sec,
                             (uint64_t)s->st_mtim.tv_nsec, (uint64_t)s->st_ctim.tv_sec,
                             (uint64_t)s->st_ctim.tv_nsec};
    size_t n_header = g->n_ready;
    for (size_t i = 0; i < g->n_tensors; i++) {
        const struct gguf_tensor *t = &g->tensors[i];
        const size_t start = t->part == 0 ? (size_t)(t->data - g->bytes) : n_header;
        n_header = start < n_header ? start : n_header;
    }
    add(ctx, file, sizeof file);
    add(ctx, g->bytes, n_header);
}

bool gguf_describe(const struct gguf *gguf, void (*add)(void *ctx, const void *bytes, size_t n),
                   void *ctx)
{
    if (gguf->reserved == NULL)
        return false;
    describe_part(gguf, add, ctx);
    for (size_t i = 0; i < gguf->n_others; i++)
        describe_part(gguf->others[i], add, ctx);
    return true;
}

uint32_t gguf_version(const struct gguf *gguf)
{
    return gguf->version;
}

size_t gguf_size(const struct gguf *gguf)
{
    size_t size = gguf->size;
    for (size_t i = 0; i < gguf->n_others; i++)
        size += gguf->others[i]->size;
    return size;
}

size_t gguf_n_parts(const struct gguf *gguf)
{
    return 1 + gguf->n_others;
}

size_t gguf_alignment(const struct gguf *gguf)
{
    return gguf->alignment;
}

size_t gguf_n_tensors(const struct gguf *gguf)
{
    return gguf->n_tensors;
}

const struct gguf_tensor *gguf_tensor_at(const struct gguf *gguf, size_t i)
{
    return &gguf->tensors[i];
}

const struct gguf_tensor *gguf_find_tensor(const struct gguf *gguf, const char *name)
{
    size_t low = 0, high = gguf->n_tensors;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct gguf_tensor *t = &gguf->tensors[gguf->tensors_by_name[middle]];
        int order = strcmp(name, t->name);
        if (order == 0)
            return t;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}
