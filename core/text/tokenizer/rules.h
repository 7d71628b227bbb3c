/* rules.h - how each family's tokenizer cuts a text into words: its patterns by the names that
 * files have for them.
 *
 * Static data. Knows nothing of how patterns are run (pretokenizer.c).
 */
#pragma once

#include "text/tokenizer/classes.h"

#include <stdbool.h>

enum { RULES_MAX_STAGES = 6 };

/* Stages that are no patterns: digits in groups of three, counted from a number's end. */
#define RULES_GROUPS       "#groups"       /* each group a word */
#define RULES_WHOLE_GROUPS "#whole groups" /* unless a letter follows the number */
#define RULES_BEFORE       "#before"       /* cut before each full group, nowhere else */

struct word_rules {
    const char *names; /* separated by spaces */
    bool keeps_words;  /* a word that is a token is not merged anew */
    bool adds_bos;     /* when the file does not say */
    bool normalizes;   /* texts are brought into form NFC first */
    enum char_list_set lists;
    const char *patterns[RULES_MAX_STAGES]; /* over class bytes; NULL after the last */
};

/* NULL where no family has that name. */
const struct word_rules *rules_find(const char *name, size_t n);

/* Each family's first name, with spaces between, as many as fit. */
void rules_list(char *out, size_t size);
