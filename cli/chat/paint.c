/* paint.c - a small machine over marks: runs of asterisks, of backticks, and hashes that begin a
 * line. State: struct paint. */
#include "cli/chat/paint.h"

#include <string.h>

static void set_style(const struct paint *p, FILE *out)
{
    if (p->plain)
        return;
    fputs("\033[0m", out);
    if (p->in_heading || p->in_bold)
        fputs("\033[1m", out);
    if (p->in_code || p->in_fence)
        fputs("\033[36m", out);
}

static void write_held(struct paint *p, FILE *out)
{
    fwrite(p->held, 1, p->n_held, out);
    p->n_held = 0;
}

/* The run of marks has ended: what does it mean? */
static void end_run(struct paint *p, FILE *out)
{
    char mark = p->held[0];
    size_t n = p->n_held;
    bool fence = mark == '`' && n == 3 && !p->in_line, opens = false;
    if (fence) {
        opens = !p->in_fence;
        p->in_fence = true;
    } else if (!p->in_fence && mark == '`' && n == 1) {
        opens = !p->in_code;
        p->in_code = true;
    } else if (!p->in_fence && !p->in_code && mark == '*' && n == 2) {
        opens = !p->in_bold;
        p->in_bold = true;
    } else {
        write_held(p, out);
        p->in_line = true;
        return;
    }
    if (opens) /* the marks themselves belong to what they mark */
        set_style(p, out);
    write_held(p, out);
    p->in_line = true;
    if (opens)
        return;
    if (fence)
        p->in_fence = false;
    else if (mark == '`')
        p->in_code = false;
    else
        p->in_bold = false;
    set_style(p, out);
}

static void end_line(struct paint *p, FILE *out)
{
    bool styled = p->in_heading || p->in_bold || p->in_code;
    p->in_heading = p->in_bold = p->in_code = p->in_line = false;
    if (styled)
        set_style(p, out);
    putc('\n', out);
}

static void add(struct paint *p, FILE *out, char c)
{
    if (p->n_held > 0 && (c != p->held[0] || p->n_held == sizeof p->held))
        end_run(p, out);
    if (c == '*' || c == '`') {
        p->held[p->n_held++] = c;
        return;
    }
    if (c == '\n') {
        end_line(p, out);
        return;
    }
    if (c == '#' && !p->in_line && !p->in_fence && !p->in_heading) {
        p->in_heading = true;
        set_style(p, out);
    }
    p->in_line = p->in_line || c != ' ';
    putc(((unsigned char)c < ' ' && c != '\t') || c == 0x7f ? '?' : c, out);
}

void paint_add(struct paint *paint, FILE *out, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        /* U+0080 to U+009F are controls too: their second byte alone would be none */
        if ((unsigned char)text[i] == 0xc2 && i + 1 < n && (unsigned char)text[i + 1] < 0xa0 &&
            (unsigned char)text[i + 1] >= 0x80) {
            add(paint, out, '?');
            i++;
            continue;
        }
        add(paint, out, text[i]);
    }
    fflush(out);
}

void paint_end(struct paint *paint, FILE *out)
{
    if (paint->n_held > 0)
        end_run(paint, out);
    fputs(paint->plain ? "" : "\033[0m", out);
    fflush(out);
    *paint = (struct paint){.plain = paint->plain};
}
