/* family.h - the syntaxes in which models call tools, each a row of one table.
 *
 * A row is data that the grammar (grammar.h) and the reader (reader.h) both walk, so that what the
 * one lets through the other understands. Patterns are texts in which
 *
 *   "\n" stands for any white space or none, " " for one blank or none,
 *   "\1...\2" is a part that may be missing, told by its first byte,
 *   "$N" is the tool's name, "$A" its arguments, "$I" an id of letters and digits, "$D" a number,
 *
 * and all else for itself. Static; any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum tool_form {              /* of arguments */
                 FORM_JSON,   /* an object */
                 FORM_TAGS,   /* a tag for each */
                 FORM_PYTHON, /* name=value, ... */
                 FORM_QUOTED, /* {name:value,...}, strings between marks of their own */
};

struct tool_tags { /* of FORM_TAGS; of FORM_QUOTED value_close alone: the mark of strings */
    const char *key_open, *key_close; /* around a name; key_close is a pattern */
    const char *value_close;
    bool lines; /* a value has lines of its own: one line end on each side is not part of it */
};

enum { TOOL_SHOWN_MAX = 8, FAMILY_MARKS = 3 };

struct tool_family {
    const char *name;
    const char *marks[FAMILY_MARKS]; /* a template of it has all of these */
    const char *trigger; /* a section of calls begins; NULL: only at the answer's beginning */
    const char *begin;   /* pattern: from the trigger to the first call */
    const char *call;    /* pattern, with $N and $A */
    const char *between; /* pattern: between calls; NULL: a section holds one */
    const char *end;     /* pattern: the section ends */
    enum tool_form form;
    const struct tool_tags *tags;
    bool channels;                     /* gpt-oss's: an answer is messages in channels */
    const char *shown[TOOL_SHOWN_MAX]; /* control tokens that are part of it */
};

/* Whose syntax a template writes or describes, by its text; never NULL: what knows no tools gets
 * the plain JSON calls of the last row. template: NUL-terminated, or NULL. */
const struct tool_family *tool_family_find(const char *template);
const struct tool_family *tool_family_named(const char *name); /* NULL: none */
/* Row i; NULL: there are no more. */
const struct tool_family *tool_family_row(size_t i);
/* The row for templates that know no tools. */
const struct tool_family *tool_family_plain(void);
/* What an answer has before its first call's arguments, and hardly elsewhere. */
const char *tool_family_begins(const struct tool_family *family);
