/* profile_compare.c - `profile --compare A.json B.json`: what got slower or faster by more than the
 * noise of the sessions, what came and what went. Main thread.
 *
 * Each session is one sample. A change counts when 95 of 100 resamplings of the ratio of the means
 * lie on one side of 1 and, with at least four sessions a side, the ranks say so too.
 */
#include "server/verbs.h"

#include "profile/stats.h"
#include "server/profile_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RANKS_FROM = 4 }; /* sessions a side: with fewer, no order of them is rare enough */
#define SIGNIFICANT 0.05
#define SMALLEST    0.005 /* changes below half a percent are nobody's business */

struct change {
    double before, after; /* means, ms */
    double ratio;         /* after / before */
    struct interval interval;
    double rank_p;
    bool beyond_noise;
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

static struct change judge(const struct comparison *c)
{
    size_t n_a = c->a.n_sessions, n_b = c->b.n_sessions;
    struct change out = {.before = stats_mean(c->x, n_a), .after = stats_mean(c->y, n_b)};
    out.ratio = out.before > 0 ? out.after / out.before : 1;
    out.interval = stats_bootstrap_ratio(c->x, n_a, c->y, n_b);
    out.rank_p = stats_rank_test(c->x, n_a, c->y, n_b);
    bool apart = out.interval.low > 1 || out.interval.high < 1;
    bool ranked = n_a < RANKS_FROM || n_b < RANKS_FROM || out.rank_p < SIGNIFICANT;
    bool large = out.ratio > 1 + SMALLEST || out.ratio < 1 / (1 + SMALLEST);
    out.beyond_noise = apart && ranked && large;
    return out;
}

/* --- rows --- */

enum { ROW_WALL, ROW_PROMPT, ROW_DECODE, ROWS };

static double value_of(const struct profile_session *s, int row)
{
    return row == ROW_WALL ? s->wall : row == ROW_PROMPT ? s->prompt : s->decode;
}

static void print_row(const struct comparison *c, const char *name, const struct change *change,
                      const char *unit)
{
    const char *verdict = !change->beyond_noise ? "within the noise"
                          : change->ratio > 1   ? "slower"
                                                : "faster";
    const char *colour = !c->terminal || !change->beyond_noise ? ""
                         : change->ratio > 1                   ? "\033[31m"
                                                               : "\033[32m";
    printf("| %s | %.4f %s | %.4f %s | %s%+.1f%%%s | %+.1f%% .. %+.1f%% | %.3f | %s |\n", name,
           change->before, unit, change->after, unit, colour, 100 * (change->ratio - 1),
           colour[0] != '\0' ? "\033[0m" : "", 100 * (change->interval.low - 1),
           100 * (change->interval.high - 1), change->rank_p, verdict);
}

/* How many sessions of a summary have a scope at all. */
static size_t count_with(const struct profile_summary *s, int scope)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_sessions; i++)
        n += s->sessions_seen[i].has[scope];
    return n;
}

static void print_scopes(struct comparison *c)
{
    char came[512] = "", went[512] = "";
    puts("\n## Scopes, a generated token\n\n"
         "| scope | A | B | change | 95 of 100 resamplings | rank p | verdict |\n"
         "|---|---:|---:|---:|---:|---:|---|");
    for (int scope = 0; scope < SCOPES; scope++) {
        size_t in_a = count_with(&c->a, scope), in_b = count_with(&c->b, scope);
        char *list = in_a > 0 ? went : came;
        size_t n = strlen(list);
        if ((in_a > 0) != (in_b > 0))
            snprintf(list + n, 512 - n, "%s%s", n > 0 ? ", " : "", scope_infos[scope].label);
        if (in_a == 0 || in_b == 0)
            continue;
        for (size_t i = 0; i < c->a.n_sessions; i++)
            c->x[i] = c->a.sessions_seen[i].scopes[scope];
        for (size_t i = 0; i < c->b.n_sessions; i++)
            c->y[i] = c->b.sessions_seen[i].scopes[scope];
        struct change change = judge(c);
        print_row(c, scope_infos[scope].label, &change, "ms");
    }
    printf("\nIn B only: %s. In A only: %s.\n", came[0] != '\0' ? came : "nothing",
           went[0] != '\0' ? went : "nothing");
}

