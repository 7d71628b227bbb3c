/* typed.c - libedit on a terminal, getline in a pipe. State: struct typed. */
#include "cli/chat/typed.h"

#include "cli/chat/remembered.h"
#include "cli/terminal.h"

#include <histedit.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct typed {
    EditLine *edit;   /* owned; NULL: a pipe */
    History *history; /* owned */
    int kept;         /* the file of lines, owned; -1: none */
    bool dropped;
    char *line; /* owned; of a pipe */
    size_t room;
};

static const char *show_prompt(EditLine *edit)
{
    (void)edit;
    return "> ";
}

/* Ctrl-C as a key: the line goes, the program stays. */
static unsigned char drop_line(EditLine *edit, int key)
{
    struct typed *typed;
    (void)key;
    el_get(edit, EL_CLIENTDATA, &typed);
    typed->dropped = true;
    return CC_NEWLINE;
}

static bool open_editor(struct typed *typed, const char *program)
{
    HistEvent event;
    if (setlocale(LC_CTYPE, "") == NULL || MB_CUR_MAX < 2)
        setlocale(LC_CTYPE, "C.UTF-8");
    typed->edit = el_init(program, stdin, stdout, stderr);
    typed->history = history_init();
    if (typed->edit == NULL || typed->history == NULL)
        return false;
    history(typed->history, &event, H_SETSIZE, REMEMBERED_LINES);
    history(typed->history, &event, H_SETUNIQUE, 1);
    el_set(typed->edit, EL_CLIENTDATA, typed);
    el_set(typed->edit, EL_PROMPT, show_prompt);
    el_set(typed->edit, EL_EDITOR, "emacs");
    el_set(typed->edit, EL_HIST, history, typed->history);
    el_set(typed->edit, EL_SIGNAL, 1);
    el_set(typed->edit, EL_ADDFN, "drop-line", "drop the line", drop_line);
    el_set(typed->edit, EL_SETTY, "-d", "-isig", NULL);
    el_set(typed->edit, EL_BIND, "^C", "drop-line", NULL);
    el_set(typed->edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
    return true;
}

static void enter_line(void *history_of, const char *line)
{
    HistEvent event;
    history(history_of, &event, H_ENTER, line);
}

/* Lines of earlier runs. Without them a person can still talk. */
static void remember(struct typed *typed)
{
    struct error err = {0};
    if (remembered_open(&typed->kept, enter_line, typed->history, &err) != STATUS_OK)
        fprintf(stderr, "What you type is not kept: %s\n", err.text);
}

struct typed *typed_open(const char *program, bool keep)
{
    struct typed *typed = calloc(1, sizeof *typed);
    bool person = isatty(STDIN_FILENO) == 1 && terminal_escapes(STDOUT_FILENO);
    /* Between the prompt and the editor's own mode Ctrl-C is a signal; a thread that waits for it
     * (interrupt.h) gets it all the same. */
    if (person)
        signal(SIGINT, SIG_IGN);
    if (typed == NULL)
        return NULL;
    typed->kept = -1;
    if (!person)
        return typed;
    if (open_editor(typed, program)) {
        if (keep)
            remember(typed);
        return typed;
    }
    typed_close(typed);
    return NULL;
}

void typed_close(struct typed *typed)
{
    if (typed == NULL)
        return;
    if (typed->edit != NULL)
        el_end(typed->edit);
    if (typed->history != NULL)
        history_end(typed->history);
    if (typed->kept >= 0)
        close(typed->kept);
    free(typed->line);
    free(typed);
}

bool typed_by_person(const struct typed *typed)
{
    return typed->edit != NULL;
}

static enum typed_line edit_line(struct typed *typed, const char **line, size_t *n)
{
    int n_chars = 0;
    HistEvent event;
    typed->dropped = false;
    const char *text = el_gets(typed->edit, &n_chars);
    if (typed->dropped) {
        fputs("\n", stdout);
        fflush(stdout);
        return TYPED_DROPPED;
    }
    if (text == NULL || n_chars <= 0)
        return TYPED_END;
    *line = text;
    *n = strcspn(text, "\r\n");
    if (*n > 0) {
        history(typed->history, &event, H_ENTER, text);
        remembered_add(typed->kept, text, *n);
    }
    return TYPED_LINE;
}

enum typed_line typed_next(struct typed *typed, const char **line, size_t *n)
{
    if (typed->edit != NULL)
        return edit_line(typed, line, n);
    ssize_t got = getline(&typed->line, &typed->room, stdin);
    if (got < 0)
        return TYPED_END;
    while (got > 0 && (typed->line[got - 1] == '\n' || typed->line[got - 1] == '\r'))
        got--;
    typed->line[got] = '\0';
    *line = typed->line;
    *n = (size_t)got;
    return TYPED_LINE;
}
