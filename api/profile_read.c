/* profile_read.c - what a comparison needs, out of a report's JSON. Pure; any thread. */
#include "api/profile.h"

#include <cjson/cJSON.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 64, NODES_MAX = 4000000 };

static enum status missing(const char *what, struct error *err)
{
    return error_set(err, STATUS_FORMAT,
                     "no profile's report: \"%s\" is missing or of another type", what);
}

static double number_of(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNumber(item) && isfinite(item->valuedouble) ? item->valuedouble : 0;
}

static void text_of(const cJSON *object, const char *key, char *out, size_t room)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    snprintf(out, room, "%s", cJSON_IsString(item) ? item->valuestring : "");
    for (char *c = out; *c != '\0'; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?'; /* it goes to a terminal */
}

static size_t size_of(const cJSON *object, const char *key)
{
    double value = number_of(object, key);
    return value > 0 && value < 1e15 ? (size_t)value : 0;
}

static void read_session(struct profile_session *out, const cJSON *session)
{
    double tokens = number_of(session, "tokens"), prompt = number_of(session, "prompt_tokens");
    const cJSON *scopes = cJSON_GetObjectItemCaseSensitive(session, "scopes_per_token_ms");
    out->wall = number_of(session, "wall_ms");
    out->prompt = prompt > 0 ? number_of(session, "prompt_ms") / prompt : 0;
    out->decode = tokens > 1 ? number_of(session, "decode_ms") / tokens : 0;
    for (int scope = 0; scope < SCOPES; scope++) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(scopes, scope_infos[scope].name);
        out->has[scope] = cJSON_IsNumber(item);
        out->scopes[scope] = number_of(scopes, scope_infos[scope].name);
    }
}

static enum status read_report(struct profile_summary *out, const cJSON *root, struct error *err)
{
    const cJSON *machine = cJSON_GetObjectItemCaseSensitive(root, "machine");
    const cJSON *model = cJSON_GetObjectItemCaseSensitive(root, "model");
    const cJSON *workload = cJSON_GetObjectItemCaseSensitive(root, "workload");
    const cJSON *sessions = cJSON_GetObjectItemCaseSensitive(root, "sessions");
    if (!cJSON_IsObject(machine))
        return missing("machine", err);
    if (!cJSON_IsObject(model))
        return missing("model", err);
    if (!cJSON_IsObject(workload))
        return missing("workload", err);
    if (!cJSON_IsArray(sessions))
        return missing("sessions", err);
    text_of(machine, "cpu", out->cpu, sizeof out->cpu);
    text_of(model, "name", out->model, sizeof out->model);
    text_of(model, "weights", out->weights, sizeof out->weights);
    text_of(model, "kv_type", out->kv_type, sizeof out->kv_type);
    text_of(machine, "kernels", out->kernels, sizeof out->kernels);
    out->context = size_of(model, "context");
    out->n_threads = (unsigned)size_of(machine, "threads");
    out->n_workers = (unsigned)size_of(machine, "workers");
    out->temperature = number_of(workload, "temperature");
    out->tokens = size_of(workload, "tokens");
    out->prompt = size_of(workload, "prompt");
    out->batch = size_of(workload, "batch");
    out->read_gb_s = number_of(cJSON_GetObjectItemCaseSensitive(root, "limits"), "read_gb_s");
    size_t n = (size_t)cJSON_GetArraySize(sessions);
    out->sessions_seen = calloc(n + 1, sizeof *out->sessions_seen);
    if (out->sessions_seen == NULL)
        return error_no_memory(err, n * sizeof *out->sessions_seen, "a report's sessions");
    const cJSON *session;
    const double whole = number_of(cJSON_GetArrayItem(sessions, 0), "prompt_tokens");
    cJSON_ArrayForEach(session, sessions)
    {
        if (number_of(session, "prompt_tokens") >= whole)
            read_session(&out->sessions_seen[out->n_sessions++], session);
    }
    return STATUS_OK;
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
    status = cJSON_IsObject(root) ? read_report(&summary, root, err) : missing("machine", err);
    cJSON_Delete(root);
    if (status == STATUS_OK)
        *out = summary;
    else
        profile_summary_free(&summary);
    return status;
}

void profile_summary_free(struct profile_summary *summary)
{
    free(summary->sessions_seen);
    *summary = (struct profile_summary){.model = ""};
}
