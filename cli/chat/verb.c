/* verb.c - `chat`: a conversation in the terminal. Reads lines, obeys commands, shows answers. Main
 * thread.
 *
 * In a pipe each line is a message and each answer plain text; on a terminal lines are edited and
 * answers coloured. Ctrl-C ends an answer or drops a line, never the program.
 */
#include "cli/verbs.h"

#include "cli/chat/messages.h"
#include "cli/chat/paint.h"
#include "cli/chat/talk.h"
#include "cli/chat/typed.h"
#include "cli/flags.h"
#include "cli/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct conversation {
    struct talk *talk;
    struct typed *typed;
    struct messages messages;
    struct talk_answer last; /* its text is gone */
    size_t n_answers, n_tokens;
    bool on_terminal; /* standard output is one */
    struct paint paint;
    char last_byte; /* of the answer being shown */
    bool over;      /* /quit, or no one reads any more */
};

/* --- commands --- */

static void print_help(struct conversation *c, const char *rest)
{
    (void)c, (void)rest;
    puts("/system TEXT  what the model is told first (nothing: no longer)\n"
         "/save FILE    the conversation as JSON messages\n"
         "/stats        tokens and speed of the last answer\n"
         "/clear        forget the conversation, but for /system\n"
         "/quit         end (also Ctrl-D)\n"
         "Ctrl-C stops an answer. A line that begins with // is a message with one slash.");
}

static void set_system(struct conversation *c, const char *rest)
{
    struct error err = {0};
    if (messages_set_system(&c->messages, rest, strlen(rest), &err) != STATUS_OK)
        fprintf(stderr, "%s\n", err.text);
    else if (typed_by_person(c->typed))
        puts(rest[0] != '\0' ? "The model is told so from now on." : "The model is told nothing.");
}

static void save(struct conversation *c, const char *rest)
{
    struct error err = {0};
    size_t n;
    const char *json = messages_json(&c->messages, &n);
    if (rest[0] == '\0') {
        fputs("/save needs a file's name\n", stderr);
        return;
    }
    int fd = open(rest, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    enum status status = STATUS_OK;
    if (fd < 0)
        status = error_errno(&err, errno, "%s", rest);
    else if (json == NULL)
        status = error_no_memory(&err, n, "the conversation");
    if (status == STATUS_OK && (status = terminal_write_to(fd, rest, json, n, &err)) == STATUS_OK)
        status = terminal_write_to(fd, rest, "\n", 1, &err);
    if (fd >= 0 && close(fd) != 0 && status == STATUS_OK)
        status = error_errno(&err, errno, "%s", rest);
    if (status != STATUS_OK)
        fprintf(stderr, "%s\n", err.text);
    else if (typed_by_person(c->typed))
        printf("%zu messages are in %s.\n", c->messages.n_messages, rest);
}

static void print_stats(struct conversation *c, const char *rest)
{
    const struct talk_answer *a = &c->last;
    (void)rest;
    if (c->n_answers == 0) {
        puts("No answer yet.");
        return;
    }
    printf("last answer: %zu tokens", a->n_tokens);
    if (a->decode_ms > 0 && a->n_tokens > 1)
        printf(", %.1f tokens/s", (double)(a->n_tokens - 1) * 1000 / a->decode_ms);
    printf("; first after %.0f ms; prompt of %zu tokens, %zu of them cached\n", a->first_ms,
           a->n_prompt, a->n_cached);
    printf("all: %zu answers, %zu tokens\n", c->n_answers, c->n_tokens);
}

static void clear(struct conversation *c, const char *rest)
{
    (void)rest;
    messages_clear(&c->messages);
}

static void quit(struct conversation *c, const char *rest)
{
    (void)rest;
    c->over = true;
}

static void obey(struct conversation *c, const char *line)
{
    static const struct {
        const char *name;
        void (*run)(struct conversation *c, const char *rest);
    } commands[] = {{"/system", set_system}, {"/save", save},   {"/stats", print_stats},
                    {"/clear", clear},       {"/quit", quit},   {"/exit", quit},
                    {"/help", print_help},   {"/?", print_help}};
    size_t n = strcspn(line, " ");
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strlen(commands[i].name) == n && strncmp(line, commands[i].name, n) == 0) {
            commands[i].run(c, line + n + strspn(line + n, " "));
            return;
        }
    fprintf(stderr, "%.*s is unknown; /help lists the commands\n", (int)n, line);
}

