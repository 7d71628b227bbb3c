/* charsmap.c - reads, checks and walks the double array of a compiled map of characters.
 *
 * A unit of the array has the label by which it is reached, where its children lie (each at that
 * place XOR its label), and whether a sequence ends there: then its child 0 holds where the
 * replacement begins. The format is Darts'. All that can be reached is looked at once when the map
 * is made, so that walks need no checks but for places outside.
 */
#include "text/tokenizer/charsmap.h"

#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

#define KEY "tokenizer.ggml.precompiled_charsmap"

enum {
    HEADER_BYTES = 4,
    MAX_BYTES = 64 << 20, /* real ones have 0.2 MB */
    MAX_GROWTH = 32       /* real ones: 11 (U+FDFA) */
};

static const uint32_t value_bits = (1U << 31) - 1;

static uint32_t label(uint32_t unit)
{
    return unit & (1U << 31 | 0xff);
}

static bool has_value(uint32_t unit)
{
    return unit >> 8 & 1;
}

/* Where the children of the unit at place lie, before the XOR with their labels. */
static size_t children(size_t place, uint32_t unit)
{
    return place ^ (size_t)(unit >> 10) << ((unit & 1U << 9) >> 6);
}

static enum status damaged(struct error *err, const char *why)
{
    return error_set_param(err, STATUS_FORMAT, KEY, KEY " %s", why);
}

static enum status check_value(struct charsmap *map, size_t at, size_t depth, struct error *err)
{
    if (at >= map->n_units)
        return damaged(err, "has a value outside of its array");
    size_t begin = map->units[at] & value_bits;
    if (begin >= map->n_values)
        return damaged(err, "has a replacement outside of its texts");
    const char *value = map->values + begin;
    size_t n = strlen(value); /* the last byte is NUL */
    if (utf8_check(value, n) != n)
        return damaged(err, "has a replacement that is not UTF-8");
    size_t growth = (n + depth - 1) / depth;
    if (growth > MAX_GROWTH)
        return damaged(err, "makes texts more than 32 times as long");
    if (growth > map->max_growth)
        map->max_growth = growth;
    return STATUS_OK;
}

/* What is known of each unit while the array is looked through. */
struct survey {
    uint32_t *queue;  /* units in the order they are found: the shortest way first */
    uint32_t *depths; /* bytes of that way; 0: not found */
    uint8_t *bytes;   /* of the child that a walk looks at next */
    bool *is_open;    /* on the walk's way */
};

static uint32_t child_of(const struct charsmap *map, uint32_t unit, size_t byte)
{
    size_t child = children(unit, map->units[unit]) ^ byte;
    return child < map->n_units && label(map->units[child]) == byte ? (uint32_t)child : 0;
}

/* Checks the values of all that can be reached; counts it. Ends may share what follows them, so a
 * unit can be reached in many ways. */
static enum status find_units(struct charsmap *map, struct survey *survey, struct error *err)
{
    enum status status = STATUS_OK;
    size_t n = 1;
    survey->queue[0] = 0;
    for (size_t i = 0; i < n && status == STATUS_OK; i++) {
        uint32_t unit = survey->queue[i];
        for (size_t byte = 1; byte < 256 && status == STATUS_OK; byte++) {
            uint32_t child = child_of(map, unit, byte);
            if (child == 0 || survey->depths[child] != 0)
                continue;
            survey->depths[child] = survey->depths[unit] + 1;
            survey->queue[n++] = child;
            if (has_value(map->units[child]))
                status = check_value(map, children(child, map->units[child]), survey->depths[child],
                                     err);
        }
    }
    return status;
}

/* Walks down every way once: one that comes to a unit that it is below of is a circle. */
static enum status find_circles(struct charsmap *map, struct survey *survey, struct error *err)
{
    uint32_t *way = survey->queue; /* used anew */
    size_t n = 1;
    way[0] = 0;
    survey->is_open[0] = true;
    while (n > 0) {
        uint32_t unit = way[n - 1];
        if (survey->bytes[unit] == 255) { /* all its children were looked at */
            survey->is_open[unit] = false;
            n--;
            continue;
        }
        uint32_t child = child_of(map, unit, ++survey->bytes[unit]);
        if (child == 0 || (survey->bytes[child] != 0 && !survey->is_open[child]))
            continue;
        if (survey->is_open[child])
            return damaged(err, "has a circle in its array");
        survey->is_open[child] = true;
        way[n++] = child;
    }
    return STATUS_OK;
}

static enum status check_units(struct charsmap *map, struct error *err)
{
    struct survey survey = {.queue = calloc((size_t)map->n_units + 1, sizeof *survey.queue),
                            .depths = calloc((size_t)map->n_units + 1, sizeof *survey.depths),
                            .bytes = calloc((size_t)map->n_units + 1, 1),
                            .is_open = calloc((size_t)map->n_units + 1, sizeof *survey.is_open)};
    enum status status = STATUS_OK;
    if (!survey.queue || !survey.depths || !survey.bytes || !survey.is_open)
        status = error_no_memory(err, map->n_units * 10, "the map of characters");
    if (status == STATUS_OK)
        status = find_units(map, &survey, err);
    if (status == STATUS_OK)
        status = find_circles(map, &survey, err);
    free(survey.queue);
    free(survey.depths);
    free(survey.bytes);
    free(survey.is_open);
    return status;
}

static uint32_t little_endian(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

enum status charsmap_create(struct charsmap *map, const uint8_t *bytes, size_t n, struct error *err)
{
    map->max_growth = 1;
    if (n == 0)
        return STATUS_OK;
    if (n < HEADER_BYTES + sizeof *map->units || n > MAX_BYTES)
        return damaged(err,
                       "is no map of characters by its length: it must have 8 bytes to 64 MiB");
    size_t n_bytes = little_endian(bytes);
    if (n_bytes == 0 || n_bytes % sizeof *map->units != 0 || n_bytes >= n - HEADER_BYTES)
        return error_set_param(err, STATUS_FORMAT, KEY,
                               KEY
                               " says that its array has %zu bytes: it must be a multiple of 4, "
                               "and less than the %zu bytes that follow",
                               n_bytes, n - HEADER_BYTES);
    if (bytes[n - 1] != 0)
        return damaged(err, "ends amid a replacement");
    map->n_units = n_bytes / sizeof *map->units;
    map->n_values = n - HEADER_BYTES - n_bytes;
    map->units = calloc(map->n_units, sizeof *map->units);
    map->values = malloc(map->n_values);
    if (!map->units || !map->values)
        return error_no_memory(err, n, "the map of characters");
    for (size_t i = 0; i < map->n_units; i++)
        map->units[i] = little_endian(bytes + HEADER_BYTES + i * sizeof *map->units);
    memcpy(map->values, bytes + HEADER_BYTES + n_bytes, map->n_values);
    return check_units(map, err);
}

void charsmap_free(struct charsmap *map)
{
    free(map->units);
    free(map->values);
}

const char *charsmap_find(const struct charsmap *map, const char *text, size_t n)
{
    if (!map->units)
        return NULL;
    size_t at = children(0, map->units[0]);
    for (size_t i = 0; i < n && text[i] != 0; i++) {
        at ^= (uint8_t)text[i];
        if (at >= map->n_units || label(map->units[at]) != (uint8_t)text[i])
            return NULL;
        uint32_t unit = map->units[at];
        at = children(at, unit);
        if (has_value(unit))
            return map->values + (map->units[at] & value_bits);
    }
    return NULL;
}
