/* thompson.c - expressions become states, from the end to the beginning. See thompson.h.
 *
 * A repetition of at most n is n copies. Copies far from both ends of the repetition allow the
 * same tokens: a token is too short to reach where they differ. Their states are marked as alike,
 * so that one mask serves all of them.
 */
#include "grammar/thompson.h"

#include "grammar/multiple.h"
#include "grammar/twin.h"
#include "grammar/until.h"

#include <string.h>

enum {
    INLINE_STATES = 24, /* a rule of at most so many is inlined wherever it is used */
    INLINE_DEPTH = 64,  /* rules inside rules, beyond which even a rule used once is called */
    SIZE_MOST = 1 << 20
};

struct making {
    struct nfa *nfa;
    struct grammar_builder *b;
    unsigned inlined; /* rules around */
};

/* --- which rules are inlined --- */

struct rule_facts {
    uint32_t *callees; /* [n_callees] with repetitions */
    size_t n_callees, room;
    size_t n_open; /* callees that are not in order yet */
    size_t n_uses;
    size_t size; /* states, about */
};

static void add_callee(struct grammar_builder *b, struct rule_facts *facts, uint32_t rule)
{
    if (facts->n_callees == facts->room) {
        size_t room = facts->room > 0 ? 2 * facts->room : 4;
        uint32_t *more = expr_alloc(b, room, sizeof *more);
        if (more == NULL)
            return;
        if (facts->n_callees > 0)
            memcpy(more, facts->callees, facts->n_callees * sizeof *more);
        facts->callees = more;
        facts->room = room;
    }
    facts->callees[facts->n_callees++] = rule;
}

static void find_callees(struct grammar_builder *b, struct rule_facts *facts, const struct expr *e)
{
    switch (e->kind) {
    case EXPR_RULE:
        add_callee(b, facts, e->rule);
        break;
    case EXPR_SEQUENCE:
    case EXPR_CHOICE:
    case EXPR_BOTH:
    case EXPR_BUT:
        for (size_t i = 0; i < e->parts.n; i++)
            find_callees(b, facts, e->parts.at[i]);
        break;
    case EXPR_REPEAT:
        find_callees(b, facts, e->repeat.of);
        break;
    case EXPR_TEXT:
    case EXPR_CLASS:
    case EXPR_UNTIL:
    case EXPR_MULTIPLE:
        break;
    }
}

/* About how many states it makes, SIZE_MOST at most; rules that are inlined count as themselves. */
static size_t size_of(const struct nfa *nfa, const struct rule_facts *facts, const struct expr *e)
{
    size_t size = 1;
    switch (e->kind) {
    case EXPR_TEXT:
        size = e->text.n;
        break;
    case EXPR_CLASS:
        size = e->class.n * 2;
        break;
    case EXPR_SEQUENCE:
    case EXPR_CHOICE:
    case EXPR_BOTH:
    case EXPR_BUT:
        for (size_t i = 0; i < e->parts.n && size < SIZE_MOST; i++)
            size += size_of(nfa, facts, e->parts.at[i]) + 1;
        break;
    case EXPR_REPEAT: {
        size_t copies = e->repeat.max == EXPR_MANY ? e->repeat.min + 1u : e->repeat.max;
        size_t one = size_of(nfa, facts, e->repeat.of) + 1;
        size = copies < SIZE_MOST / one ? copies * one : SIZE_MOST;
        break;
    }
    case EXPR_RULE:
        size = nfa->inlined[e->rule] ? facts[e->rule].size : 1;
        break;
    case EXPR_MULTIPLE:
        size = 11u * e->multiple.m;
        break;
    case EXPR_UNTIL:
        for (size_t i = 0; i < e->until.n && size < SIZE_MOST; i++)
            size += 4 * e->until.triggers[i].n;
        break;
    }
    return size < SIZE_MOST ? size : SIZE_MOST;
}

/* Rules in the order in which all that a rule calls comes before it; those that are left over
 * recurse, or use what recurses, and are never inlined. */
