/* pretokenizer.c - the walk that applies a rule set to a text, with PCRE2.
 *
 * PCRE2 never sees the text, only its characters' classes, one byte each: which letters and digits
 * there are is not left to the version of Unicode that the machine's PCRE2 knows. The walk is an
 * explicit stack, one level a pattern, so that words come out one by one. Groups of digits, counted
 * from a number's end, are cut here: as a pattern each group would look for that end anew.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/tokenizer/pretokenizer.h"

#include "text/tokenizer/rules.h"

#include <pcre2.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pretokenizer {
    const struct word_rules *rules;
    struct char_table *table;            /* owned */
    pcre2_code *codes[RULES_MAX_STAGES]; /* owned */
    size_t n_stages;
    char name[32];
};

/* One part being cut: what is left of it, and the match found beyond a gap. In class bytes, that is
 * characters, from the text's start. */
struct level {
    size_t begin, at, end;
    size_t match_begin, match_end; /* match_end = 0: none pending */
    size_t number_end;             /* of the digits at hand, where they are cut into groups */
};

struct pretokenizer_run {
    const struct pretokenizer *pretokenizer; /* borrowed */
    pcre2_match_data *data;                  /* owned */
    pcre2_match_context *context;            /* owned */
    const char *text;                        /* borrowed */
    uint8_t *classes;                        /* owned: the text's, one byte a character */
    size_t n_classes, capacity;
    size_t n_bytes; /* of the text */
    size_t byte_at; /* where the next word begins in the text */
    struct level levels[RULES_MAX_STAGES + 1];
    size_t depth; /* levels in use */
};

static enum status unknown_name(const char *name, size_t n, struct error *err)
{
    char known[320];
    rules_list(known, sizeof known);
    return error_set_param(err, STATUS_UNSUPPORTED, "tokenizer.ggml.pre",
                           "the pre-tokenizer \"%.*s\" is not known; known families: %s",
                           n > 32 ? 32 : (int)n, name, known);
}

static enum status compile(struct pretokenizer *pretokenizer, struct error *err)
{
    for (size_t i = 0; i < RULES_MAX_STAGES && pretokenizer->rules->patterns[i]; i++) {
        pretokenizer->n_stages = i + 1;
        if (pretokenizer->rules->patterns[i][0] == '#')
            continue;
        int code = 0;
        PCRE2_SIZE where = 0;
        pcre2_code *compiled = pcre2_compile(
            (PCRE2_SPTR)pretokenizer->rules->patterns[i], PCRE2_ZERO_TERMINATED,
            PCRE2_NEVER_UTF | PCRE2_NEVER_UCP | PCRE2_DOLLAR_ENDONLY, &code, &where, NULL);
        if (!compiled)
            return error_set(err,
                             code == PCRE2_ERROR_HEAP_FAILED ? STATUS_NO_MEMORY : STATUS_INTERNAL,
                             "PCRE2 refused pattern %zu of pre-tokenizer %s at %zu (error %d)", i,
                             pretokenizer->name, (size_t)where, code);
        pretokenizer->codes[i] = compiled;
        /* Where the machine or its policy has no JIT, pcre2_match interprets: slower, the same
         * words. */
        (void)pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE);
    }
    return STATUS_OK;
}

enum status pretokenizer_create(struct pretokenizer **out, const char *name, size_t n_name,
                                struct error *err)
{
    const struct word_rules *rules;
    if (n_name == 0) {
        name = "default";
        n_name = strlen(name);
    }
    rules = rules_find(name, n_name);
    if (!rules)
        return unknown_name(name, n_name, err);
    struct pretokenizer *pretokenizer = calloc(1, sizeof *pretokenizer);
    if (!pretokenizer)
        return error_no_memory(err, sizeof *pretokenizer, "the pre-tokenizer");
    pretokenizer->rules = rules;
    snprintf(pretokenizer->name, sizeof pretokenizer->name, "%.*s", (int)n_name, name);
    enum status status = char_table_create(&pretokenizer->table, rules->lists, err);
    if (status == STATUS_OK)
        status = compile(pretokenizer, err);
    if (status != STATUS_OK) {
        pretokenizer_destroy(pretokenizer);
        return status;
    }
    *out = pretokenizer;
    return STATUS_OK;
}

