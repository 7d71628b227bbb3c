/* typed.h - lines that a person types, with editing and history, or that a pipe brings. Main
 * thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct typed;

/* NULL: out of memory. Where a person types, SIGINT is ignored from here on. keep: the lines that a
 * person types are kept for later runs. */
struct typed *typed_open(const char *program, bool keep);
void typed_close(struct typed *typed); /* takes NULL; puts the terminal back */

/* Whether a person types. */
bool typed_by_person(const struct typed *typed);

enum typed_line { TYPED_LINE, TYPED_DROPPED /* by Ctrl-C */, TYPED_END };
/* The next line without its end; borrowed until the next call. */
enum typed_line typed_next(struct typed *typed, const char **line, size_t *n);