static bool choose_inlined(struct nfa *nfa, struct grammar_builder *b, struct rule_facts *facts,
                           size_t n)
{
    size_t *first_user = expr_alloc(b, n + 1, sizeof *first_user);
    if (first_user == NULL)
        return false;
    size_t n_all = 0;
    for (size_t i = 0; i < n; i++)
        n_all += facts[i].n_callees;
    uint32_t *users = expr_alloc(b, n_all + 1, sizeof *users);
    uint32_t *ready = expr_alloc(b, n + 1, sizeof *ready);
    size_t *filled = expr_alloc(b, n + 1, sizeof *filled);
    if (users == NULL || ready == NULL || filled == NULL)
        return false;
    for (size_t i = 0, at = 0; i < n; at += facts[i].n_uses, i++)
        first_user[i] = filled[i] = at;
    size_t n_ready = 0;
    for (size_t i = 0; i < n; i++) {
        facts[i].n_open = facts[i].n_callees;
        for (size_t k = 0; k < facts[i].n_callees; k++)
            users[filled[facts[i].callees[k]]++] = (uint32_t)i;
        if (facts[i].n_open == 0)
            ready[n_ready++] = (uint32_t)i;
    }
    for (size_t i = 0; i < n_ready; i++) {
        uint32_t rule = ready[i];
        facts[rule].size = size_of(nfa, facts, rule_expr(b, rule));
        nfa->inlined[rule] = facts[rule].size <= INLINE_STATES || facts[rule].n_uses == 1;
        for (size_t k = 0; k < facts[rule].n_uses; k++) {
            struct rule_facts *user = &facts[users[first_user[rule] + k]];
            if (--user->n_open == 0)
                ready[n_ready++] = users[first_user[rule] + k];
        }
    }
    return true;
}

bool thompson_begin(struct nfa *nfa, struct grammar_builder *b, uint32_t root, size_t longest,
                    size_t n_states_most)
{
    size_t n = expr_n_rules(b);
    struct rule_facts *facts = expr_alloc(b, n, sizeof *facts);
    *nfa = (struct nfa){.n_most = n_states_most,
                        .longest = longest,
                        .starts = expr_alloc(b, n, sizeof *nfa->starts),
                        .inlined = expr_alloc(b, n, sizeof *nfa->inlined)};
    if (facts == NULL || nfa->starts == NULL || nfa->inlined == NULL)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        nfa->starts[i] = NFA_UNMADE;
        if (rule_expr(b, i) == NULL)
            expr_fail(b, STATUS_INVALID, "the rule \"%s\" is used and not defined",
                      rule_name(b, i));
        else
            find_callees(b, &facts[i], rule_expr(b, i));
        if (expr_status(b) != STATUS_OK)
            return false;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < facts[i].n_callees; k++)
            facts[facts[i].callees[k]].n_uses++;
    if (!choose_inlined(nfa, b, facts, n))
        return false;
    nfa->inlined[root] = false;
    return true;
}

/* --- states --- */

static uint32_t add_state(struct making *m, struct nfa_state state)
{
    return nfa_add(m->nfa, m->b, state);
}

static uint32_t split(struct making *m, uint32_t next, uint32_t other)
{
    return add_state(m, (struct nfa_state){.kind = NFA_SPLIT, .next = next, .other = other});
}

/* One byte of a range, then next: the one that this class has already, or a new one. */
static uint32_t byte_state(struct making *m, size_t begin, uint8_t first, uint8_t last,
                           uint32_t next)
{
    for (size_t i = begin; i < m->nfa->n; i++) {
        const struct nfa_state *s = &m->nfa->states[i];
        if (s->kind == NFA_BYTES && s->first == first && s->last == last && s->next == next)
            return (uint32_t)i;
    }
    return add_state(
        m, (struct nfa_state){.kind = NFA_BYTES, .first = first, .last = last, .next = next});
}

/* --- characters as UTF-8 --- */

static size_t encode(uint32_t cp, uint8_t out[4])
{
    if (cp < 0x80) {
        out[0] = (uint8_t)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (uint8_t)(0xC0 | cp >> 6);
        out[1] = (uint8_t)(0x80 | (cp & 0x3F));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (uint8_t)(0xE0 | cp >> 12);
        out[1] = (uint8_t)(0x80 | (cp >> 6 & 0x3F));
        out[2] = (uint8_t)(0x80 | (cp & 0x3F));
        return 3;
    }
    out[0] = (uint8_t)(0xF0 | cp >> 18);
    out[1] = (uint8_t)(0x80 | (cp >> 12 & 0x3F));
    out[2] = (uint8_t)(0x80 | (cp >> 6 & 0x3F));
    out[3] = (uint8_t)(0x80 | (cp & 0x3F));
    return 4;
}

struct characters { /* of one class, on their way into states */
    size_t begin;   /* its first state */
    uint32_t next;  /* what follows the class */
    uint32_t entry; /* the alternatives so far */
    bool has_entry;
};

