/* fuzz_grammar.h - what the targets of grammars share: a small vocabulary, and what must hold of
 * whatever was compiled.
 *
 * A refusal is a sentence. Else a text goes along the grammar by what its masks allow, drawn from
 * the input; each mask is what trying every token gives, a place always has a way to the end, and
 * that way is as long as the grammar says.
 */
#pragma once

#include "fuzz/fuzz.h"
#include "grammar/grammar.h"

#include <string.h>

enum { FUZZ_STEPS = 24, FUZZ_CLOSING = 400 };

static const struct grammar_limits fuzz_limits = {
    .n_bytes = (size_t)16 << 20, .n_states = 3000, .depth = 100};

static struct vocabulary_piece fuzz_pieces[300];
static size_t fuzz_n_pieces;

static const struct vocabulary *fuzz_vocabulary(void)
{
    static const char *const words[] = {"\"",   "\":",      "\",", "{\"",   "ab", "abc",
                                        "true", "\xC3\xA9", "\\n", "\\u00", "}}", "]",
                                        "12",   "0.5",      "  ",  "\n "};
    static struct vocabulary *v;
    static char bytes[256];
    struct error err;
    if (v != NULL)
        return v;
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (char)i;
        fuzz_pieces[fuzz_n_pieces++] = (struct vocabulary_piece){.bytes = &bytes[i], .n = 1};
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        fuzz_pieces[fuzz_n_pieces++] =
            (struct vocabulary_piece){.bytes = words[i], .n = strlen(words[i])};
    FUZZ_CHECK(vocabulary_create(&v, fuzz_pieces, fuzz_n_pieces, &err) == STATUS_OK, "memory");
    return v;
}

/* Whether the token may come, by its bytes; nothing changes. */
static bool fuzz_may_come(struct matcher *m, const struct vocabulary_piece *piece)
{
    static struct matcher_place rooms[2][MATCHER_PLACES];
    const size_t n_nodes = m->n_nodes;
    struct matcher_places from = m->now, to = {0};
    for (size_t i = 0; i < piece->n; i++) {
        to = (struct matcher_places){.at = rooms[i % 2], .room = MATCHER_PLACES};
        places_step(m, from.at, from.n, (uint8_t)piece->bytes[i], &to);
        from = to;
    }
    matcher_forget(m, n_nodes);
    return to.n > 0 || to.ended;
}

static void fuzz_close(struct matcher *m)
{
    for (uint32_t left = matcher_distance(m); left > 0 && left <= FUZZ_CLOSING; left--) {
        bool closer = false;
        for (int byte = 0; byte < 256 && !closer; byte++) {
            static struct matcher_place room[MATCHER_PLACES];
            struct matcher_places to = {.at = room, .room = MATCHER_PLACES};
            const size_t n_nodes = m->n_nodes;
            const char c = (char)byte;
            places_step(m, m->now.at, m->now.n, (uint8_t)byte, &to);
            closer = (to.n > 0 || to.ended) && places_distance(m, &to) == left - 1;
            matcher_forget(m, n_nodes);
            if (closer)
                FUZZ_CHECK(matcher_take(m, &c, 1), "a byte that may come");
        }
        FUZZ_CHECK(closer || m->now.ambiguous, "%u bytes are left, and none leads on", left);
        if (!closer)
            return;
    }
}

static void fuzz_walk(const struct grammar *g, const uint8_t *data, size_t size)
{
    static struct mask_scratch *scratch;
    struct matcher *m = NULL;
    struct error err;
    if (scratch == NULL)
        FUZZ_CHECK(mask_scratch_create(&scratch, fuzz_vocabulary(), &err) == STATUS_OK, "memory");
    FUZZ_CHECK(matcher_create(&m, g->automaton, &err) == STATUS_OK, "memory");
    for (size_t step = 0; step < FUZZ_STEPS; step++) {
        uint64_t bits[8] = {0};
        size_t n = masks_fill(g->masks, m, scratch, bits), n_right = 0;
        bool ambiguous = m->now.ambiguous || m->overran;
        for (size_t i = 0; i < fuzz_n_pieces; i++) {
            const bool right = fuzz_may_come(m, &fuzz_pieces[i]);
            const bool set = (bits[i / 64] >> i % 64 & 1) != 0;
            FUZZ_CHECK(ambiguous || set == right, "token %zu at step %zu", i, step);
            n_right += set;
        }
        FUZZ_CHECK(n == n_right, "%zu are set, not %zu", n_right, n);
        FUZZ_CHECK(matcher_distance(m) != DISTANCE_NONE, "no way to the end");
        if (n == 0)
            break;
        size_t left = (size > 0 ? data[step * 7 % size] : 0) * (step + 1) % n, i = 0;
        for (;; i++)
            if ((bits[i / 64] >> i % 64 & 1) != 0 && left-- == 0)
                break;
        if (!matcher_take(m, fuzz_pieces[i].bytes, fuzz_pieces[i].n)) {
            FUZZ_CHECK(ambiguous, "a token that may come");
            break;
        }
    }
    if (!m->now.ambiguous)
        fuzz_close(m);
    matcher_destroy(m);
}

/* What was compiled, or why it was not. */
static void fuzz_result(enum status status, struct grammar *g, const struct error *err,
                        const uint8_t *data, size_t size)
{
    if (status == STATUS_OK) {
        fuzz_walk(g, data, size);
        grammar_release(g);
        return;
    }
    FUZZ_CHECK(g == NULL && err->status == status && err->text[0] != '\0', "status %d", status);
    FUZZ_CHECK(status == STATUS_INVALID || status == STATUS_UNSUPPORTED ||
                   status == STATUS_TOO_LARGE,
               "status %d: %s", status, err->text);
}
