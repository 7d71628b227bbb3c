/* profile_read.c - what a comparison needs, out of a report's JSON. Pure; any thread.
 *
 * A number that is missing or impossible would become a change of 100 %, or no change at all: every
 * value that is compared must be there once and be possible, else its place is named.
 */
#include "report/profile.h"

#include "base/append.h"
#include "base/utf8.h"

#include <cjson/cJSON.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 64, NODES_MAX = 4000000, FORMAT = 1 };

static const double number_max = 1e15;

struct parsed_object { /* of one object; after the first fault everything reads as nothing */
    const cJSON *object;
    char place[64]; /* "sessions[3]."; "": the whole report */
    enum status status;
    struct error *err;
};

/* --- values of an object --- */

static void fault(struct parsed_object *r, const char *key, const char *what)
{
    if (r->status == STATUS_OK)
        r->status = error_set(r->err, STATUS_FORMAT, "%s%s %s", r->place, key, what);
}

/* NULL: absent, or a fault. */
static const cJSON *optional(struct parsed_object *r, const char *key)
{
    const cJSON *found = NULL, *item;
    if (r->status != STATUS_OK)
        return NULL;
    cJSON_ArrayForEach(item, r->object)
    {
        if (strcmp(item->string, key) != 0)
            continue;
        if (found != NULL)
            fault(r, key, "appears more than once");
        found = item;
    }
    return r->status == STATUS_OK ? found : NULL;
}

static const cJSON *member(struct parsed_object *r, const char *key)
{
    const cJSON *item = optional(r, key);
    if (item == NULL)
        fault(r, key, "is missing");
    return item;
}

/* From 0 on. Not finite is what cJSON makes of 1e999. */
static double amount_of(struct parsed_object *r, const char *key, const cJSON *item)
{
    if (item == NULL)
        return 0;
    if (!cJSON_IsNumber(item))
        fault(r, key, "is not a number");
    else if (!(item->valuedouble >= 0 && item->valuedouble < number_max))
        fault(r, key, "must be 0 or more, and below 1e15");
    return r->status == STATUS_OK ? item->valuedouble : 0;
}

static double positive(struct parsed_object *r, const char *key)
{
    double value = amount_of(r, key, member(r, key));
    if (value < 1 / number_max)
        fault(r, key, "must be above 0");
    return value;
}

static size_t whole(struct parsed_object *r, const char *key)
{
    double value = positive(r, key);
    if (value < 1)
        fault(r, key, "must be 1 or more");
    return r->status == STATUS_OK ? (size_t)value : 0;
}

static void text_of(struct parsed_object *r, const char *key, char *out, size_t room)
{
    const cJSON *item = member(r, key);
    if (item != NULL && !cJSON_IsString(item))
        fault(r, key, "is not a text");
    if (r->status == STATUS_OK) /* it goes to a terminal */
        utf8_printable(out, room, item->valuestring, strlen(item->valuestring));
}

/* A member that is an object itself, to be read now; its faults are the outer one's by leave. */
static struct parsed_object enter(struct parsed_object *outer, const char *key)
{
    const cJSON *object = member(outer, key);
    if (object != NULL && !cJSON_IsObject(object))
        fault(outer, key, "is not an object");
    struct parsed_object r = *outer;
    r.object = object;
    size_t n = strlen(r.place);
    append_text(r.place, sizeof r.place, &n, "%s.", key);
    return r;
}

static void leave(struct parsed_object *outer, const struct parsed_object *inner)
{
    outer->status = inner->status;
}

/* --- sections --- */

static void read_machine(struct profile_summary *out, struct parsed_object *root)
{
    struct parsed_object r = enter(root, "machine");
    text_of(&r, "cpu", out->cpu, sizeof out->cpu);
    text_of(&r, "kernels", out->kernels, sizeof out->kernels);
    out->n_threads = whole(&r, "threads");
    out->n_workers = whole(&r, "workers");
    leave(root, &r);
}

