/* rules.c - the rule sets, as one table of names and patterns.
 *
 * The patterns are those of the models' own tokenizers, under the names that llama.cpp gives them;
 * they run over class bytes (classes.h), which stand for the text's characters: [ ] holds sets of
 * classes, and only ASCII is spelled out. Every pattern is written so that a run of n characters
 * costs O(n) however it ends: single classes under the repeats (nothing is stacked a character), no
 * repeat that could begin at each place of a run and fail at its end.
 */
#include "text/tokenizer/rules.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define WS          CLASS_SPACE
#define L           CLASS_L
#define M           CLASS_M
#define N           CLASS_N
#define P           CLASS_P
#define S           CLASS_S
#define NEWLINES    "[" WS "]*[\\r\\n]+"
#define LAST_SPACES "[" WS "]+(?![^" WS "])|[" WS "]+"
#define SHORT_FORMS                                                                                \
    "'(?:[" CLASS_ANY_S "]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])" /* 's 't 're 've 'm 'll 'd  \
                                                                        */
#define DIGIT  "[" N "]"
#define DIGITS "[" N "]{1,3}"

#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?[" L "]+| ?[" N "]+| ?[^" WS L N "]+|" LAST_SPACES

#define WORD          "[^\\r\\n" L N "]?[" L "]+|"
#define SIGNS         "| ?[^" WS L N "]+[\\r\\n]*|"
#define WORDS(digit)  WORD digit SIGNS NEWLINES "|" LAST_SPACES
#define CL100K(digit) SHORT_FORMS "|" WORDS(digit)
#define QWEN35                                                                                     \
    SHORT_FORMS "|[^\\r\\n" L N "]?[" L M "]+|" DIGIT "| ?[^" WS L M N "]+[\\r\\n]*|" NEWLINES     \
                "|" LAST_SPACES

#define CASED_WORD(upper, lower, end)                                                              \
    "[^\\r\\n" L N "]?[" upper "]*[" lower "]+" end "|[^\\r\\n" L N "]?[" upper "]+[" lower "]"    \
    "*" end
#define TAIL(newlines) "| ?[^" WS L N "]+[" newlines "]*|" NEWLINES "|" LAST_SPACES
#define TEKKEN         CASED_WORD(CLASS_UPPER, CLASS_LOWER, "") "|" DIGIT TAIL("\\r\\n/")
#define O200K(digit)                                                                               \
    CASED_WORD(CLASS_UPPER, CLASS_LOWER, "(?:" SHORT_FORMS ")?") "|" digit TAIL("\\r\\n/")
#define KIMI                                                                                       \
    "[" CLASS_LIST_1 "]+|" CASED_WORD(CLASS_FREE_UPPER, CLASS_FREE_LOWER,                          \
                                      "(?:" SHORT_FORMS ")?") "|" DIGITS TAIL("\\r\\n")

#define ASCII_SIGN     "[!-/:-@\\[-`{-~]"
#define DEEPSEEK3_WORD ASCII_SIGN "[A-Za-z]+|[^\\r\\n" L P S "]?[" L M "]+| ?[" P S "]+"
#define DEEPSEEK3      DEEPSEEK3_WORD "[\\r\\n]*|" NEWLINES "|" LAST_SPACES
#define LIST_1         "[" CLASS_LIST_1 "]+"
#define LINES          "[^\\n]+|[\\n]+"
#define BLOOM          " ?[^(|.,!?)" WS CLASS_LIST_1 "]+"

/* Letters with their marks, single spaces between words included. */
#define PHRASE "[^\\r\\n" L N "]?[" L "][" L M "]*+(?: [" L "][" L M "]*+)*+"