static void add_alternative(struct making *m, struct characters *c, uint32_t entry)
{
    c->entry = c->has_entry ? split(m, entry, c->entry) : entry;
    c->has_entry = true;
}

/* Characters first..last of one length in UTF-8, which differ only in bytes that may take all of
 * their values, or are one range: split until that is so. */
static void add_characters(struct making *m, struct characters *c, uint32_t first, uint32_t last)
{
    static const uint32_t ends[] = {0x7F, 0x7FF, 0xD7FF, 0xDFFF, 0xFFFF};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (first <= ends[i] && last > ends[i]) {
            add_characters(m, c, first, ends[i]);
            add_characters(m, c, ends[i] + 1, last);
            return;
        }
    if (first >= 0xD800 && last <= 0xDFFF)
        return; /* surrogates are no characters */
    for (unsigned bits = 6; last >= 0x80 && bits <= 18; bits += 6) {
        uint32_t low = (1u << bits) - 1;
        if (first >> bits == last >> bits)
            break; /* the bytes before are the same */
        if ((first & low) != 0) {
            add_characters(m, c, first, first | low);
            add_characters(m, c, (first | low) + 1, last);
            return;
        }
        if ((last & low) != low) {
            add_characters(m, c, first, (last & ~low) - 1);
            add_characters(m, c, last & ~low, last);
            return;
        }
    }
    uint8_t a[4], z[4];
    size_t n = encode(first, a);
    encode(last, z);
    uint32_t entry = c->next;
    while (n-- > 0)
        entry = byte_state(m, c->begin, a[n], z[n], entry);
    add_alternative(m, c, entry);
}

static uint32_t make_class(struct making *m, const struct expr *e, uint32_t next)
{
    struct characters c = {.begin = m->nfa->n, .next = next};
    for (size_t i = e->class.n; i-- > 0;)
        add_characters(m, &c, e->class.ranges[i].first, e->class.ranges[i].last);
    if (!c.has_entry) /* nothing matches: a state without a way on */
        return byte_state(m, c.begin, 1, 0, next);
    return c.entry;
}

/* --- expressions --- */

static uint32_t make(struct making *m, const struct expr *e, uint32_t next);

/* The least bytes that it reads; rules count as none, which is always safe. */
static size_t least_bytes(const struct expr *e)
{
    size_t least = 0;
    switch (e->kind) {
    case EXPR_TEXT:
        return e->text.n;
    case EXPR_CLASS:
        return 1;
    case EXPR_SEQUENCE:
        for (size_t i = 0; i < e->parts.n && least < SIZE_MOST; i++)
            least += least_bytes(e->parts.at[i]);
        return least;
    case EXPR_CHOICE:
        least = SIZE_MOST;
        for (size_t i = 0; i < e->parts.n; i++) {
            size_t one = least_bytes(e->parts.at[i]);
            least = one < least ? one : least;
        }
        return least;
    case EXPR_REPEAT:
        least = e->repeat.min > 0 ? least_bytes(e->repeat.of) : 0;
        return least < SIZE_MOST / (e->repeat.min + 1u) ? least * e->repeat.min : SIZE_MOST;
    case EXPR_BOTH:
    case EXPR_BUT:
        return least_bytes(e->parts.at[0]);
    case EXPR_UNTIL:
        return e->until.which != EXPR_NONE ? e->until.triggers[e->until.which].n : 0;
    case EXPR_MULTIPLE:
        return 1;
    case EXPR_RULE:
        break;
    }
    return 0;
}

/* Copy i, whose states are n from begin on, allows what the copy at like allows. */
static void mark_alike(struct nfa *nfa, size_t begin, size_t n, size_t like)
{
    for (size_t i = 0; i < n; i++)
        nfa->states[begin + i].like = nfa->states[like + i].like;
}

static uint32_t make_repeat(struct making *m, const struct expr *e, uint32_t next)
{
    const struct expr *of = e->repeat.of;
    const uint32_t min = e->repeat.min, max = e->repeat.max;
    const size_t least = least_bytes(of);
    /* so many copies further on may a token reach */
    const size_t reach = least > 0 ? m->nfa->longest / least + 1 : SIZE_MAX / 2;
    uint32_t entry = next;
    if (max == EXPR_MANY) {
        entry = split(m, 0, next);
        uint32_t body = make(m, of, entry);
        if (expr_status(m->b) == STATUS_OK)
            m->nfa->states[entry].next = body;
    }
    size_t like_optional = SIZE_MAX, like_needed = SIZE_MAX;
    for (uint32_t i = max == EXPR_MANY ? min : max; i-- > 0;) {
        size_t begin = m->nfa->n;
        entry = make(m, of, entry);
        if (i >= min)
            entry = split(m, entry, next);
        if (expr_status(m->b) != STATUS_OK)
            return 0;
        size_t *like = i >= min ? &like_optional : &like_needed;
        if (i + reach >= (i >= min ? max : min))
            continue; /* near the end of its kind */
        if (*like == SIZE_MAX)
            *like = begin;
        else
            mark_alike(m->nfa, begin, m->nfa->n - begin, *like);
    }
    return entry;
}

