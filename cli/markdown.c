/* markdown.c - gathers a text, aligns its tables for a terminal and breaks its lines there. No
 * state of its own. */
#include "cli/markdown.h"

#include "cli/terminal.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { COLUMNS_MAX = 32 }; /* what lies beyond is not aligned */

/* --- tables --- */

struct text_cell { /* without the spaces around it */
    const char *at;
    size_t n;
    size_t width; /* places on a terminal: characters, without escape sequences */
};

struct column {
    size_t width;
    bool right;
    bool named; /* it has a head */
};

static size_t width_of(const char *text, size_t n)
{
    size_t width = 0;
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '\033')
            while (i < n && text[i] != 'm')
                i++;
        else
            width += ((unsigned char)text[i] & 0xc0) != 0x80;
    }
    return width;
}

/* *bar: the '|' in front of it; moves on to the one after it. False: the line has no more. */
static bool next_cell(const char **bar, struct text_cell *out)
{
    const char *begin = *bar + 1, *end = begin + strcspn(begin, "|\n");
    if (*end != '|')
        return false;
    *bar = end;
    while (begin < end && *begin == ' ')
        begin++;
    while (end > begin && end[-1] == ' ')
        end--;
    *out = (struct text_cell){begin, (size_t)(end - begin), width_of(begin, (size_t)(end - begin))};
    return true;
}

/* "---", "---:": a cell of the line below the heads. */
static bool is_rule(const struct text_cell *cell)
{
    return cell->n >= 3 && strncmp(cell->at, "---", 3) == 0;
}

static const char *next_line(const char *line)
{
    line += strcspn(line, "\n");
    return *line == '\n' ? line + 1 : line;
}

static void put(FILE *out, int c, size_t n)
{
    while (n-- > 0)
        putc(c, out);
}

/* The cells of a line whose columns are in the set. */
static void put_line(FILE *out, const char *line, const struct column *columns, uint64_t set)
{
    struct text_cell cell;
    for (size_t k = 0; next_cell(&line, &cell) && k < COLUMNS_MAX; k++) {
        const size_t width = columns[k].width, pad = width > cell.width ? width - cell.width : 0;
        if ((set >> k & 1) == 0)
            continue;
        putc('|', out);
        if (is_rule(&cell)) {
            put(out, '-', width + 1);
            putc(columns[k].right ? ':' : '-', out);
            continue;
        }
        put(out, ' ', 1 + (columns[k].right ? pad : 0));
        fwrite(cell.at, 1, cell.n, out);
        put(out, ' ', 1 + (columns[k].right ? 0 : pad));
    }
    fputs("|\n", out);
}

/* Places that a table of these columns takes. */
static size_t width_of_set(const struct column *columns, size_t n, uint64_t set)
{
    size_t width = 1;
    for (size_t k = 0; k < n; k++)
        width += (set >> k & 1) != 0 ? columns[k].width + 3 : 0;
    return width;
}

/* The next part of a table that is too wide: as many columns from *first on as fit, after the first
 * column, which names the rows; one at least. */
static uint64_t next_part(const struct column *columns, size_t n, size_t *first, size_t n_places)
{
    uint64_t set = 1;
    size_t k = *first;
    do
        set |= (uint64_t)1 << k++;
    while (k < n && width_of_set(columns, n, set | (uint64_t)1 << k) <= n_places);
    *first = k;
    return set;
}

/* The widths of a table's columns, and how many there are; *end: the first line after it. */
static size_t measure_table(const char *table, struct column columns[COLUMNS_MAX], const char **end)
{
    size_t n = 0;
    const char *line = table;
    for (; *line == '|'; line = next_line(line)) {
        const char *bar = line;
        struct text_cell cell;
        for (size_t k = 0; k < COLUMNS_MAX && next_cell(&bar, &cell); k++) {
            n = k + 1 > n ? k + 1 : n;
            if (is_rule(&cell))
                columns[k].right = cell.at[cell.n - 1] == ':';
            else if (cell.width > columns[k].width)
                columns[k].width = cell.width;
            columns[k].named = columns[k].named || (line == table && cell.n > 0);
        }
    }
    *end = line;
    return n;
}

