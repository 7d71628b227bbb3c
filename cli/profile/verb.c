/* verb.c - `profile`: runs the profiling workload and prints the report, as Markdown, JSON,
 * a page or a trace; or compares two reports.
 *
 * The default workload is the report's that this project descends from, on a model made in memory;
 * --model profiles any other. Main thread.
 */
#include "cli/verbs.h"

#include "cli/profile/run.h"
#include "cli/target.h"
#include "cli/terminal.h"
#include "cli/usage.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* vocabulary, context, width, layers, heads. */
static const struct synthetic default_shape = {512, 128, 256, 4, 8};

static const struct synthetic sizes[] = {
    {512, 128, 64, 2, 4},  {512, 128, 128, 4, 4}, {512, 128, 256, 4, 8},
    {512, 128, 384, 6, 8}, {512, 128, 512, 8, 8},
};
enum { N_SIZES = sizeof sizes / sizeof sizes[0] };

struct profile {
    const struct settings *settings;
    struct loaded loaded;
    struct engine *engine;
    struct profile_parts parts;
    struct profile_kernel kernels[PROFILE_KERNELS];
    struct profile_size sizes[N_SIZES];
    struct bar bar;
};

/* --- what is profiled --- */

static enum status load_synthetic(struct loaded *out, const struct settings *s,
                                  const struct synthetic *shape, struct error *err)
{
    enum status status = load_machine(out, s, err);
    if (status == STATUS_OK)
        status = synthetic_load(shape, s->context, &out->model, &out->tokenizer, err);
    if (status != STATUS_OK && strcmp(err->param, "context") == 0) {
        struct error cause = *err;
        error_set_param(err, cause.status, "--context", "--context: %s", cause.text);
    }
    if (status != STATUS_OK)
        load_free(out);
    return status;
}

static enum status make_plan(struct profile_plan *out, const struct settings *s,
                             const struct model *model, struct error *err)
{
    const bool filled = s->sessions < s->batch && settings_is_default(s, "sessions");
    struct profile_plan plan = {.sessions = filled ? s->batch : s->sessions,
                                .tokens = s->tokens,
                                .prompt = s->prompt,
                                .batch = s->batch,
                                .seed = s->has_seed ? s->seed : 1,
                                .temperature = s->temperature,
                                .overhead = true};
    if (plan.prompt + plan.tokens > model->n_context)
        return error_set_param(err, STATUS_INVALID, "--tokens",
                               "--prompt %zu and --tokens %zu go beyond the context of %zu",
                               plan.prompt, plan.tokens, model->n_context);
    *out = plan;
    return STATUS_OK;
}

static enum status measure(struct profile *p, const struct profile_plan *plan, struct error *err)
{
    enum status status =
        sessions_measure(&p->parts, &p->loaded, p->settings, plan, &p->engine, &p->bar, err);
    const struct loaded_model model = {.model = p->loaded.model,
                                       .tokenizer = p->loaded.tokenizer,
                                       .kernels = p->loaded.kernels,
                                       .cpu = &p->loaded.cpu};
    if (status == STATUS_OK)
        status =
            profile_build(&p->parts, &model, p->engine, (enum kv_type)p->settings->kv_type, err);
    return status;
}

/* One model of the scaling table, measured and forgotten. */
static enum status measure_size(struct profile *p, const struct synthetic *shape,
                                struct profile_size *out, struct error *err)
{
    struct profile one = {.settings = p->settings, .bar = p->bar};
    struct profile_plan plan;
    enum status status = load_synthetic(&one.loaded, p->settings, shape, err);
    if (status == STATUS_OK)
        status = make_plan(&plan, p->settings, one.loaded.model, err);
    if (status == STATUS_OK) {
        plan.overhead = false;
        status = measure(&one, &plan, err);
    }
    if (status == STATUS_OK) {
        const struct report *r = one.parts.report;
        const struct report_steps *decode = &r->kinds[RECORD_DECODE];
        *out = (struct profile_size){.parameters = (double)one.loaded.model->n_params,
                                     .weight_bytes = (double)one.loaded.model->bytes_per_token,
                                     .ms_per_token = r->ms_per_token,
                                     .tokens_s = r->tokens_s,
                                     .prompt_tokens_s = r->prompt_tokens_s,
                                     .moved_per_token = r->moved_per_token,
                                     .limit_bytes_s = r->in.limits.read_bytes_s,
                                     .fraction = decode->bound.fraction};
        snprintf(out->name, sizeof out->name, "%zu layers of %zu", shape->n_layers, shape->n_embd);
    }
    profile_parts_free(&one.parts);
    engine_destroy(one.engine);
    load_free(&one.loaded);
    return status;
}

static enum status run(struct profile *p, struct error *err)
{
    const struct settings *s = p->settings;
    struct profile_plan plan;
    enum status status = settings_is_default(s, "model")
                             ? load_synthetic(&p->loaded, s, &default_shape, err)
                             : load_all(&p->loaded, s, err);
    if (status == STATUS_OK)
        status = make_plan(&plan, s, p->loaded.model, err);
    if (status != STATUS_OK)
        return status;
    bar_begin(&p->bar, "profiling", "sessions");
    status = measure(p, &plan, err);
    if (status == STATUS_OK)
        status = squares_measure(p->kernels, p->loaded.kernels, err);
    for (size_t i = 0; i < N_SIZES && s->sizes && status == STATUS_OK; i++)
        status = measure_size(p, &sizes[i], &p->sizes[i], err);
    bar_end(&p->bar);
    p->parts.document.kernels = p->kernels;
    p->parts.document.n_kernels = PROFILE_KERNELS;
    p->parts.document.sizes = p->sizes;
    p->parts.document.n_sizes = s->sizes ? N_SIZES : 0;
    return status;
}