void pretokenizer_destroy(struct pretokenizer *pretokenizer)
{
    if (!pretokenizer)
        return;
    for (size_t i = 0; i < RULES_MAX_STAGES; i++)
        pcre2_code_free(pretokenizer->codes[i]);
    char_table_destroy(pretokenizer->table);
    free(pretokenizer);
}

const char *pretokenizer_name(const struct pretokenizer *pretokenizer)
{
    return pretokenizer->name;
}

bool pretokenizer_keeps_words(const struct pretokenizer *pretokenizer)
{
    return pretokenizer->rules->keeps_words;
}

bool pretokenizer_normalizes(const struct pretokenizer *pretokenizer)
{
    return pretokenizer->rules->normalizes;
}

bool pretokenizer_adds_bos(const struct pretokenizer *pretokenizer)
{
    return pretokenizer->rules->adds_bos;
}

enum status pretokenizer_run_create(struct pretokenizer_run **out,
                                    const struct pretokenizer *pretokenizer, struct error *err)
{
    struct pretokenizer_run *run = calloc(1, sizeof *run);
    if (!run)
        return error_no_memory(err, sizeof *run, "pre-tokenizing");
    run->pretokenizer = pretokenizer;
    run->data = pcre2_match_data_create(1, NULL);
    run->context = pcre2_match_context_create(NULL);
    if (!run->data || !run->context) {
        pretokenizer_run_destroy(run);
        return error_no_memory(err, 0, "pre-tokenizing");
    }
    /* The patterns nest two deep and stack nothing a character. */
    pcre2_set_depth_limit(run->context, 1000);
    pcre2_set_heap_limit(run->context, 64 << 10); /* KiB */
    *out = run;
    return STATUS_OK;
}

void pretokenizer_run_destroy(struct pretokenizer_run *run)
{
    if (!run)
        return;
    pcre2_match_data_free(run->data);
    pcre2_match_context_free(run->context);
    free(run->classes);
    free(run);
}

enum status pretokenizer_run_start(struct pretokenizer_run *run, const char *text, size_t n,
                                   struct error *err)
{
    if (n > run->capacity) {
        free(run->classes);
        run->capacity = 0;
        run->classes = malloc(n);
        if (!run->classes)
            return error_no_memory(err, n, "a text's character classes");
        run->capacity = n;
    }
    run->text = text;
    run->n_bytes = n;
    run->byte_at = 0;
    run->n_classes = char_table_translate(run->pretokenizer->table, text, n, run->classes);
    run->levels[0] = (struct level){.end = run->n_classes};
    run->depth = 1;
    /* A pattern takes a few steps a character; the limit is for patterns that would take more. */
    size_t limit = 1000000 + 64 * n;
    pcre2_set_match_limit(run->context, limit < UINT32_MAX ? (uint32_t)limit : UINT32_MAX);
    return STATUS_OK;
}

static bool is_digit(uint8_t class)
{
    return (class >= '0' && class <= '9') || (class >= 0x80 && (class & 0xf) == CHAR_ND);
}

/* Would a letter, mark or number of this class go on with a number's word? */
static bool is_of_word(uint8_t class)
{
    if (class < 0x80)
        return (class >= 'a' && class <= 'z') || (class >= 'A' && class <= 'Z') || class == '_' ||
               is_digit(class);
    unsigned kind = class & 0xf;
    return (kind >= CHAR_LU && kind <= CHAR_N) || kind == CHAR_LONG_S || kind == CHAR_ND;
}

/* Leaves the next group of up to three digits pending, so that full groups stand at the number's
 * end. A number is looked through once, however many groups it has. */
static void find_group(struct pretokenizer_run *run, const char *kind, struct level *level)
{
    const uint8_t *classes = run->classes;
    size_t begin = level->at;
    while (begin >= level->number_end && begin < level->end) {
        while (begin < level->end && !is_digit(classes[begin]))
            begin++;
        size_t end = begin;
        while (end < level->end && is_digit(classes[end]))
            end++;
        level->number_end = end;
        if (strcmp(kind, RULES_WHOLE_GROUPS) == 0 && end < level->end && is_of_word(classes[end]))
            begin = end; /* the number stays as it is */
    }
    if (begin >= level->end)
        return;
    size_t n_first = (level->number_end - begin) % 3;
    level->match_begin = begin;
    level->match_end = begin + (n_first ? n_first : 3);
}

