/* compare_verb.c - `profile --compare A.json B.json`: reads both reports, has them judged, shows
 * the comparison. Main thread. */
#include "cli/profile/compare.h"

#include "cli/fail.h"
#include "cli/markdown.h"
#include "cli/profile/run.h"
#include "cli/terminal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static enum status read_file(struct profile_summary *out, const char *path, struct error *err)
{
    char *text;
    size_t n;
    enum status status = terminal_read(path, &text, &n, err);
    if (status != STATUS_OK)
        return status;
    status = profile_read(out, text, n, err);
    free(text);
    if (status != STATUS_OK) {
        struct error cause = *err;
        error_set(err, cause.status, "%s: %s", path, cause.text);
    }
    return status;
}

static enum status show(const struct comparison *c, struct error *err)
{
    struct markdown m;
    enum status status = markdown_begin(&m, err);
    if (status != STATUS_OK)
        return status;
    compare_print(c, m.out, m.colour);
    return markdown_end(&m, err);
}

static enum status show_json(const struct comparison *c, struct error *err)
{
    const size_t room =
        65536 + json_string_bound(strlen(c->file_a)) + json_string_bound(strlen(c->file_b));
    char *text = malloc(room);
    if (text == NULL)
        return error_no_memory(err, room, "the comparison's text");
    struct json_writer w = {.out = text, .room = room};
    compare_write_json(c, &w);
    json_raw(&w, "\n");
    enum status status = w.full ? error_set(err, STATUS_INTERNAL, "the comparison has no room")
                                : terminal_write(text, w.n, err);
    free(text);
    return status;
}

static enum status compare(struct comparison *c, const struct settings *settings, struct error *err)
{
    enum status status = read_file(&c->a, c->file_a, err);
    if (status == STATUS_OK)
        status = read_file(&c->b, c->file_b, err);
    if (status != STATUS_OK)
        return status;
    status = compare_reports(c, err);
    if (status != STATUS_OK)
        return status;
    status = settings->json ? show_json(c, err) : show(c, err);
    return status == STATUS_CANCELLED ? STATUS_OK : status;
}

int compare_verb(const struct settings *settings)
{
    struct error err = {0};
    struct comparison *c = calloc(1, sizeof *c);
    if (c == NULL) {
        error_no_memory(&err, sizeof *c, "the comparison");
        return verb_fail(&err);
    }
    c->file_a = settings->arguments[0];
    c->file_b = settings->arguments[1];
    c->asked = !isnan(settings->fail_on_regression);
    c->allowed = (double)settings->fail_on_regression / 100;
    enum status status = compare(c, settings, &err);
    int code = status != STATUS_OK ? verb_fail(&err) : c->failed ? EXIT_FAILED : EXIT_DONE;
    free(c->x);
    free(c->y);
    profile_summary_free(&c->a);
    profile_summary_free(&c->b);
    free(c);
    return code;
}