static const struct word_rules all_rules[] = {
    {.names =
         "gpt-2 phi-2 roberta-bpe jais exaone4 jina-es jina-de jina-v2-es jina-v2-de jina-v1-en "
         "jina-v2-code gigachat a.x-4.0 mellum trillion granite-docling",
     .patterns = {GPT2}},
    {.names = "mpt olmo modern-bert", .normalizes = true, .patterns = {GPT2}},
    {.names = "smollm refact starcoder codeshell exaone minerva-7b mellum2",
     .patterns = {DIGIT, GPT2}},
    {.names = "command-r", .normalizes = true, .patterns = {DIGIT, GPT2}},
    {.names = "default", .patterns = {"[" P "$+<=>^~|]+", GPT2, "[" N "]+", "[0-9][0-9][0-9]"}},
    {.names = "falcon", .patterns = {"[" P "$+<=>^~|`]+", GPT2, "[0-9][0-9][0-9]"}},
    {.names = "llama-bpe llama3 llama-v3 falcon3 falcon-h1 lfm2 pixtral midm-2.0 jina-v5-nano",
     .keeps_words = true,
     .adds_bos = true,
     .patterns = {CL100K(DIGITS)}},
    {.names = "dbrx smaug-bpe chatglm-bpe", .patterns = {CL100K(DIGITS)}},
    {.names = "glm4 glm5", .keeps_words = true, .patterns = {CL100K(DIGITS)}},
    {.names = "qwen2 stablelm2 megrez deepseek-r1-qwen hunyuan kormo f2llmv2",
     .normalizes = true,
     .patterns = {CL100K(DIGIT)}},
    {.names = "qwen35", .normalizes = true, .patterns = {QWEN35}},
    {.names = "bailingmoe bailingmoe2 llada-moe grok-2 solar-open", .patterns = {CL100K(DIGIT)}},
    {.names = "ufakzeka", .patterns = {WORDS(DIGIT)}},
    {.names = "laguna", .patterns = {LINES, CL100K(DIGIT)}},
    {.names = "seed-coder",
     .patterns = {SHORT_FORMS "|" WORD DIGIT "| ?[^" WS L N "]+|" NEWLINES "|" LAST_SPACES}},
    {.names = "minicpm5", .keeps_words = true, .patterns = {DIGITS, CL100K("[" N "]+")}},
    {.names = "exaone-moe",
     .patterns = {SHORT_FORMS "|" PHRASE "|" DIGIT "| ?[^" WS L N "]+[\\r\\n/]?|" NEWLINES
                              "|" LAST_SPACES}},
    {.names = "tekken", .keeps_words = true, .adds_bos = true, .patterns = {TEKKEN}},
    {.names = "gpt-4o llama4 kanana2 minimax-m2 talkie", .patterns = {O200K(DIGITS)}},
    {.names = "granite-embed-multi-97m", .keeps_words = true, .patterns = {O200K(DIGITS)}},
    {.names = "tiny_aya cohere2moe",
     .normalizes = true,
     .patterns = {RULES_WHOLE_GROUPS, O200K(DIGITS)}},
    {.names = "youtu",
     .keeps_words = true,
     .lists = LISTS_YOUTU,
     .patterns = {LIST_1 "|[" CLASS_LIST_2 "]+|[" CLASS_LIST_3 "]+|[" CLASS_LIST_4 "]+",
                  O200K(DIGIT)}},
    {.names = "kimi-k2", .lists = LISTS_HAN, .patterns = {KIMI}},
    {.names = "deepseek-v3 hunyuan-dense joyai-llm hy_v4",
     .lists = LISTS_CJK,
     .patterns = {DIGITS, LIST_1, DEEPSEEK3}},
    {.names = "spark2_5",
     .lists = LISTS_CJK,
     .patterns = {DIGITS, LIST_1, DEEPSEEK3_WORD "|[\\r\\n]|" LAST_SPACES, DIGIT}},
    {.names = "afmoe", .lists = LISTS_ASIAN, .patterns = {RULES_GROUPS, LIST_1, DEEPSEEK3}},
    {.names = "superbpe", .patterns = {"[" N "]+", RULES_BEFORE}},
    {.names = "bloom gpt3-finnish poro-chat", .lists = LISTS_BLOOM, .patterns = {BLOOM}},
    {.names = "viking", .lists = LISTS_BLOOM, .patterns = {BLOOM, DIGIT}},
    {.names = "deepseek-coder",
     .lists = LISTS_DEEPSEEK,
     .patterns = {"[\\r\\n]", "[" WS "]?[" L "]+", "[" WS "]?[" P "]+", "[" CLASS_EAST_ASIAN "]+",
                  DIGIT}},
    {.names = "deepseek-llm",
     .lists = LISTS_DEEPSEEK,
     .patterns = {"[\\r\\n]", "[" WS "]?[" CLASS_CASED "]+",
                  "[" WS "]?[!-/:-~" CLASS_WIDE_POINT "]+",
                  /* From a run's first space on only: else each of them would look for the end. */
                  "(?<![" WS "])[" WS "]++$", "[" CLASS_EAST_ASIAN "]+", "[" N "]+"}},
};

enum { N_RULES = sizeof all_rules / sizeof all_rules[0] };

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

const struct word_rules *rules_find(const char *name, size_t n)
{
    for (size_t i = 0; i < N_RULES; i++)
        if (has_name(all_rules[i].names, name, n))
            return &all_rules[i];
    return NULL;
}

void rules_list(char *out, size_t size)
{
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < N_RULES && n < size; i++) {
        const char *names = all_rules[i].names;
        int length =
            snprintf(out + n, size - n, "%s%.*s", i ? " " : "", (int)strcspn(names, " "), names);
        n += length > 0 ? (size_t)length : 0;
    }
}