/* The same where the text is only cut before a full group: leaves pending what comes before it. */
static void find_cut(struct pretokenizer_run *run, struct level *level)
{
    const uint8_t *classes = run->classes;
    size_t at = level->at;
    for (size_t begin = at; begin < level->end;) {
        if (begin >= level->number_end) {
            while (begin < level->end && !is_digit(classes[begin]))
                begin++;
            level->number_end = begin;
            while (level->number_end < level->end && is_digit(classes[level->number_end]))
                level->number_end++;
        }
        size_t cut = begin + (level->number_end - begin) % 3;
        cut += cut == at ? 3 : 0;
        if (cut < level->number_end) {
            level->match_begin = at;
            level->match_end = cut;
            return;
        }
        begin = level->number_end;
    }
}

/* Looks for the next match of a level's pattern and leaves it pending; none: match_end stays 0. */
static enum status find(struct pretokenizer_run *run, const pcre2_code *code, struct level *level,
                        struct error *err)
{
    PCRE2_SPTR part = run->classes + level->begin;
    size_t n = level->end - level->begin;
    size_t from = level->at - level->begin;
    int rc = pcre2_match(code, part, n, from, 0, run->data, run->context);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(code, part, n, from, PCRE2_NO_JIT, run->data, run->context);
    if (rc == PCRE2_ERROR_NOMATCH)
        return STATUS_OK;
    if (rc < 0) {
        PCRE2_UCHAR why[128];
        if (pcre2_get_error_message(rc, why, sizeof why) < 0)
            why[0] = '\0';
        return error_set(err, rc == PCRE2_ERROR_NOMEMORY ? STATUS_NO_MEMORY : STATUS_TOO_LARGE,
                         "the text cannot be cut into words: %s (PCRE2 error %d)",
                         (const char *)why, rc);
    }
    const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(run->data);
    if (ends[1] > ends[0]) {
        level->match_begin = level->begin + ends[0];
        level->match_end = level->begin + ends[1];
    }
    return STATUS_OK;
}

static enum status find_next(struct pretokenizer_run *run, size_t stage, struct level *level,
                             struct error *err)
{
    const char *pattern = run->pretokenizer->rules->patterns[stage];
    if (run->pretokenizer->codes[stage])
        return find(run, run->pretokenizer->codes[stage], level, err);
    if (strcmp(pattern, RULES_BEFORE) == 0)
        find_cut(run, level);
    else
        find_group(run, pattern, level);
    return STATUS_OK;
}

/* The text of the next n_chars characters: words come from left to right with nothing between. */
static void take_word(struct pretokenizer_run *run, size_t n_chars, const char **word, size_t *n)
{
    bool is_ascii = run->n_classes == run->n_bytes;
    *word = run->text + run->byte_at;
    *n = is_ascii ? n_chars : chars_to_bytes(*word, n_chars);
    run->byte_at += *n;
}

enum status pretokenizer_run_next(struct pretokenizer_run *run, const char **word, size_t *n,
                                  struct error *err)
{
    const struct pretokenizer *pretokenizer = run->pretokenizer;
    while (run->depth > 0) {
        struct level *level = &run->levels[run->depth - 1];
        if (level->at == level->end) {
            run->depth--;
            continue;
        }
        if (run->depth > pretokenizer->n_stages) { /* cut by every pattern */
            take_word(run, level->end - level->at, word, n);
            run->depth--;
            return STATUS_OK;
        }
        if (level->match_end == 0) {
            enum status status = find_next(run, run->depth - 1, level, err);
            if (status != STATUS_OK)
                return status;
        }
        /* The part up to the match, or the match itself, or all that is left. */
        size_t begin = level->at;
        if (level->match_end == 0) {
            level->at = level->end;
        } else if (level->match_begin > begin) {
            level->at = level->match_begin;
        } else {
            level->at = level->match_end;
            level->match_end = 0;
        }
        run->levels[run->depth] = (struct level){.begin = begin, .at = begin, .end = level->at};
        run->depth++;
    }
    *word = NULL;
    *n = 0;
    return STATUS_OK;
}