/* --- what is written --- */

static const char *const endings[] = {
    [PROFILE_JSON] = ".json", [PROFILE_HTML] = ".html", [PROFILE_TRACE] = ".trace.json"};
static const char *const options[] = {
    [PROFILE_JSON] = "--json", [PROFILE_HTML] = "--html", [PROFILE_TRACE] = "--trace"};
enum { FORMS = sizeof options / sizeof options[0] };

static bool is_wanted(const struct settings *s, int form)
{
    return form == PROFILE_JSON ? s->json : form == PROFILE_HTML ? s->html : s->trace;
}

static size_t count_wanted(const struct settings *s)
{
    return (size_t)s->json + s->html + s->trace;
}

/* A form's file; with several forms each has its ending after the name. "": standard output. */
static enum status name_target(const struct settings *s, int form, char out[PATH_MAX],
                               struct error *err)
{
    const bool several = count_wanted(s) > 1;
    const bool output = s->argument == NULL || (!several && strcmp(s->argument, "-") == 0);
    int n =
        snprintf(out, PATH_MAX, "%s%s", output ? "" : s->argument, several ? endings[form] : "");
    return n < PATH_MAX ? STATUS_OK : error_errno(err, ENAMETOOLONG, "%s", s->argument);
}

static enum status write_form(const struct profile *p, int form, struct error *err)
{
    char path[PATH_MAX], *text;
    size_t n;
    enum status status = name_target(p->settings, form, path, err);
    if (status == STATUS_OK)
        status = profile_render(&p->parts.document, (enum profile_form)form, &text, &n, err);
    if (status != STATUS_OK)
        return status;
    status = path[0] != '\0' ? target_write(path, text, n, err) : terminal_write(text, n, err);
    if (status == STATUS_OK && path[0] == '\0' && form == PROFILE_JSON)
        status = terminal_write("\n", 1, err);
    free(text);
    return status;
}

static enum status write_all(const struct profile *p, struct error *err)
{
    enum status status = STATUS_OK;
    if (count_wanted(p->settings) == 0)
        return print_profile(&p->parts.document, err);
    for (int form = 0; form < FORMS && status == STATUS_OK; form++)
        if (is_wanted(p->settings, form))
            status = write_form(p, form, err);
    return status;
}

/* --- what is asked for --- */

/* Told before the run what would be in vain. */
static enum status check_targets(const struct settings *s, struct error *err)
{
    enum status status = STATUS_OK;
    for (int form = 0; form < FORMS && status == STATUS_OK; form++) {
        char path[PATH_MAX];
        if (!is_wanted(s, form))
            continue;
        status = name_target(s, form, path, err);
        if (status == STATUS_OK && path[0] != '\0')
            status = target_check(path, s->model, options[form], err);
    }
    return status;
}

static enum status check_sizes(const struct settings *s, struct error *err)
{
    for (size_t i = 0; i < N_SIZES && s->sizes; i++) {
        const size_t context = s->context != 0 ? s->context : sizes[i].n_context;
        if (context > sizes[i].n_context)
            return error_set_param(err, STATUS_INVALID, "--sizes",
                                   "--sizes: its models have a context of %zu; --context %zu goes "
                                   "beyond it",
                                   sizes[i].n_context, context);
        if (s->prompt + s->tokens > context)
            return error_set_param(err, STATUS_INVALID, "--sizes",
                                   "--sizes: its models have a context of %zu; --prompt %zu and "
                                   "--tokens %zu go beyond it",
                                   context, s->prompt, s->tokens);
    }
    return STATUS_OK;
}

static enum status check_usage(const struct settings *s, struct error *err)
{
    const size_t n = count_wanted(s);
    if (s->compare)
        return usage_compare(s, err);
    if (settings_is_flag(s, "fail-on-regression"))
        return error_set_param(err, STATUS_INVALID, "--fail-on-regression",
                               "--fail-on-regression needs --compare A.json B.json");
    if (s->arguments[1] != NULL)
        return error_set_param(err, STATUS_INVALID, "--compare",
                               "two files are reports to compare: --compare A.json B.json");
    if (n == 0 && s->argument != NULL)
        return error_set_param(err, STATUS_INVALID, "--json",
                               "\"%s\": say what to write there: --json, --html or --trace",
                               s->argument);
    if (n > 1 && s->argument == NULL)
        return error_set_param(err, STATUS_INVALID, "--json",
                               "several forms need a name to write to: NAME.json, NAME.html, "
                               "NAME.trace.json");
    if (s->argument != NULL && s->argument[0] == '\0')
        return error_set_param(err, STATUS_INVALID, "--json", "the file's name is empty");
    if (s->batch > s->sessions && !settings_is_default(s, "sessions"))
        return error_set_param(err, STATUS_INVALID, "--batch",
                               "--batch %zu: with %zu sessions there are never so many at once",
                               s->batch, s->sessions);
    enum status status = check_sizes(s, err);
    return status == STATUS_OK ? check_targets(s, err) : status;
}

int verb_profile(const struct settings *settings)
{
    struct error err = {0};
    enum status status = check_usage(settings, &err);
    if (status != STATUS_OK)
        return verb_fail(&err);
    if (settings->compare)
        return compare_verb(settings);
    struct profile *p = calloc(1, sizeof *p);
    if (p == NULL) {
        error_no_memory(&err, sizeof *p, "the profile");
        return verb_fail(&err);
    }
    p->settings = settings;
    status = run(p, &err);
    if (status == STATUS_OK)
        status = write_all(p, &err);
    profile_parts_free(&p->parts);
    engine_destroy(p->engine);
    load_free(&p->loaded);
    free(p);
    return status == STATUS_OK || status == STATUS_CANCELLED ? EXIT_DONE : verb_fail(&err);
}
