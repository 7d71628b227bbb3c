/* fuzz_guard.c - any bytes as what a client sends, cut in any way: the first byte draws the cuts.
 *
 * However they are cut, the verdict is the same, and what is passed on before a fault or an end is
 * the same messages. What is passed on holds no NUL in a head, and no line that begins with a
 * colon; and of a request that is served, the guard and headers.c see the same end.
 */
#include "fuzz/fuzz.h"
#include "server/http/guard.h"
#include "server/http/headers.h"

#include <string.h>

enum { HEAD_MAX = 512 };

static char *copies[GUARD_FIELDS_MAX]; /* of values, NUL-terminated as the library has them */
static size_t n_copies;

/* Returns how many bytes were passed on. */
static size_t feed(struct guard *guard, const char *bytes, size_t n, size_t step)
{
    size_t n_passed = 0;
    guard_init(guard, HEAD_MAX);
    for (size_t i = 0; i < n; i += step) {
        size_t n_part = step < n - i ? step : n - i;
        size_t n_here = guard_look(guard, bytes + i, n_part);
        FUZZ_CHECK(n_here <= n_part, "%zu of %zu", n_here, n_part);
        n_passed += n_here;
        if (guard->state == GUARD_FAULT || guard->state == GUARD_ENDED)
            break;
        FUZZ_CHECK(n_here == n_part, "%zu of %zu", n_here, n_part);
    }
    return n_passed;
}

/* A message without a body, as it was passed on: up to its empty line every line ends with CR and
 * LF. */
static void check_lines(const char *bytes, size_t n)
{
    const char *end = memmem(bytes, n, "\r\n\r\n", 4);
    size_t n_head = end != NULL ? (size_t)(end - bytes) : n;
    FUZZ_CHECK(memchr(bytes, '\0', n_head) == NULL, "a NUL in a head");
    for (size_t i = 1; i < n_head; i++) {
        FUZZ_CHECK(bytes[i] != '\n' || bytes[i - 1] == '\r', "an LF alone");
        FUZZ_CHECK(bytes[i] != ':' || bytes[i - 1] != '\n', "an empty name");
        FUZZ_CHECK((bytes[i] != ' ' && bytes[i] != '\t') || bytes[i - 1] != '\n', "a folded line");
    }
}

/* A head's fields as the library hands them on: without the blanks before a value, with those after
 * it. */
static void take_fields(struct headers *headers, const char *head, size_t n)
{
    const char *line = head, *end = memmem(head, n, "\r\n", 2);
    for (line = end + 2; line + 2 < head + n; line = end + 2) {
        end = memmem(line, (size_t)(head + n - line), "\r\n", 2);
        const char *colon = memchr(line, ':', (size_t)(end - line)), *value = colon + 1;
        while (value < end && (*value == ' ' || *value == '\t'))
            value++;
        size_t n_value = (size_t)(end - value);
        char *copy = malloc(n_value + 1); /* freed with the others */
        FUZZ_CHECK(copy != NULL && n_copies < GUARD_FIELDS_MAX, "%zu", n_copies);
        copies[n_copies++] = copy;
        memcpy(copy, value, n_value);
        copy[n_value] = '\0';
        headers_take(headers, line, (size_t)(colon - line), copy, n_value);
    }
}

/* The first head, read by the guard and by the service's own check: both must see the same end of
 * its message, as the library does, which knows a coding only by its bare name. */
static void check_framing(const char *bytes, size_t n)
{
    struct guard guard;
    struct headers headers = {.host = NULL};
    enum refusal refusal;
    const char *why;
    size_t i = 0, begin = n > 1 && bytes[0] == '\r' ? 2 : 0;
    guard_init(&guard, HEAD_MAX);
    while (i < n && guard.n_heads == 0 && guard_look(&guard, bytes + i, 1) == 1)
        i++;
    if (guard.n_heads == 0)
        return;
    take_fields(&headers, bytes + begin, i - begin);
    const char *version = memmem(bytes, i, "HTTP/1.0\r\n", 10) != NULL ? "HTTP/1.0" : "HTTP/1.1";
    if (headers_check(&headers, version, &refusal, &why)) {
        FUZZ_CHECK(!guard.doubtful, "served, though its end is in doubt");
        FUZZ_CHECK(headers.chunked == (guard.state == GUARD_SIZE), "%d", (int)guard.state);
        FUZZ_CHECK(headers.n_body == guard.n_left, "%zu", (size_t)guard.n_left);
    }
    while (n_copies > 0)
        free(copies[--n_copies]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    const char *bytes = (const char *)data + 1;
    size_t n = size - 1;
    struct guard whole, cut;
    size_t n_whole = feed(&whole, bytes, n, n), n_cut = feed(&cut, bytes, n, 1u + data[0] % 40u);
    FUZZ_CHECK(whole.state == cut.state, "%d and %d", (int)whole.state, (int)cut.state);
    if (whole.state == GUARD_FAULT) {
        FUZZ_CHECK(whole.refusal == cut.refusal && whole.why == cut.why, "%s, %s", whole.why,
                   cut.why);
        FUZZ_CHECK(n_cut >= n_whole, "%zu and %zu", n_cut, n_whole);
        FUZZ_CHECK(cut.n_heads >= whole.n_heads && cut.n_heads <= whole.n_heads + 1, "heads");
    } else {
        FUZZ_CHECK(n_cut == n_whole && cut.n_heads == whole.n_heads, "%zu and %zu", n_cut, n_whole);
    }
    if (n_whole > 0)
        check_lines(bytes, n_whole);
    check_framing(bytes, n);
    return 0;
}
