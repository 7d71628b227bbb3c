/* match.h - patterns of family.h against a text that grows. Inside api/tools alone. Pure. */
#pragma once

#include "api/tools/set.h"

enum matching {
    MATCH_NO,
    MATCH_MORE, /* so far it fits: more text decides */
    MATCH_YES,
};

enum { PATTERN_SPACE_MAX = 64 }; /* white space that "\n" stands for */

/* The pattern, up to its "$A" or its end, against text[*at..n); *at: where it ends, with MATCH_YES.
 * set: of a pattern with "$N"; *tool: whose name it is. Arguments must follow then, or may. */
enum matching match_pattern(const char *pattern, const struct tool_set *set, const char *text,
                            size_t n, size_t *at, const struct tool **tool);
/* What comes after the pattern's "$A". */
const char *match_after_arguments(const char *pattern);
/* A text as it stands. */
enum matching match_text(const char *literal, const char *text, size_t n, size_t *at);
/* Bytes at the end of text[begin..n) that could be the beginning of the literal. */
size_t match_held(const char *literal, size_t n_literal, const char *text, size_t begin, size_t n);