/* --- messages --- */

static bool show(void *ctx, const char *text, size_t n)
{
    struct conversation *c = ctx;
    if (c->on_terminal)
        paint_add(&c->paint, stdout, text, n);
    else
        fwrite(text, 1, n, stdout);
    c->last_byte = text[n - 1];
    c->over = fflush(stdout) != 0; /* its reader has left */
    return !c->over;
}

static enum status say(struct conversation *c, const char *text, size_t n, struct error *err)
{
    struct messages *m = &c->messages;
    size_t n_before = m->n, n_messages = m->n_messages, n_json;
    struct talk_answer answer;
    enum status status = messages_add(m, "user", text, n, err);
    const char *json = status == STATUS_OK ? messages_json(m, &n_json) : NULL;
    if (status == STATUS_OK && json == NULL)
        status = error_no_memory(err, m->n, "the conversation");
    c->last_byte = '\n';
    if (status == STATUS_OK)
        status = talk_ask(c->talk, json, n_json, show, c, &answer, err);
    if (c->on_terminal)
        paint_end(&c->paint, stdout);
    if (c->last_byte != '\n')
        putchar('\n');
    if (status == STATUS_OK && typed_by_person(c->typed) && answer.interrupted)
        puts("(stopped)");
    if (status == STATUS_OK && answer.finish == FINISH_LENGTH)
        fputs("(--max-tokens, or the context's end)\n", stderr);
    if (fflush(stdout) != 0)
        c->over = true;
    if (status == STATUS_OK)
        status = messages_add(m, "assistant", answer.text, answer.n_text, err);
    if (status != STATUS_OK) {
        messages_cut(m, n_before, n_messages); /* the question counts as not asked */
        return status;
    }
    c->last = answer;
    c->n_answers++;
    c->n_tokens += answer.n_tokens;
    return STATUS_OK;
}

/* Obeys one line. An error that the next message could have as well ends a pipe's run. */
static enum status take_line(struct conversation *c, const char *line, size_t n, struct error *err)
{
    if (n == 0)
        return STATUS_OK;
    if (line[0] == '/' && line[1] != '/') {
        char *copy = strndup(line, n);
        if (copy == NULL)
            return error_no_memory(err, n, "a command");
        obey(c, copy);
        free(copy);
        fflush(stdout);
        return STATUS_OK;
    }
    size_t skip = line[0] == '/' ? 1 : 0;
    enum status status = say(c, line + skip, n - skip, err);
    if (status == STATUS_OK || !typed_by_person(c->typed))
        return status;
    fprintf(stderr, "%s%s\n", err->text,
            status == STATUS_CONTEXT ? "; /clear begins a new conversation" : "");
    return STATUS_OK;
}

static enum status converse(struct conversation *c, struct error *err)
{
    const char *line;
    size_t n;
    enum status status = STATUS_OK;
    if (typed_by_person(c->typed))
        puts("Type a message; /help lists commands, Ctrl-D ends.");
    while (status == STATUS_OK && !c->over) {
        enum typed_line got = typed_next(c->typed, &line, &n);
        if (got == TYPED_END)
            break;
        if (got == TYPED_LINE)
            status = take_line(c, line, n, err);
    }
    return status;
}

int verb_chat(const struct settings *settings)
{
    struct conversation c = {.on_terminal = isatty(STDOUT_FILENO) == 1};
    struct error err = {0};
    c.paint.plain = !terminal_colour(STDOUT_FILENO);
    enum status status = talk_create(&c.talk, settings, &err);
    if (status == STATUS_OK && (c.typed = typed_open("smallmind", settings->chat_history)) == NULL)
        status = error_no_memory(&err, 4096, "the line editor");
    if (status == STATUS_OK)
        status = converse(&c, &err);
    bool by_person = c.typed != NULL && typed_by_person(c.typed);
    typed_close(c.typed);
    talk_destroy(c.talk);
    messages_free(&c.messages);
    if (status == STATUS_OK) {
        if (by_person)
            putchar('\n');
        return EXIT_DONE;
    }
    flags_blame(VERB_CHAT, &err);
    return verb_fail(&err);
}
