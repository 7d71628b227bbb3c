/* fuzz_guard.c - any bytes as what a client sends, cut in any way: the first byte draws the cuts.
 *
 * However they are cut, the verdict is the same, and what is passed on before a fault or an end is
 * the same messages. What is passed on holds no NUL in a head, and no line that begins with a
 * colon.
 */
#include "fuzz/fuzz.h"
#include "server/http/guard.h"

#include <string.h>

enum { HEAD_MAX = 512 };

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
    return 0;
}