static void read_model(struct profile_summary *out, struct parsed_object *root)
{
    struct parsed_object r = enter(root, "model");
    text_of(&r, "name", out->model, sizeof out->model);
    text_of(&r, "architecture", out->architecture, sizeof out->architecture);
    text_of(&r, "weights", out->weights, sizeof out->weights);
    text_of(&r, "kv_type", out->kv_type, sizeof out->kv_type);
    out->parameters = positive(&r, "parameters");
    out->context = whole(&r, "context");
    leave(root, &r);
}

static void read_workload(struct profile_summary *out, struct parsed_object *root)
{
    struct parsed_object r = enter(root, "workload");
    char source[16] = "";
    text_of(&r, "source", source, sizeof source);
    if (strcmp(source, "live") == 0 && r.status == STATUS_OK)
        r.status = error_set(r.err, STATUS_FORMAT,
                             "a live report has no sessions to compare; `smallmind profile --json` "
                             "makes one that has");
    out->tokens = whole(&r, "tokens");
    out->prompt = whole(&r, "prompt");
    out->batch = whole(&r, "batch");
    out->temperature = amount_of(&r, "temperature", member(&r, "temperature"));
    leave(root, &r);
}

static void read_limits(struct profile_summary *out, struct parsed_object *root)
{
    if (optional(root, "limits") == NULL)
        return;
    struct parsed_object r = enter(root, "limits");
    out->read_gb_s = amount_of(&r, "read_gb_s", optional(&r, "read_gb_s"));
    leave(root, &r);
}

/* --- sessions --- */

/* A scope's place in a session: its own, or after them that of a name which another version gave.
 * PROFILE_SCOPES: a fault. */