/* The lines that begin with '|'; returns what follows them. A table that is too wide goes without
 * its bars (a last column without a head), then in parts below each other. */
static const char *put_table(FILE *out, const char *table, size_t n_places)
{
    struct column columns[COLUMNS_MAX] = {{.width = 0}};
    const char *end;
    size_t n = measure_table(table, columns, &end), first = 1;
    uint64_t set = n == 0 ? 0 : ~(uint64_t)0 >> (64 - n);
    if (width_of_set(columns, n, set) > n_places && n > 1 && !columns[n - 1].named)
        set &= ~((uint64_t)1 << --n);
    if (width_of_set(columns, n, set) <= n_places || n < 3)
        first = n;
    else
        set = next_part(columns, n, &first, n_places);
    for (;;) {
        for (const char *line = table; line < end; line = next_line(line))
            put_line(out, line, columns, set);
        if (first >= n)
            return end;
        putc('\n', out);
        set = next_part(columns, n, &first, n_places);
    }
}

/* --- lines --- */

/* Places of a list's mark in front of its text ("  - ", "10. "): further lines begin below it. */
static size_t indent_of(const char *line)
{
    size_t n = strspn(line, " "), n_digits = strspn(line + n, "0123456789");
    if (strncmp(line + n, "- ", 2) == 0)
        return n + 2;
    return n_digits > 0 && strncmp(line + n + n_digits, ". ", 2) == 0 ? n + n_digits + 2 : n;
}

/* A line of text, broken at spaces where it is too wide. */
static void put_text(FILE *out, const char *line, size_t n, size_t n_places)
{
    size_t indent = indent_of(line), place = 0;
    for (size_t i = 0; i < n;) {
        size_t gap = strspn(line + i, " "), word = strcspn(line + i + gap, " \n");
        size_t width = width_of(line + i + gap, word);
        if (place > indent && place + gap + width > n_places) {
            putc('\n', out);
            put(out, ' ', indent);
            place = indent;
        } else {
            put(out, ' ', gap);
            place += gap;
        }
        fwrite(line + i + gap, 1, word, out);
        place += width;
        i += gap + word + (line[i + gap + word] == '\n');
    }
    putc('\n', out);
}

void markdown_align(FILE *out, const char *text, size_t n_places)
{
    while (*text != '\0') {
        if (*text == '|') {
            text = put_table(out, text, n_places);
        } else {
            const char *next = next_line(text);
            put_text(out, text, strcspn(text, "\n"), n_places);
            text = next;
        }
    }
}

/* --- the text --- */

enum status markdown_begin(struct markdown *m, struct error *err)
{
    *m = (struct markdown){.colour = terminal_colour(STDOUT_FILENO)};
    m->out = open_memstream(&m->text, &m->n);
    return m->out != NULL ? STATUS_OK : error_errno(err, errno, "the text to print");
}

/* Closes a memory stream; its text is whole only if that succeeds. */
static enum status close_text(FILE *out, struct error *err)
{
    bool whole = !ferror(out);
    return fclose(out) == 0 && whole ? STATUS_OK : error_no_memory(err, 0, "the text to print");
}

enum status markdown_end(struct markdown *m, struct error *err)
{
    char *aligned = NULL;
    size_t n = 0;
    enum status status = close_text(m->out, err);
    if (status == STATUS_OK && isatty(STDOUT_FILENO) == 1) {
        FILE *out = open_memstream(&aligned, &n);
        if (out == NULL)
            status = error_errno(err, errno, "the text to print");
        else
            markdown_align(out, m->text, terminal_columns(STDOUT_FILENO, SIZE_MAX));
        if (out != NULL)
            status = close_text(out, err);
    }
    if (status == STATUS_OK)
        status =
            aligned != NULL ? terminal_write(aligned, n, err) : terminal_write(m->text, m->n, err);
    free(aligned);
    free(m->text);
    *m = (struct markdown){.out = NULL};
    return status;
}
