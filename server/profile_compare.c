/* profile_compare.c - `profile --compare A.json B.json`: what got slower or faster by more than the
 * noise of the sessions, what came and what went. Main thread.
 *
 * Each session is one sample. A change counts when 95 of 100 resamplings of the ratio of the means
 * lie on one side of 1, and a test says so too: of ranks, which takes nothing for granted; where
 * the sessions are too few for any order of them to be rare enough, of the logarithms' means. Many
 * rows are judged at once, so the test's p is adjusted for their number (Benjamini and Hochberg,
 * 1995), in each table for itself: of the rows that are called changed one in twenty may be so by
 * chance, and when nothing has changed, one table in twenty calls anything so.
 */
#include "server/verbs.h"

#include "profile/stats.h"
#include "server/profile_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIGNIFICANT 0.05
#define SMALLEST    0.005 /* changes below half a percent are nobody's business */

enum { ROW_WALL, ROW_PROMPT, ROW_DECODE, ROWS };

enum verdict { WITHIN_NOISE, SLOWER, FASTER };

struct change {
    const char *name;
    double before, after; /* means, ms */
    double ratio;         /* after / before */
    double part;          /* what it adds to a generated token, of that token's time; scopes only */
    struct interval interval;
    double p, adjusted_p;
    enum verdict verdict;
};

struct table { /* rows that are judged together */
    struct change rows[SCOPES];
    size_t n;
    bool of_scopes;
    bool ranked; /* by ranks; else by the logarithms' means */
};

struct comparison {
    struct profile_summary a, b;
    double *x, *y; /* samples of one row */
    bool terminal;
};

static enum status read_file(struct profile_summary *out, const char *path, struct error *err)
{
    char *text;
    size_t n;
    enum status status = terminal_read(path, &text, &n, err);
    if (status != STATUS_OK)
        return status;
    status = profile_read(out, text, n, err);
    free(text);
    if (status == STATUS_OK && out->n_sessions < 2)
        return error_set(err, STATUS_INVALID,
                         "%s: %zu sessions; what is noise shows with two or more (--sessions)",
                         path, out->n_sessions);
    if (status != STATUS_OK) {
        struct error cause = *err;
        error_set(err, cause.status, "%s: %s", path, cause.text);
    }
    return status;
}

/* --- judging --- */

/* A table of so many rows at most. */
static struct table begin_table(const struct comparison *c, bool of_scopes, size_t most)
{
    double least = stats_rank_least(c->a.n_sessions, c->b.n_sessions);
    return (struct table){.of_scopes = of_scopes, .ranked = least * (double)most < SIGNIFICANT};
}

/* A row from the samples in x and y. */
static void add_row(struct table *table, const struct comparison *c, const char *name)
{
    size_t n_a = c->a.n_sessions, n_b = c->b.n_sessions;
    struct change *row = &table->rows[table->n++];
    *row = (struct change){
        .name = name, .before = stats_mean(c->x, n_a), .after = stats_mean(c->y, n_b)};
    row->ratio = row->before > 0 ? row->after / row->before : 1;
    row->interval = stats_bootstrap_ratio(c->x, n_a, c->y, n_b);
    row->p = table->ranked ? stats_rank_test(c->x, n_a, c->y, n_b)
                           : stats_welch_test(c->x, n_a, c->y, n_b);
}

static enum verdict judge(const struct change *row)
{
    bool apart = row->interval.low > 1 || row->interval.high < 1;
    bool large = row->ratio > 1 + SMALLEST || row->ratio < 1 / (1 + SMALLEST);
    if (!apart || !large || !(row->adjusted_p < SIGNIFICANT))
        return WITHIN_NOISE;
    return row->ratio > 1 ? SLOWER : FASTER;
}

static void judge_all(struct table *table)
{
    double p[SCOPES], adjusted[SCOPES], token = 0;
    for (size_t i = 0; i < table->n; i++) {
        p[i] = table->rows[i].p;
        token += table->rows[i].before;
    }
    stats_adjust(p, table->n, adjusted);
    for (size_t i = 0; i < table->n; i++) {
        struct change *row = &table->rows[i];
        row->adjusted_p = adjusted[i];
        row->part = table->of_scopes && token > 0 ? (row->after - row->before) / token : 0;
        row->verdict = judge(row);
    }
}

static double value_of(const struct profile_session *s, int row)
{
    return row == ROW_WALL ? s->wall : row == ROW_PROMPT ? s->prompt : s->decode;
}

