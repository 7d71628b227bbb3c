/* compare.c - two reports judged: what got slower or faster by more than the noise of the
 * sessions, what came and what went. Main thread; shows nothing.
 *
 * Each session is one sample. A change counts when 95 of 100 resamplings of the ratio of the means
 * lie on one side of 1, and a test says so too: of ranks, which takes nothing for granted; where
 * the sessions are too few for any order of them to be rare enough, of the logarithms' means. Many
 * rows are judged at once, so the test's p is adjusted for their number (Benjamini and Hochberg,
 * 1995), in each table for itself: of the rows that are called changed one in twenty may be so by
 * chance, and when nothing has changed, one table in twenty calls anything so.
 */
#include "cli/profile/compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char compare_caution[] =
    "Two runs of the same code differ as a whole (clocks, neighbours), and that is in no session's "
    "noise: what is called slower or faster here may be the run's. Repeat both in turns, A B A B, "
    "and compare each pair: what is the code's shows in every one.";

/* --- what differs --- */

static void add_name(struct compared_names *list, const char *name, const char *label)
{
    list->names[list->n] = name;
    list->labels[list->n++] = label;
}

/* Other work cannot be compared; the same work on another version, with other settings or on
 * another machine is what comparisons are made for, and is named. */
static void find_differences(struct comparison *c)
{
    const struct profile_summary *a = &c->a, *b = &c->b;
    const struct {
        const char *name, *label;
        bool differs, other_work;
    } list[] = {
        {"version", "version", strcmp(a->version, b->version) != 0, false},
        {"model", "model",
         strcmp(a->model, b->model) != 0 || strcmp(a->architecture, b->architecture) != 0 ||
             fabs(a->parameters - b->parameters) > 0,
         true},
        {"weights", "weights", strcmp(a->weights, b->weights) != 0, false},
        {"context", "context", a->context != b->context, false},
        {"kv_type", "KV type", strcmp(a->kv_type, b->kv_type) != 0, false},
        {"processor", "processor", strcmp(a->cpu, b->cpu) != 0, false},
        {"kernels", "kernels", strcmp(a->kernels, b->kernels) != 0, false},
        {"threads", "threads", a->n_threads != b->n_threads || a->n_workers != b->n_workers, false},
        {"prompt", "prompt", a->prompt != b->prompt, true},
        {"tokens", "tokens", a->tokens != b->tokens, true},
        {"batch", "batch", a->batch != b->batch, true},
        {"temperature", "temperature", fabs(a->temperature - b->temperature) > 0, false},
    };
    c->comparable = true;
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        if (!list[i].differs)
            continue;
        add_name(&c->differences, list[i].name, list[i].label);
        c->comparable = c->comparable && !list[i].other_work;
    }
}

/* --- judging --- */

/* A table of so many rows. */
static struct table begin_table(const struct comparison *c, bool of_scopes, size_t n)
{
    double least = stats_rank_least(c->a.n_sessions, c->b.n_sessions);
    return (struct table){.of_scopes = of_scopes,
                          .ranked = least * (double)n < COMPARE_SIGNIFICANT};
}

/* A row from the samples in x and y. */
static void add_row(struct table *table, const struct comparison *c, const char *name,
                    const char *label)
{
    size_t n_a = c->a.n_sessions, n_b = c->b.n_sessions;
    struct change *row = &table->rows[table->n++];
    *row = (struct change){.name = name,
                           .label = label,
                           .before = stats_mean(c->x, n_a),
                           .after = stats_mean(c->y, n_b)};
    row->ratio = row->after / row->before;
    row->interval = stats_bootstrap_ratio(c->x, n_a, c->y, n_b);
    row->p = table->ranked ? stats_rank_test(c->x, n_a, c->y, n_b)
                           : stats_welch_test(c->x, n_a, c->y, n_b);
}

static enum verdict judge(const struct change *row)
{
    bool apart = row->interval.low > 1 || row->interval.high < 1;
    bool large = row->ratio > 1 + COMPARE_SMALLEST || row->ratio < 1 / (1 + COMPARE_SMALLEST);
    if (!apart || !large || !(row->adjusted_p < COMPARE_SIGNIFICANT))
        return WITHIN_NOISE;
    return row->ratio > 1 ? SLOWER : FASTER;
}

/* The figures --fail-on-regression looks at: the whole, and what a scope's slowdown adds to a
 * token, even where another scope makes up for it. */