/* Prints the whole's rows; the worst slowdown beyond the noise, as a part. */
static double print_whole(struct comparison *c)
{
    static const char *const names[ROWS] = {"a session", "a prompt token", "a generated token"};
    double worst = 0;
    puts("## The whole\n\n"
         "| what | A | B | change | 95 of 100 resamplings | rank p | verdict |\n"
         "|---|---:|---:|---:|---:|---:|---|");
    for (int row = 0; row < ROWS; row++) {
        for (size_t i = 0; i < c->a.n_sessions; i++)
            c->x[i] = value_of(&c->a.sessions_seen[i], row);
        for (size_t i = 0; i < c->b.n_sessions; i++)
            c->y[i] = value_of(&c->b.sessions_seen[i], row);
        struct change change = judge(c);
        print_row(c, names[row], &change, "ms");
        if (change.beyond_noise && change.ratio - 1 > worst)
            worst = change.ratio - 1;
    }
    return worst;
}

static void print_head(const struct comparison *c, const struct settings *s)
{
    const struct profile_summary *a = &c->a, *b = &c->b;
    printf("# %s against %s\n\n", s->arguments[1], s->arguments[0]);
    printf("A: %s in %s, %zu sessions of %zu tokens, %u threads on %s.\n", a->model, a->weights,
           a->n_sessions, a->tokens, a->n_threads, a->cpu);
    printf("B: %s in %s, %zu sessions of %zu tokens, %u threads on %s.\n", b->model, b->weights,
           b->n_sessions, b->tokens, b->n_threads, b->cpu);
    if (a->tokens != b->tokens || a->prompt != b->prompt || a->batch != b->batch ||
        a->n_threads != b->n_threads || strcmp(a->model, b->model) != 0 ||
        strcmp(a->weights, b->weights) != 0 || strcmp(a->cpu, b->cpu) != 0)
        puts("**They are not of the same workload, model or machine.**");
    if (a->read_gb_s > 0 && b->read_gb_s > 0) {
        double change = b->read_gb_s / a->read_gb_s - 1;
        printf("The machine itself read %.1f GB/s at A and %.1f GB/s at B (%+.1f%%)%s.\n",
               a->read_gb_s, b->read_gb_s, 100 * change,
               change > 0.1 || change < -0.1 ? ": that alone may explain as much" : "");
    }
    puts("");
}

static void print_method(const struct comparison *c)
{
    size_t least = c->a.n_sessions < c->b.n_sessions ? c->a.n_sessions : c->b.n_sessions;
    printf(
        "\nA change counts as beyond the noise when 95 of 100 resamplings of the sessions' means "
        "(bootstrap, 2000) lie on its side of no change, it is at least %.1f%%",
        100 * SMALLEST);
    if (least >= RANKS_FROM)
        printf(", and the rank test (Mann-Whitney) finds it by chance less than once in %.0f.\n",
               1 / SIGNIFICANT);
    else
        printf(
            ".\nWith %zu sessions a side the rank test cannot decide; --sessions %d or more lets "
            "it.\n",
            least, RANKS_FROM);
    puts("What differs between two runs as a whole (clocks, neighbours) is in no session's noise: "
         "repeat both in turns.");
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
    int code = EXIT_DONE;
    if (status == STATUS_OK) {
        print_head(&c, settings);
        double worst = print_whole(&c);
        print_scopes(&c);
        print_method(&c);
        double allowed = (double)settings->fail_on_regression / 100;
        if (allowed > 0 && worst > allowed) {
            printf("\nSlower by %.1f%%, beyond the noise: more than the %.4g%% allowed.\n",
                   100 * worst, 100 * allowed);
            code = EXIT_FAILED;
        }
    } else {
        code = verb_fail(&err);
    }
    free(c.x);
    free(c.y);
    profile_summary_free(&c.a);
    profile_summary_free(&c.b);
    return code;
}
