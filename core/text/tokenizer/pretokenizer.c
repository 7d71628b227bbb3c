/* pretokenizer.c - the rule sets, as one table of names and patterns, and the walk that applies
 * them with PCRE2.
 *
 * The walk is an explicit stack, one level a pattern, so that words come out one by one and a text
 * of any length needs no memory of its own. Every pattern is written so that a run of n characters
 * costs O(n) however it ends: single classes under the repeats (nothing is stacked a character), no
 * repeat that could begin at each place of a run and fail at its end.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/tokenizer/pretokenizer.h"

#include <pcre2.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Unicode's White_Space, for the inside of a class. Not \s: PCRE2 counts U+180E among it, which
 * left in Unicode 6.3. */
#define WS                                                                                         \
    "\\t-\\r \\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}"       \
    "\\x{3000}"
#define LAST_SPACES "[" WS "]+(?![^" WS "])|[" WS "]+"

#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^" WS "\\p{L}\\p{N}]+|" LAST_SPACES

#define CL100K(digits)                                                                             \
    "'(?:[sS]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits    \
    "| ?[^" WS "\\p{L}\\p{N}]+[\\r\\n]*|[" WS "]*[\\r\\n]+|" LAST_SPACES

#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define TEKKEN                                                                                     \
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER            \
    "*|\\p{N}|"                                                                                    \
    " ?[^" WS "\\p{L}\\p{N}]+[\\r\\n/]*|[" WS "]*[\\r\\n]+|" LAST_SPACES

/* The letters that have case, as DeepSeek lists them. */
#define CASED                                                                                      \
    "A-Za-z\\x{b5}\\x{c0}-\\x{d6}\\x{d8}-\\x{f6}\\x{f8}-\\x{1ba}\\x{1bc}-\\x{1bf}\\x{1c4}-\\x{"    \
    "293}"                                                                                         \
    "\\x{295}-\\x{2af}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37b}-\\x{37d}\\x{37f}\\x{386}"          \
    "\\x{388}-\\x{38a}\\x{38c}\\x{38e}-\\x{3a1}\\x{3a3}-\\x{3f5}\\x{3f7}-\\x{481}\\x{48a}-\\x{"    \
    "52f}"                                                                                         \
    "\\x{531}-\\x{556}\\x{10a0}-\\x{10c5}\\x{13a0}-\\x{13f5}\\x{13f8}-\\x{13fd}\\x{1c90}-\\x{"     \
    "1cba}"                                                                                        \
    "\\x{1cbd}-\\x{1cbf}\\x{1d00}-\\x{1d2b}\\x{1d6b}-\\x{1d77}\\x{1d79}-\\x{1d9a}"                 \
    "\\x{1e00}-\\x{1f15}\\x{1f18}-\\x{1f1d}\\x{1f20}-\\x{1f45}\\x{1f48}-\\x{1f4d}"                 \
    "\\x{1f50}-\\x{1f57}\\x{1f59}\\x{1f5b}\\x{1f5d}\\x{1f5f}-\\x{1f7d}\\x{1f80}-\\x{1fb4}"         \
    "\\x{1fb6}-\\x{1fbc}\\x{1fbe}\\x{1fc2}-\\x{1fc4}\\x{1fc6}-\\x{1fcc}\\x{1fd0}-\\x{1fd3}"        \
    "\\x{1fd6}-\\x{1fdb}\\x{1fe0}-\\x{1fec}\\x{1ff2}-\\x{1ff4}\\x{1ff6}-\\x{1ffc}\\x{2102}\\x{"    \
    "2107}"                                                                                        \
    "\\x{210a}-\\x{2113}\\x{2115}\\x{2119}-\\x{211d}\\x{2124}\\x{2126}\\x{2128}\\x{212a}-\\x{"     \
    "212d}"                                                                                        \
    "\\x{212f}-\\x{2134}\\x{2139}\\x{213c}-\\x{213f}\\x{2145}-\\x{2149}\\x{214e}\\x{2183}\\x{"     \
    "2184}"                                                                                        \
    "\\x{2c00}-\\x{2c7b}\\x{2c7e}-\\x{2ce4}\\x{2ceb}-\\x{2cee}\\x{2cf2}\\x{2cf3}"                  \
    "\\x{a640}-\\x{a66d}\\x{a680}-\\x{a69b}\\x{a722}-\\x{a76f}\\x{a771}-\\x{a787}"                 \
    "\\x{a78b}-\\x{a78e}\\x{ab70}-\\x{abbf}\\x{fb00}-\\x{fb06}\\x{fb13}-\\x{fb17}"                 \
    "\\x{ff21}-\\x{ff3a}\\x{ff41}-\\x{ff5a}\\x{10400}-\\x{1044f}\\x{104b0}-\\x{104d3}"             \
    "\\x{104d8}-\\x{104fb}\\x{10c80}-\\x{10cb2}\\x{10cc0}-\\x{10cf2}\\x{118a0}-\\x{118df}"         \
    "\\x{1e900}-\\x{1e943}"
