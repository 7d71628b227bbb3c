/* markdown.c - gathers a text and aligns its tables for a terminal. No state of its own. */
#include "cli/markdown.h"

#include "cli/terminal.h"

#include <errno.h>
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

/* *bar: the '|' in front of it; moves on to the one behind. False: the line has no more. */
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

static void put_line(FILE *out, const char *line, const struct column *columns)
{
    struct text_cell cell;
    for (size_t k = 0; next_cell(&line, &cell); k++) {
        const struct column column =
            k < COLUMNS_MAX ? columns[k] : (struct column){cell.width, false};
        const size_t pad = column.width > cell.width ? column.width - cell.width : 0;
        putc('|', out);
        if (is_rule(&cell)) {
            put(out, '-', column.width + 1);
            putc(column.right ? ':' : '-', out);
            continue;
        }
        put(out, ' ', 1 + (column.right ? pad : 0));
        fwrite(cell.at, 1, cell.n, out);
        put(out, ' ', 1 + (column.right ? 0 : pad));
    }
    fputs("|\n", out);
}

/* The lines that begin with '|'; returns what is behind them. */
static const char *put_table(FILE *out, const char *table)
{
    struct column columns[COLUMNS_MAX] = {{0, false}};
    const char *line = table;
    for (; *line == '|'; line = next_line(line)) {
        const char *bar = line;
        struct text_cell cell;
        for (size_t k = 0; next_cell(&bar, &cell) && k < COLUMNS_MAX; k++) {
            if (is_rule(&cell))
                columns[k].right = cell.at[cell.n - 1] == ':';
            else if (cell.width > columns[k].width)
                columns[k].width = cell.width;
        }
    }
    for (; table < line; table = next_line(table))
        put_line(out, table, columns);
    return line;
}

static void put_aligned(FILE *out, const char *text)
{
    while (*text != '\0') {
        if (*text == '|') {
            text = put_table(out, text);
        } else {
            const char *next = next_line(text);
            fwrite(text, 1, (size_t)(next - text), out);
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
            put_aligned(out, m->text);
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