static void compare_whole(struct table *table, struct comparison *c)
{
    static const char *const names[ROWS] = {"a session", "a prompt token", "a generated token"};
    *table = begin_table(c, false, ROWS);
    for (int row = 0; row < ROWS; row++) {
        for (size_t i = 0; i < c->a.n_sessions; i++)
            c->x[i] = value_of(&c->a.sessions_seen[i], row);
        for (size_t i = 0; i < c->b.n_sessions; i++)
            c->y[i] = value_of(&c->b.sessions_seen[i], row);
        add_row(table, c, names[row]);
    }
    judge_all(table);
}

/* How many sessions of a summary have a scope at all. */
static size_t count_with(const struct profile_summary *s, int scope)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_sessions; i++)
        n += s->sessions_seen[i].has[scope];
    return n;
}

/* The scopes that both have. */
static void compare_scopes(struct table *table, struct comparison *c)
{
    *table = begin_table(c, true, SCOPES);
    for (int scope = 0; scope < SCOPES; scope++) {
        if (count_with(&c->a, scope) == 0 || count_with(&c->b, scope) == 0)
            continue;
        for (size_t i = 0; i < c->a.n_sessions; i++)
            c->x[i] = c->a.sessions_seen[i].scopes[scope];
        for (size_t i = 0; i < c->b.n_sessions; i++)
            c->y[i] = c->b.sessions_seen[i].scopes[scope];
        add_row(table, c, scope_infos[scope].label);
    }
    judge_all(table);
}

/* --- printing --- */

static void print_row(const struct comparison *c, const struct change *row, bool of_scopes)
{
    static const char *const verdicts[] = {
        [WITHIN_NOISE] = "within the noise", [SLOWER] = "slower", [FASTER] = "faster"};
    const char *colour = !c->terminal || row->verdict < SLOWER ? ""
                         : row->verdict == SLOWER              ? "\033[31m"
                                                               : "\033[32m";
    printf("| %s | %.4f ms | %.4f ms | %s%+.1f%%%s | ", row->name, row->before, row->after, colour,
           100 * (row->ratio - 1), colour[0] != '\0' ? "\033[0m" : "");
    if (of_scopes)
        printf("%+.2f%% | ", 100 * row->part);
    printf("%+.1f%% .. %+.1f%% | %.4f | %.4f | %s |\n", 100 * (row->interval.low - 1),
           100 * (row->interval.high - 1), row->p, row->adjusted_p, verdicts[row->verdict]);
}

static void print_table(const struct comparison *c, const struct table *table)
{
    if (table->of_scopes)
        puts("\n## Scopes, a generated token\n\n"
             "| scope | A | B | change | of a token | 95 of 100 resamplings | p | adjusted p | "
             "verdict |\n|---|---:|---:|---:|---:|---:|---:|---:|---|");
    else
        puts("## The whole\n\n"
             "| what | A | B | change | 95 of 100 resamplings | p | adjusted p | verdict |\n"
             "|---|---:|---:|---:|---:|---:|---:|---|");
    for (size_t i = 0; i < table->n; i++)
        print_row(c, &table->rows[i], table->of_scopes);
}

static void print_come_and_gone(const struct comparison *c)
{
    char lists[2][512] = {"", ""}; /* in B only, in A only */
    for (int scope = 0; scope < SCOPES; scope++) {
        bool in_a = count_with(&c->a, scope) > 0, in_b = count_with(&c->b, scope) > 0;
        char *list = lists[in_a];
        size_t n = strlen(list);
        if (in_a != in_b)
            snprintf(list + n, 512 - n, "%s%s", n > 0 ? ", " : "", scope_infos[scope].label);
    }
    printf("\nIn B only: %s. In A only: %s.\n", lists[0][0] != '\0' ? lists[0] : "nothing",
           lists[1][0] != '\0' ? lists[1] : "nothing");
}

/* What is not the same in both, and may be all that the comparison shows. */
static void print_differences(const struct profile_summary *a, const struct profile_summary *b)
{
    const struct {
        const char *name;
        bool differs;
    } list[] = {
        {"model", strcmp(a->model, b->model) != 0},
        {"weights", strcmp(a->weights, b->weights) != 0},
        {"context", a->context != b->context},
        {"KV type", strcmp(a->kv_type, b->kv_type) != 0},
        {"processor", strcmp(a->cpu, b->cpu) != 0},
        {"kernels", strcmp(a->kernels, b->kernels) != 0},
        {"threads", a->n_threads != b->n_threads || a->n_workers != b->n_workers},
        {"prompt", a->prompt != b->prompt},
        {"tokens", a->tokens != b->tokens},
        {"batch", a->batch != b->batch},
        {"temperature", a->temperature > b->temperature || a->temperature < b->temperature},
    };
    const char *before = "**They differ in ";
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        if (!list[i].differs)
            continue;
        printf("%s%s", before, list[i].name);
        before = ", ";
    }
    if (before[0] == ',')
        puts(".**");
}