static size_t place_of(struct profile_summary *s, struct parsed_object *r, const char *name)
{
    size_t n = strlen(name);
    for (size_t scope = 0; scope < PROFILE_SCOPES; scope++)
        if (profile_scope_name(s, scope) != NULL && strcmp(profile_scope_name(s, scope), name) == 0)
            return scope;
    if (n == 0 || n >= sizeof s->others[0] ||
        name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")] != '\0')
        fault(r, name, "is not a scope's name");
    else if (s->n_others == PROFILE_OTHERS)
        fault(r, name, "is one unknown scope more than this version can hold");
    else
        memcpy(s->others[s->n_others++], name, n + 1);
    return r->status == STATUS_OK ? SCOPES + s->n_others - 1 : PROFILE_SCOPES;
}

static void read_scopes(struct profile_summary *s, struct profile_session *out,
                        struct parsed_object *session)
{
    struct parsed_object r = enter(session, "scopes_per_token_ms");
    bool seen[PROFILE_SCOPES] = {false};
    const cJSON *item;
    cJSON_ArrayForEach(item, r.object)
    {
        size_t scope = r.status == STATUS_OK ? place_of(s, &r, item->string) : PROFILE_SCOPES;
        if (scope == PROFILE_SCOPES)
            break;
        if (seen[scope])
            fault(&r, item->string, "appears more than once");
        seen[scope] = true;
        out->scopes[scope] = amount_of(&r, item->string, item);
    }
    leave(session, &r);
}

/* In the units of what is compared; returns the prompts' tokens. A request's first token is its
 * prompt's. */
static size_t read_session(struct profile_summary *s, struct parsed_object *r)
{
    struct profile_session *out = &s->sessions_seen[s->n_sessions++];
    const size_t n_prompt = whole(r, "prompt_tokens"), n_tokens = whole(r, "tokens");
    out->wall = positive(r, "wall_ms");
    out->prompt = positive(r, "prompt_ms") / (double)(n_prompt > 0 ? n_prompt : 1);
    if (s->tokens > 1 && r->status == STATUS_OK)
        out->decode = positive(r, "decode_ms") /
                      ((double)n_tokens * (double)(s->tokens - 1) / (double)s->tokens);
    read_scopes(s, out, r);
    return n_prompt;
}

static enum status too_few(const struct profile_summary *s, struct error *err)
{
    if (s->batch > 1)
        return error_set(err, STATUS_FORMAT,
                         "a comparison needs two sessions or more, and a session of a batch is a "
                         "group of %zu requests: run it with --sessions %zu or more",
                         s->batch, 2 * s->batch);
    return error_set(err, STATUS_FORMAT,
                     "a comparison needs two sessions or more: run it with --sessions 2 or more");
}

static enum status read_sessions(struct profile_summary *out, struct parsed_object *root)
{
    const cJSON *sessions = member(root, "sessions"), *session;
    if (sessions != NULL && !cJSON_IsArray(sessions))
        fault(root, "sessions", "is not a list");
    if (root->status != STATUS_OK)
        return root->status;
    size_t n = (size_t)cJSON_GetArraySize(sessions), i = 0;
    if (n > PROFILE_SESSIONS_MAX)
        return error_set(root->err, STATUS_TOO_LARGE,
                         "%zu sessions: at most %d a report are compared", n, PROFILE_SESSIONS_MAX);
    out->sessions_seen = calloc(n + 1, sizeof *out->sessions_seen);
    if (out->sessions_seen == NULL)
        return error_no_memory(root->err, n * sizeof *out->sessions_seen, "a report's sessions");
    size_t first = 0;
    cJSON_ArrayForEach(session, sessions)
    {
        struct parsed_object r = {.object = session, .err = root->err};
        snprintf(r.place, sizeof r.place, "sessions[%zu]", i);
        if (!cJSON_IsObject(session))
            fault(&r, "", "is not an object");
        snprintf(r.place, sizeof r.place, "sessions[%zu].", i++);
        const size_t n_prompt = read_session(out, &r);
        first = first == 0 ? n_prompt : first;
        if (i == n && n_prompt < first)
            out->n_sessions--;
        else if (n_prompt != first)
            fault(&r, "prompt_tokens", "is not what the first session has");
        if (r.status != STATUS_OK)
            return r.status;
    }
    return out->n_sessions < 2 ? too_few(out, root->err) : STATUS_OK;
}

/* --- the report --- */

static enum status read_report(struct profile_summary *out, const cJSON *root, struct error *err)
{
    struct parsed_object r = {.object = root, .err = err};
    if (!cJSON_IsObject(root))
        return error_set(err, STATUS_FORMAT, "this is not a profile's report");
    double format = amount_of(&r, "format", member(&r, "format"));
    if (r.status != STATUS_OK) {
        struct error cause = *err;
        return error_set(err, cause.status, "this is not a profile's report: %s", cause.text);
    }
    if (format < FORMAT || format > FORMAT)
        return error_set(err, STATUS_UNSUPPORTED, "format %g: this version reads format %d", format,
                         FORMAT);
    text_of(&r, "version", out->version, sizeof out->version);
    read_machine(out, &r);
    read_model(out, &r);
    read_workload(out, &r);
    read_limits(out, &r);
    return read_sessions(out, &r);
}

enum status profile_read(struct profile_summary *out, const char *text, size_t n, struct error *err)
{
    struct profile_summary summary = {.model = ""};
    enum status status = json_check(text, n, DEPTH_MAX, NODES_MAX, err);
    if (status != STATUS_OK)
        return status;
    cJSON *root = cJSON_ParseWithLength(text, n);
    if (root == NULL)
        return error_no_memory(err, n, "a report");
    status = read_report(&summary, root, err);
    cJSON_Delete(root);
    if (status == STATUS_OK)
        *out = summary;
    else
        profile_summary_free(&summary);
    return status;
}

const char *profile_scope_name(const struct profile_summary *summary, size_t scope)
{
    if (scope < SCOPES)
        return scope_infos[scope].name;
    return scope - SCOPES < summary->n_others ? summary->others[scope - SCOPES] : NULL;
}

void profile_summary_free(struct profile_summary *summary)
{
    free(summary->sessions_seen);
    *summary = (struct profile_summary){.model = ""};
}