static void judge_all(struct table *table, struct comparison *c)
{
    double p[PROFILE_SCOPES], adjusted[PROFILE_SCOPES], token = 0;
    for (size_t i = 0; i < table->n; i++) {
        p[i] = table->rows[i].p;
        token += table->rows[i].before;
    }
    stats_adjust(p, table->n, adjusted);
    for (size_t i = 0; i < table->n; i++) {
        struct change *row = &table->rows[i];
        row->adjusted_p = adjusted[i];
        row->part = table->of_scopes ? (row->after - row->before) / token : row->ratio - 1;
        row->verdict = judge(row);
        row->regression =
            c->asked && c->comparable && row->verdict == SLOWER && row->part > c->allowed;
        c->failed = c->failed || row->regression;
    }
}

enum { ROW_WALL, ROW_PROMPT, ROW_DECODE, ROWS };

static void fill(double *out, const struct profile_summary *s, int row)
{
    for (size_t i = 0; i < s->n_sessions; i++) {
        const struct profile_session *one = &s->sessions_seen[i];
        out[i] = row == ROW_WALL ? one->wall : row == ROW_PROMPT ? one->prompt : one->decode;
    }
}

static void compare_whole(struct comparison *c)
{
    static const char *const names[ROWS] = {"session", "prompt_token", "generated_token"};
    const bool groups = c->a.batch > 1 && c->b.batch > 1;
    const char *const labels[ROWS] = {groups ? "a group" : "a session", "a prompt token",
                                      "a generated token"};
    const bool decoded = c->a.tokens > 1 && c->b.tokens > 1;
    const int n = decoded ? ROWS : ROW_DECODE;
    c->whole = begin_table(c, false, (size_t)n);
    for (int row = 0; row < n; row++) {
        fill(c->x, &c->a, row);
        fill(c->y, &c->b, row);
        add_row(&c->whole, c, names[row], labels[row]);
    }
    judge_all(&c->whole, c);
}

/* --- scopes --- */

/* PROFILE_SCOPES: no session of the summary has it. */
static size_t find_scope(const struct profile_summary *s, const char *name)
{
    for (size_t scope = 0; scope < PROFILE_SCOPES; scope++) {
        const char *own = profile_scope_name(s, scope);
        if (own == NULL || strcmp(own, name) != 0)
            continue;
        for (size_t i = 0; i < s->n_sessions; i++)
            if (s->sessions_seen[i].scopes[scope] > 0)
                return scope;
    }
    return PROFILE_SCOPES;
}

static void fill_scope(double *out, const struct profile_summary *s, size_t scope)
{
    for (size_t i = 0; i < s->n_sessions; i++)
        out[i] = s->sessions_seen[i].scopes[scope];
}

static const char *label_of(size_t scope, const char *name)
{
    return scope < SCOPES ? scope_infos[scope].label : name;
}

/* By name, so that a scope that only other versions know is compared too where both have it. */
static void compare_scopes(struct comparison *c)
{
    struct compared_names both = {.n = 0}; /* in both */
    size_t at_a[PROFILE_SCOPES], at_b[PROFILE_SCOPES];
    for (size_t scope = 0; scope < PROFILE_SCOPES; scope++) {
        const char *name = profile_scope_name(&c->a, scope);
        if (name == NULL || find_scope(&c->a, name) == PROFILE_SCOPES)
            continue;
        at_a[both.n] = scope;
        at_b[both.n] = find_scope(&c->b, name);
        if (at_b[both.n] < PROFILE_SCOPES)
            add_name(&both, name, label_of(scope, name));
        else
            add_name(&c->gone, name, label_of(scope, name));
    }
    for (size_t scope = 0; scope < PROFILE_SCOPES; scope++) {
        const char *name = profile_scope_name(&c->b, scope);
        if (name != NULL && find_scope(&c->b, name) < PROFILE_SCOPES &&
            find_scope(&c->a, name) == PROFILE_SCOPES)
            add_name(&c->came, name, label_of(scope, name));
    }
    c->scopes = begin_table(c, true, both.n);
    for (size_t i = 0; i < both.n; i++) {
        fill_scope(c->x, &c->a, at_a[i]);
        fill_scope(c->y, &c->b, at_b[i]);
        add_row(&c->scopes, c, both.names[i], both.labels[i]);
    }
    judge_all(&c->scopes, c);
}

const char *compare_test_name(const struct table *table)
{
    return table->ranked ? "Mann-Whitney" : "Welch";
}

enum status compare_reports(struct comparison *c, struct error *err)
{
    c->x = calloc(c->a.n_sessions, sizeof *c->x);
    c->y = calloc(c->b.n_sessions, sizeof *c->y);
    if (c->x == NULL || c->y == NULL)
        return error_no_memory(err, c->a.n_sessions * sizeof *c->x, "the comparison");
    find_differences(c);
    c->failed = c->asked && !c->comparable;
    compare_whole(c);
    compare_scopes(c);
    return STATUS_OK;
}
