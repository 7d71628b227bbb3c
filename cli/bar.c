/* bar.c - draws the line: a bar, its share, how much of how much, the rate, the time left, a note.
 * No state of its own. */
#include "cli/bar.h"

#include "base/clock.h"
#include "cli/terminal.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { BAR_CELLS = 24, BAR_CELLS_LEAST = 8, NOTE_LEAST = 12 };
static const uint64_t first_line_ns = 333000000, line_gap_ns = 100000000;

void bar_begin(struct bar *bar, const char *what, const char *unit)
{
    *bar = (struct bar){.what = what,
                        .unit = unit,
                        .start_ns = clock_now_ns(),
                        .on_terminal = terminal_escapes(STDERR_FILENO)};
}

/* "8 s", "3 min 20 s", "2 h 5 min" */
static void duration_text(char out[32], double seconds)
{
    const long whole = seconds < 360000 ? (long)(seconds + 0.5) : 360000;
    if (whole < 100)
        snprintf(out, 32, "%ld s", whole);
    else if (whole < 3600)
        snprintf(out, 32, "%ld min %02ld s", whole / 60, whole % 60);
    else if (whole < 360000)
        snprintf(out, 32, "%ld h %ld min", whole / 3600, whole % 3600 / 60);
    else
        snprintf(out, 32, "days");
}

/* "45 of 98 MiB, 31.2 MiB/s, 2 s left": the part that is always shown. */
static size_t facts_text(char out[256], const struct bar *bar, size_t done, size_t total,
                         double seconds)
{
    size_t n = (size_t)snprintf(out, 256, "%zu of %zu %s", done, total, bar->unit);
    double rate = seconds > 0 && done > bar->base ? (double)(done - bar->base) / seconds : 0;
    if (rate <= 0 || total < done)
        return n;
    char left[32];
    duration_text(left, (double)(total - done) / rate);
    return n + (size_t)snprintf(out + n, 256 - n, ", %.*f %s/s, %s left",
                                rate < 9.95   ? 2
                                : rate < 99.5 ? 1
                                              : 0,
                                rate, bar->unit, left);
}

/* "[#####.....]  45 % " */
static size_t cells_text(char *out, size_t n_cells, size_t done, size_t total)
{
    double share = total == 0 ? 0 : done < total ? (double)done / (double)total : 1;
    size_t n_full = (size_t)(share * (double)n_cells);
    out[0] = '[';
    memset(out + 1, '#', n_full);
    memset(out + 1 + n_full, '.', n_cells - n_full);
    return n_cells + 1 + (size_t)sprintf(out + 1 + n_cells, "] %3.0f %% ", share * 100);
}

void bar_line(char out[BAR_LINE_MAX], const struct bar *bar, size_t done, size_t total,
              double seconds, const char *note, size_t n_columns)
{
    enum { PERCENT = sizeof "[] 100 % " - 1 };
    char facts[256];
    size_t n = (size_t)snprintf(out, 128, "%s: ", bar->what);
    size_t n_facts = facts_text(facts, bar, done, total, seconds);
    size_t width = n_columns < BAR_LINE_MAX ? n_columns : BAR_LINE_MAX;
    size_t spare = width > n + n_facts + 1 ? width - n - n_facts - 1 : 0; /* the cursor's place */
    if (total > 0 && spare >= PERCENT + BAR_CELLS_LEAST) {
        size_t most = spare - PERCENT, n_cells = most < BAR_CELLS ? most : BAR_CELLS;
        size_t n_bar = cells_text(out + n, n_cells, done, total);
        n += n_bar;
        spare -= n_bar;
    } else {
        spare = 0;
    }
    memcpy(out + n, facts, n_facts + 1);
    n += n_facts;
    if (note[0] != '\0' && total > 0 && spare >= NOTE_LEAST)
        snprintf(out + n, spare + 1, ", %s", note);
    if (strlen(out) >= width && width > 0)
        out[width - 1] = '\0';
}

void bar_show(struct bar *bar, size_t done, size_t total, const char *note)
{
    uint64_t now = clock_now_ns(), spent = now - bar->start_ns;
    if (!bar->on_terminal || spent < first_line_ns ||
        (bar->last_ns != 0 && now - bar->last_ns < line_gap_ns))
        return;
    bar->last_ns = now;
    bar->shown = true;
    char line[BAR_LINE_MAX];
    bar_line(line, bar, done, total, (double)spent * 1e-9, note,
             terminal_columns(STDERR_FILENO, 80));
    fprintf(stderr, "\r%s\033[K", line);
}

void bar_end(struct bar *bar)
{
    if (bar->shown)
        fputs("\r\033[K", stderr);
    bar->shown = false;
}
