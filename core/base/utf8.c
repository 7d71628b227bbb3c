/* utf8.c - UTF-8 by Unicode's table 3-7 (The Unicode Standard, section 3.9). Pure functions; any
 * thread. */
#include "base/utf8.h"

#include <string.h>

enum utf8_scan { SCAN_WHOLE, SCAN_ILL, SCAN_CUT };

/* Looks at the character that begins at p. WHOLE: *length bytes are well-formed. ILL: *length is
 * the maximal ill-formed part (at least 1). CUT: all n bytes begin a character that n is too short
 * for. */
static enum utf8_scan scan(const uint8_t *p, size_t n, size_t *length)
{
    uint8_t lead = p[0];
    *length = 1;
    if (lead < 0x80)
        return SCAN_WHOLE;
    if (lead < 0xc2 || lead > 0xf4)
        return SCAN_ILL;
    size_t want = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    /* Only the second byte's range depends on the lead: no overlong form, no surrogate, nothing
     * above U+10FFFF. */
    uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    for (size_t i = 1; i < want; i++) {
        if (i == n)
            return SCAN_CUT;
        if (p[i] < low || p[i] > high)
            return SCAN_ILL;
        *length = i + 1;
        low = 0x80;
        high = 0xbf;
    }
    return SCAN_WHOLE;
}

size_t utf8_decode(const char *bytes, size_t n, uint32_t *cp)
{
    const uint8_t *p = (const uint8_t *)bytes;
    size_t length;
    if (scan(p, n, &length) != SCAN_WHOLE)
        return 0;
    static const uint8_t lead_bits[5] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t value = p[0] & lead_bits[length];
    for (size_t i = 1; i < length; i++)
        value = value << 6 | (p[i] & 0x3f);
    *cp = value;
    return length;
}

size_t utf8_encode(uint32_t cp, char out[4])
{
    uint8_t *p = (uint8_t *)out;
    if (cp < 0x80) {
        p[0] = (uint8_t)cp;
        return 1;
    }
    size_t n = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    static const uint8_t lead[5] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n - 1; i > 0; i--) {
        p[i] = (uint8_t)(0x80 | (cp & 0x3f));
        cp >>= 6;
    }
    p[0] = (uint8_t)(lead[n] | cp);
    return n;
}

size_t utf8_check(const char *bytes, size_t n)
{
    const uint8_t *p = (const uint8_t *)bytes;
    for (size_t i = 0; i < n;) {
        size_t length;
        if (scan(p + i, n - i, &length) != SCAN_WHOLE)
            return i;
        i += length;
    }
    return n;
}

void utf8_printable(char *out, size_t room, const char *bytes, size_t n)
{
    size_t n_out = 0;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        size_t length = utf8_decode(bytes + i, n - i, &cp);
        bool shown =
            length != 0 && cp >= 0x20 && (cp < 0x7f || cp > 0x9f) && cp != 0x2028 && cp != 0x2029;
        size_t n_new = shown ? length : 1;
        if (n_out + n_new >= room)
            break;
        if (shown)
            memcpy(out + n_out, bytes + i, length);
        else
            out[n_out] = '?';
        n_out += n_new;
        i += length != 0 ? length : 1;
    }
    out[n_out] = '\0';
}

static size_t replace(char *out)
{
    static const uint8_t replacement[3] = {0xef, 0xbf, 0xbd};
    memcpy(out, replacement, sizeof replacement);
    return sizeof replacement;
}

size_t utf8_stream_push(struct utf8_stream *stream, const char *bytes, size_t n, char *out)
{
    const uint8_t *p = (const uint8_t *)bytes;
    size_t i = 0, n_out = 0, length;
    if (stream->n_held > 0 && n > 0) {
        /* The bytes held begin a character, so a whole or ill-formed part of the joint bytes covers
         * all of it. */
        uint8_t joint[2 * sizeof stream->held];
        size_t n_held = stream->n_held, n_more = n < 4 - n_held ? n : 4 - n_held;
        memcpy(joint, stream->held, n_held);
        memcpy(joint + n_held, p, n_more);
        enum utf8_scan found = scan(joint, n_held + n_more, &length);
        if (found == SCAN_CUT) {
            memcpy(stream->held, joint, n_held + n_more);
            stream->n_held = (uint8_t)(n_held + n_more);
            return 0;
        }
        if (found == SCAN_WHOLE) {
            memcpy(out, joint, length);
            n_out = length;
        } else {
            n_out = replace(out);
        }
        i = length - n_held;
        stream->n_held = 0;
    }
    while (i < n) {
        enum utf8_scan found = scan(p + i, n - i, &length);
        if (found == SCAN_CUT) {
            memcpy(stream->held, p + i, n - i);
            stream->n_held = (uint8_t)(n - i);
            break;
        }
        if (found == SCAN_WHOLE) {
            memcpy(out + n_out, p + i, length);
            n_out += length;
        } else {
            n_out += replace(out + n_out);
        }
        i += length;
    }
    return n_out;
}

size_t utf8_stream_end(struct utf8_stream *stream, char out[3])
{
    if (stream->n_held == 0)
        return 0;
    stream->n_held = 0;
    return replace(out);
}
