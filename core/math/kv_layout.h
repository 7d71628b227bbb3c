/* kv_layout.h - where the parts of a block of keys and values lie, and the scales of KV_Q8.
 *
 * A block is KV_PAGE positions of one layer and KV head. First the keys, transposed
 * [D][KV_PAGE]; then the values [KV_PAGE][D_pad]. KV_Q8 holds both as int8, and after them one
 * scale for every 32 values of a position's key, [groups][KV_PAGE], and of its value, likewise.
 * Private to core/math.
 */
#pragma once

#include "math/kernels.h"

#include <string.h>

enum { KV_GROUP = 32 }; /* values of a head that share one scale */

/* Below it a group is 0: far smaller, 1 / scale would overflow. */
#define KV_Q8_TINY 0x1p-100f

static inline size_t page_padded(size_t head_dim)
{
    return (head_dim + 7) / 8 * 8;
}

static inline size_t page_groups(size_t head_dim)
{
    return (head_dim + KV_GROUP - 1) / KV_GROUP;
}

/* Index of a position's first value, in values of the block's type (of KV_Q8: bytes). */
static inline size_t page_value_at(size_t head_dim, size_t slot)
{
    return KV_PAGE * head_dim + slot * page_padded(head_dim);
}

/* Bytes from the block's beginning to a group's scales of KV_PAGE keys or values. */
static inline size_t page_key_scales_at(size_t head_dim, size_t group)
{
    return page_value_at(head_dim, KV_PAGE) + group * KV_PAGE * sizeof(uint16_t);
}

static inline size_t page_value_scales_at(size_t head_dim, size_t group)
{
    return page_key_scales_at(head_dim, page_groups(head_dim) + group);
}

/* A scale is BF16, max|x| / 127 rounded up, so that no value is clipped and the range is that of
 * F32. A group that is not finite gets NaN: none of it may look like a number later. */
static inline uint16_t page_scale_of(float max)
{
    float scale = max / 127.0f;
    uint32_t bits;
    if (max < KV_Q8_TINY)
        return 0;
    memcpy(&bits, &scale, sizeof bits);
    return bits >= 0x7f800000u ? (uint16_t)0x7fc0 : (uint16_t)((bits + 0xffff) >> 16);
}

static inline float kv_scale_value(uint16_t scale)
{
    uint32_t bits = (uint32_t)scale << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The factor that values are multiplied by before rounding to -127..127. */
static inline float kv_scale_inverse(uint16_t scale)
{
    return scale == 0 ? 0.0f : 1.0f / kv_scale_value(scale);
}
