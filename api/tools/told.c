/* told.c - pieces of arguments on their way to who asks for them. See values.h. */
#include "api/tools/values.h"

#include <stdio.h>
#include <string.h>

void values_queue(struct tool_reader *r, const char *bytes, size_t n)
{
    if (n > 0)
        r->queue[r->n_queue++] = (struct tool_piece){bytes, n};
}

void values_queue_text(struct tool_reader *r, const char *text)
{
    values_queue(r, text, strlen(text));
}

enum values_step values_tell(struct tool_reader *r, const char *text, size_t end,
                             struct tool_event *out)
{
    out->bytes = text + r->at;
    out->n = end - r->at;
    r->at = end;
    return VALUES_EVENT;
}

enum values_step values_escape(struct tool_reader *r, const char *text, size_t end,
                               struct tool_event *out)
{
    static const char letters[] = "\"\"\\\\\bb\ff\nn\rr\tt"; /* character, escape */
    size_t to = r->at;
    while (to < end && (unsigned char)text[to] >= 0x20 && text[to] != '"' && text[to] != '\\')
        to++;
    if (to > r->at)
        return values_tell(r, text, to, out);
    const char *letter = NULL;
    for (size_t k = 0; k < sizeof letters - 1 && letter == NULL; k += 2)
        letter = letters[k] == text[to] ? letters + k + 1 : NULL;
    int n = letter != NULL
                ? snprintf(r->piece, sizeof r->piece, "\\%c", *letter)
                : snprintf(r->piece, sizeof r->piece, "\\u%04x", (unsigned char)text[to]);
    r->at++;
    out->bytes = r->piece;
    out->n = (size_t)n;
    return VALUES_EVENT;
}

const char *values_word(char first)
{
    switch (first) {
    case 'T':
    case 't':
        return "true";
    case 'F':
    case 'f':
        return "false";
    case 'N':
    case 'n':
        return "null";
    default:
        return NULL;
    }
}