static uint32_t make_rule(struct making *m, uint32_t rule, uint32_t next)
{
    if (m->nfa->inlined == NULL) /* no grammar, only one expression */
        expr_fail(m->b, STATUS_UNSUPPORTED, "what calls other rules cannot be compared");
    else if (!m->nfa->inlined[rule] || m->inlined >= INLINE_DEPTH)
        return add_state(m, (struct nfa_state){.kind = NFA_CALL, .rule = rule, .next = next});
    if (expr_status(m->b) != STATUS_OK)
        return 0;
    m->inlined++;
    uint32_t entry = make(m, rule_expr(m->b, rule), next);
    m->inlined--;
    return entry;
}

/* Two automata side by side, in states of their own. */
static uint32_t make_twin(struct making *m, const struct expr *e, uint32_t next)
{
    struct nfa own = {.n_most = m->nfa->n_most, .inlined = m->nfa->inlined};
    struct making inner = {.nfa = &own, .b = m->b, .inlined = m->inlined};
    struct twin p = {.of = &own, .b = m->b, .without = e->kind == EXPR_BUT};
    for (int i = 0; i < 2; i++) {
        p.ends[i] = add_state(&inner, (struct nfa_state){.kind = NFA_ACCEPT});
        p.starts[i] = make(&inner, e->parts.at[i], p.ends[i]);
    }
    if (expr_status(m->b) != STATUS_OK || !twin_find(&p))
        return 0;
    return twin_make(&p, m->nfa, next);
}

/* The state where e begins, if next follows it. */
static uint32_t make(struct making *m, const struct expr *e, uint32_t next)
{
    if (expr_status(m->b) != STATUS_OK)
        return 0;
    uint32_t entry = next;
    switch (e->kind) {
    case EXPR_TEXT:
        for (size_t i = e->text.n; i-- > 0;) {
            uint8_t byte = (uint8_t)e->text.bytes[i];
            entry = byte_state(m, m->nfa->n, byte, byte, entry);
        }
        return entry;
    case EXPR_CLASS:
        return make_class(m, e, next);
    case EXPR_SEQUENCE:
        for (size_t i = e->parts.n; i-- > 0;)
            entry = make(m, e->parts.at[i], entry);
        return entry;
    case EXPR_CHOICE:
        if (e->parts.n == 0)
            return byte_state(m, m->nfa->n, 1, 0, next);
        entry = make(m, e->parts.at[e->parts.n - 1], next);
        for (size_t i = e->parts.n - 1; i-- > 0;)
            entry = split(m, make(m, e->parts.at[i], next), entry);
        return entry;
    case EXPR_REPEAT:
        return make_repeat(m, e, next);
    case EXPR_RULE:
        return make_rule(m, e->rule, next);
    case EXPR_UNTIL:
        return until_make(m->nfa, m->b, e, next);
    case EXPR_MULTIPLE:
        return multiple_make(m->nfa, m->b, e, next);
    case EXPR_BOTH:
    case EXPR_BUT:
        return make_twin(m, e, next);
    }
    return entry;
}

uint32_t thompson_rule(struct nfa *nfa, struct grammar_builder *b, uint32_t rule)
{
    if (nfa->starts[rule] == NFA_UNMADE) {
        struct making m = {.nfa = nfa, .b = b};
        uint32_t end = add_state(&m, (struct nfa_state){.kind = NFA_ACCEPT});
        nfa->starts[rule] = make(&m, rule_expr(b, rule), end);
    }
    return nfa->starts[rule];
}

bool thompson_one(struct nfa *nfa, struct grammar_builder *b, const struct expr *e,
                  size_t n_states_most, uint32_t *start)
{
    *nfa = (struct nfa){.n_most = n_states_most};
    struct making m = {.nfa = nfa, .b = b};
    uint32_t end = add_state(&m, (struct nfa_state){.kind = NFA_ACCEPT});
    *start = make(&m, e, end);
    return expr_status(b) == STATUS_OK;
}