#define EAST_ASIAN "[\\x{4e00}-\\x{9fa5}\\x{800}-\\x{4e00}\\x{ac00}-\\x{d7ff}]+"

enum { MAX_STAGES = 6 };

struct rules {
    const char *names; /* separated by spaces */
    bool keeps_words, adds_bos;
    const char *patterns[MAX_STAGES]; /* NULL behind the last */
};

/* The rules are those of the models' own tokenizers, as llama.cpp names them. */
static const struct rules all_rules[] = {
    {"gpt-2 phi-2 roberta-bpe mpt olmo jais", false, false, {GPT2}},
    {"smollm refact starcoder command-r codeshell exaone minerva-7b",
     false,
     false,
     {"\\p{N}", GPT2}},
    {"default", false, false, {"[\\p{P}$+<=>^~|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}},
    {"falcon", false, false, {"[\\p{P}$+<=>^~|`]+", GPT2, "[0-9][0-9][0-9]"}},
    {"llama-bpe llama3 llama-v3 falcon3", true, true, {CL100K("\\p{N}{1,3}")}},
    {"dbrx smaug-bpe", false, false, {CL100K("\\p{N}{1,3}")}},
    {"qwen2 stablelm2 megrez deepseek-r1-qwen", false, false, {CL100K("\\p{N}")}},
    {"tekken", true, true, {TEKKEN}},
    {"deepseek-coder",
     false,
     false,
     {"[\\r\\n]", "[" WS "]?\\p{L}+", "[" WS "]?\\p{P}+", EAST_ASIAN, "\\p{N}"}},
    {"deepseek-llm",
     false,
     false,
     {"[\\r\\n]", "[" WS "]?[" CASED "]+",
      "[" WS "]?[!-/:-~\\x{ff01}-\\x{ff0f}\\x{ff1a}-\\x{ff5e}\\x{2018}-\\x{201f}"
      "\\x{3000}-\\x{3002}]+",
      /* From a run's first space on only: else each of them would look for the end. */
      "(?<![" WS "])[" WS "]++$", EAST_ASIAN, "\\p{N}+"}},
};

enum { N_RULES = sizeof all_rules / sizeof all_rules[0] };

struct pretokenizer {
    const struct rules *rules;
    pcre2_code *codes[MAX_STAGES]; /* owned */
    size_t n_stages;
    char name[32];
};

/* One part being cut: what is left of it, and the match found beyond a gap. Bytes from the text's
 * start. */
struct level {
    size_t begin, at, end;
    size_t match_begin, match_end; /* match_end = 0: none pending */
};

struct pretokenizer_run {
    const struct pretokenizer *pretokenizer; /* borrowed */
    pcre2_match_data *data;                  /* owned */
    pcre2_match_context *context;            /* owned */
    const char *text;                        /* borrowed */
    struct level levels[MAX_STAGES + 1];
    size_t depth; /* levels in use */
};

/* Is name one of the words of names? */
static bool has_name(const char *names, const char *name, size_t n)
{
    while (*names) {
        size_t length = strcspn(names, " ");
        if (length == n && memcmp(names, name, n) == 0)
            return true;
        names += length;
        names += *names == ' ';
    }
    return false;
}

static enum status unknown_name(const char *name, size_t n, struct error *err)
{
    char known[320];
    size_t n_known = 0;
    known[0] = '\0';
    for (size_t i = 0; i < N_RULES && n_known < sizeof known; i++)
        n_known += (size_t)snprintf(known + n_known, sizeof known - n_known, "%s%s", i ? " " : "",
                                    all_rules[i].names);
    return error_set_param(err, STATUS_UNSUPPORTED, "tokenizer.ggml.pre",
                           "the pre-tokenizer \"%.*s\" is not known; known are: %s",
                           n > 64 ? 64 : (int)n, name, known);
}

static enum status compile(struct pretokenizer *pretokenizer, struct error *err)
{
    for (size_t i = 0; i < MAX_STAGES && pretokenizer->rules->patterns[i]; i++) {
        int code = 0;
        PCRE2_SIZE where = 0;
        pcre2_code *compiled =
            pcre2_compile((PCRE2_SPTR)pretokenizer->rules->patterns[i], PCRE2_ZERO_TERMINATED,
                          PCRE2_UTF | PCRE2_UCP | PCRE2_DOLLAR_ENDONLY, &code, &where, NULL);
        if (!compiled)
            return error_set(err,
                             code == PCRE2_ERROR_HEAP_FAILED ? STATUS_NO_MEMORY : STATUS_INTERNAL,
                             "PCRE2 refused pattern %zu of pre-tokenizer %s at %zu (error %d)", i,
                             pretokenizer->name, (size_t)where, code);
        pretokenizer->codes[i] = compiled;
        pretokenizer->n_stages = i + 1;
        /* Where the machine or its policy has no JIT, pcre2_match interprets: slower, the same
         * words. */
        (void)pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE);
    }
    return STATUS_OK;
}

enum status pretokenizer_create(struct pretokenizer **out, const char *name, size_t n_name,
                                struct error *err)
{
    const struct rules *rules = NULL;
    if (n_name == 0) {
        name = "default";
        n_name = strlen(name);
    }
    for (size_t i = 0; i < N_RULES && !rules; i++)
        if (has_name(all_rules[i].names, name, n_name))
            rules = &all_rules[i];
    if (!rules)
        return unknown_name(name, n_name, err);
    struct pretokenizer *pretokenizer = calloc(1, sizeof *pretokenizer);
    if (!pretokenizer)
        return error_no_memory(err, sizeof *pretokenizer, "the pre-tokenizer");
    pretokenizer->rules = rules;
    snprintf(pretokenizer->name, sizeof pretokenizer->name, "%.*s", (int)n_name, name);
    enum status status = compile(pretokenizer, err);
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
    for (size_t i = 0; i < MAX_STAGES; i++)
        pcre2_code_free(pretokenizer->codes[i]);
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
    free(run);
}

void pretokenizer_run_start(struct pretokenizer_run *run, const char *text, size_t n)
{
    run->text = text;
    run->levels[0] = (struct level){.end = n};
    run->depth = 1;
    /* A pattern takes a few steps a character; the limit is for patterns that would take more. */
    size_t limit = 1000000 + 64 * n;
    pcre2_set_match_limit(run->context, limit < UINT32_MAX ? (uint32_t)limit : UINT32_MAX);
}

/* Looks for the next match of a level's pattern and leaves it pending; none: match_end stays 0. */
static enum status find(struct pretokenizer_run *run, const pcre2_code *code, struct level *level,
                        struct error *err)
{
    PCRE2_SPTR part = (PCRE2_SPTR)(run->text + level->begin);
    size_t n = level->end - level->begin;
    size_t from = level->at - level->begin;
    /* The text was checked as a whole: checking again at each match would take n * n. */
    int rc = pcre2_match(code, part, n, from, PCRE2_NO_UTF_CHECK, run->data, run->context);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(code, part, n, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, run->data,
                         run->context);
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
            *word = run->text + level->at;
            *n = level->end - level->at;
            run->depth--;
            return STATUS_OK;
        }
        if (level->match_end == 0) {
            enum status status = find(run, pretokenizer->codes[run->depth - 1], level, err);
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