static void print_head(const struct comparison *c, const struct settings *s)
{
    const struct profile_summary *a = &c->a, *b = &c->b;
    printf("# %s against %s\n\n", s->arguments[1], s->arguments[0]);
    printf("A: %s in %s, %zu sessions of %zu tokens, %u threads on %s.\n", a->model, a->weights,
           a->n_sessions, a->tokens, a->n_threads, a->cpu);
    printf("B: %s in %s, %zu sessions of %zu tokens, %u threads on %s.\n", b->model, b->weights,
           b->n_sessions, b->tokens, b->n_threads, b->cpu);
    print_differences(a, b);
    if (a->read_gb_s > 0 && b->read_gb_s > 0) {
        double change = b->read_gb_s / a->read_gb_s - 1;
        printf("The machine itself read %.1f GB/s at A and %.1f GB/s at B (%+.1f%%)%s.\n",
               a->read_gb_s, b->read_gb_s, 100 * change,
               change > 0.1 || change < -0.1 ? ": that alone may explain as much" : "");
    }
    puts("");
}

static void print_method(const struct table *whole, const struct table *scopes)
{
    static const char *const tests[] = {"Welch's t test of the logarithms, as the sessions are too "
                                        "few for ranks",
                                        "the rank test (Mann-Whitney)"};
    printf(
        "\nA change counts as beyond the noise when 95 of 100 resamplings of the sessions' means "
        "(bootstrap, 2000) lie on its side of no change, it is at least %.1f%%, and a test agrees: "
        "for the whole %s, for scopes %s. Its p, adjusted for the rows of its table by Benjamini "
        "and Hochberg's procedure (%zu scopes), must be below %.2f: one in %.0f of the rows "
        "called changed may be so by chance.\n",
        100 * SMALLEST, tests[whole->ranked], tests[scopes->ranked], scopes->n, SIGNIFICANT,
        1 / SIGNIFICANT);
    puts("What differs between two runs as a whole (clocks, neighbours) is in no session's noise: "
         "repeat both in turns.");
}

/* What --fail-on-regression looks at: the whole, and what a scope's slowdown adds to a token, even
 * where another scope makes up for it. Prints what is beyond the allowed part; returns whether
 * anything is. */
static bool print_regressions(const struct table *whole, const struct table *scopes, double allowed)
{
    bool any = false;
    for (size_t i = 0; i < whole->n; i++) {
        const struct change *row = &whole->rows[i];
        if (row->verdict != SLOWER || row->ratio - 1 <= allowed)
            continue;
        printf("\nSlower by %.1f%%, beyond the noise: more than the %.4g%% allowed: %s.\n",
               100 * (row->ratio - 1), 100 * allowed, row->name);
        any = true;
    }
    for (size_t i = 0; i < scopes->n; i++) {
        const struct change *row = &scopes->rows[i];
        if (row->verdict != SLOWER || row->part <= allowed)
            continue;
        printf("\n%s adds %.1f%% to a generated token, beyond the noise: more than the %.4g%% "
               "allowed.\n",
               row->name, 100 * row->part, 100 * allowed);
        any = true;
    }
    return any;
}

static int compare(struct comparison *c, const struct settings *settings)
{
    struct table whole, scopes;
    double allowed = (double)settings->fail_on_regression / 100;
    compare_whole(&whole, c);
    compare_scopes(&scopes, c);
    print_head(c, settings);
    print_table(c, &whole);
    print_table(c, &scopes);
    print_come_and_gone(c);
    print_method(&whole, &scopes);
    return allowed > 0 && print_regressions(&whole, &scopes, allowed) ? EXIT_FAILED : EXIT_DONE;
}

int profile_compare(const struct settings *settings)
{
    struct comparison c = {.terminal = isatty(STDOUT_FILENO) == 1};
    struct error err = {0};
    enum status status = STATUS_OK;
    if (settings->arguments[1] == NULL)
        status = error_set_param(&err, STATUS_INVALID, "--compare",
                                 "--compare needs two reports: A.json B.json");
    if (status == STATUS_OK)
        status = read_file(&c.a, settings->arguments[0], &err);
    if (status == STATUS_OK)
        status = read_file(&c.b, settings->arguments[1], &err);
    c.x = calloc(c.a.n_sessions + 1, sizeof *c.x);
    c.y = calloc(c.b.n_sessions + 1, sizeof *c.y);
    if (status == STATUS_OK && (c.x == NULL || c.y == NULL))
        status = error_no_memory(&err, c.a.n_sessions * sizeof *c.x, "the comparison");
    int code = status == STATUS_OK ? compare(&c, settings) : verb_fail(&err);
    free(c.x);
    free(c.y);
    profile_summary_free(&c.a);
    profile_summary_free(&c.b);
    return code;
}
