/* compare_print.c - a comparison for people, as Markdown. No state. */
#include "cli/profile/compare.h"

#include <math.h>

static const char *plural(size_t n)
{
    return n == 1 ? "" : "s";
}

/* --- what is compared --- */

static void print_side(FILE *out, char side, const struct profile_summary *s)
{
    fprintf(out, "%c: smallmind %s, %s in %s, ", side, s->version, s->model, s->weights);
    if (s->batch > 1)
        fprintf(out, "%zu groups of %zu requests of %zu token%s", s->n_sessions, s->batch,
                s->tokens, plural(s->tokens));
    else
        fprintf(out, "%zu session%s of %zu token%s", s->n_sessions, plural(s->n_sessions),
                s->tokens, plural(s->tokens));
    fprintf(out, " after a prompt of %zu, %zu thread%s, %s kernels, on %s.\n", s->prompt,
            s->n_threads, plural(s->n_threads), s->kernels, s->cpu);
}

static void print_names(FILE *out, const struct compared_names *list)
{
    for (size_t i = 0; i < list->n; i++)
        fprintf(out, "%s%s", i > 0 ? ", " : "", list->labels[i]);
    if (list->n == 0)
        fputs("nothing", out);
}

static void print_head(const struct comparison *c, FILE *out)
{
    const struct profile_summary *a = &c->a, *b = &c->b;
    fprintf(out, "# %s against %s\n\n", c->file_b, c->file_a);
    print_side(out, 'A', a);
    print_side(out, 'B', b);
    if (c->differences.n > 0) {
        fputs("**They differ in ", out);
        print_names(out, &c->differences);
        fputs(".**\n", out);
    }
    if (a->read_gb_s > 0 && b->read_gb_s > 0) {
        double change = b->read_gb_s / a->read_gb_s - 1;
        fprintf(out, "The machine itself read %.1f GB/s at A and %.1f GB/s at B (%+.1f%%)%s.\n",
                a->read_gb_s, b->read_gb_s, 100 * change,
                change > 0.1 || change < -0.1 ? ": that alone may explain as much" : "");
    }
}

/* --- tables --- */

static void print_interval(FILE *out, const struct interval *interval)
{
    if (isfinite(interval->high))
        fprintf(out, "%+.1f%% .. %+.1f%%", 100 * (interval->low - 1), 100 * (interval->high - 1));
    else
        fputs("unknown", out);
}

static void print_row(FILE *out, const struct change *row, bool of_scopes, bool colour)
{
    static const char *const verdicts[] = {
        [WITHIN_NOISE] = "within the noise", [SLOWER] = "slower", [FASTER] = "faster"};
    const char *begin = !colour || row->verdict == WITHIN_NOISE ? ""
                        : row->verdict == SLOWER                ? "\033[31m"
                                                                : "\033[32m";
    fprintf(out, "| %s | %.4f ms | %.4f ms | %s%+.1f%%%s | ", row->label, row->before, row->after,
            begin, 100 * (row->ratio - 1), begin[0] != '\0' ? "\033[0m" : "");
    if (of_scopes)
        fprintf(out, "%+.2f%% | ", 100 * row->part);
    print_interval(out, &row->interval);
    fprintf(out, " | %.4f | %.4f | %s |\n", row->p, row->adjusted_p, verdicts[row->verdict]);
}

static void print_table(FILE *out, const struct table *table, bool colour)
{
    if (table->of_scopes)
        fputs("\n## Scopes, a generated token\n\n"
              "| scope | A | B | change | of a token | 95 of 100 resamplings | p | adjusted p | "
              "verdict |\n|---|---:|---:|---:|---:|---:|---:|---:|---|\n",
              out);
    else
        fputs("\n## The whole\n\n"
              "| what | A | B | change | 95 of 100 resamplings | p | adjusted p | verdict |\n"
              "|---|---:|---:|---:|---:|---:|---:|---|\n",
              out);
    for (size_t i = 0; i < table->n; i++)
        print_row(out, &table->rows[i], table->of_scopes, colour);
}

/* --- what it means --- */

static const char *test_of(const struct table *table)
{
    return table->ranked
               ? "the rank test (Mann-Whitney)"
               : "Welch's t test of the logarithms, as the sessions are too few for ranks";
}

static void print_method(const struct comparison *c, FILE *out)
{
    fprintf(out, "\n**%s**\n", compare_caution);
    fprintf(
        out,
        "\nA change counts as beyond the noise when 95 of 100 resamplings of the %s' means "
        "(bootstrap, 2000) lie on its side of no change, it is at least %.1f%%, and a test agrees: "
        "for the whole %s, for scopes %s. Its p, adjusted for the rows of its table by Benjamini "
        "and Hochberg's procedure (%zu scope%s), must be below %.2f: one in %.0f of the rows "
        "called changed may be so by chance.\n",
        c->a.batch > 1 && c->b.batch > 1 ? "groups" : "sessions", 100 * COMPARE_SMALLEST,
        test_of(&c->whole), test_of(&c->scopes), c->scopes.n, plural(c->scopes.n),
        COMPARE_SIGNIFICANT, 1 / COMPARE_SIGNIFICANT);
}

static void print_regressions(const struct comparison *c, FILE *out)
{
    if (c->asked && !c->comparable) {
        fputs("\n**Not comparable**: they differ in ", out);
        print_names(out, &c->differences);
        fputs(", so that a slowdown would say nothing of the code (--fail-on-regression).\n", out);
    }
    for (size_t i = 0; i < c->whole.n; i++)
        if (c->whole.rows[i].regression)
            fprintf(out,
                    "\nSlower by %.1f%%, beyond the noise: more than the %.4g%% allowed: %s.\n",
                    100 * c->whole.rows[i].part, 100 * c->allowed, c->whole.rows[i].label);
    for (size_t i = 0; i < c->scopes.n; i++)
        if (c->scopes.rows[i].regression)
            fprintf(out,
                    "\n%s adds %.1f%% to a generated token, beyond the noise: more than the %.4g%% "
                    "allowed.\n",
                    c->scopes.rows[i].label, 100 * c->scopes.rows[i].part, 100 * c->allowed);
}

void compare_print(const struct comparison *c, FILE *out, bool colour)
{
    print_head(c, out);
    print_table(out, &c->whole, colour);
    print_table(out, &c->scopes, colour);
    fputs("\nIn B only: ", out);
    print_names(out, &c->came);
    fputs(". In A only: ", out);
    print_names(out, &c->gone);
    fputs(".\n", out);
    print_method(c, out);
    print_regressions(c, out);
}
