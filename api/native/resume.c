/* resume.c - a stream that goes on: what a body and a header say of the part that came before. Any
 * thread; holds nothing between calls. */
#include "api/native/parts.h"

#include "api/asked/asked.h"

#include <cjson/cJSON.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char header[] = "Last-Event-ID";

/* Into the job, after its prompt. */
static enum status read_tokens(const struct asking *a, struct generation *g, struct error *err)
{
    const char *field = asking_name(a, offsetof(struct asked, resume_tokens));
    const struct cJSON *value = a->values.resume_tokens;
    struct job *job = g->choices[0].job;
    struct id_list ids;
    if (!cJSON_IsArray(value))
        return error_set_param(err, STATUS_INVALID, field,
                               "%s must be an array of token ids, not %s", field,
                               fields_type_name(value));
    enum status status = values_ids(field, value, a->source->tokenizer, &ids, err);
    if (status != STATUS_OK)
        return status;
    if (ids.n > job->max_tokens)
        status = error_set_param(err, STATUS_INVALID, field,
                                 "%s holds %zu tokens, and the answer may have %zu", field, ids.n,
                                 job->max_tokens);
    else if (ids.n > 0)
        memcpy(job_prompt(job) + job->n_prompt, ids.ids, ids.n * sizeof *ids.ids);
    job->n_given = status == STATUS_OK ? ids.n : 0;
    g->has_given = true;
    free(ids.ids);
    return status;
}

/* {"model","arithmetic"}: one of them, or both. */
static enum status read_fingerprint(const struct asking *a, struct generation *g, struct error *err)
{
    const char *field = asking_name(a, offsetof(struct asked, fingerprint));
    const struct cJSON *value = a->values.fingerprint;
    enum status status = values_check_object(value, field, err);
    if (status != STATUS_OK)
        return status;
    for (const struct cJSON *member = value->child; member != NULL; member = member->next) {
        const bool model = strcmp(member->string, "model") == 0;
        char *place = model ? g->wanted_model : g->wanted_arithmetic;
        if ((!model && strcmp(member->string, "arithmetic") != 0) || place[0] != '\0')
            return error_set_param(err, STATUS_INVALID, field,
                                   "%s may have model and arithmetic, each once", field);
        if (!cJSON_IsString(member) || member->valuestring[0] == '\0')
            return error_set_param(err, STATUS_INVALID, field,
                                   "%s.%s must be a value that X-Model-Fingerprint gives", field,
                                   member->string);
        snprintf(place, GENERATION_PRINT_MAX, "%s", member->valuestring);
    }
    return STATUS_OK;
}

enum status native_read_resuming(const struct asking *a, struct generation *g, struct error *err)
{
    enum status status = STATUS_OK;
    if (a->values.resume_tokens != NULL)
        status = read_tokens(a, g, err);
    if (status == STATUS_OK && a->values.fingerprint != NULL)
        status = read_fingerprint(a, g, err);
    return status;
}

/* Decimal digits that name a number of tokens. */
static bool read_number(const char *text, uint32_t *out)
{
    const size_t n = strlen(text);
    uint32_t value = 0;
    if (n == 0 || n > 9 || strspn(text, "0123456789") != n)
        return false;
    for (size_t i = 0; i < n; i++)
        value = value * 10 + (uint32_t)(text[i] - '0');
    *out = value;
    return true;
}

enum status native_resume(struct generation *g, const char *last_event_id, struct error *err)
{
    const struct job *job = g->choices[0].job;
    if (last_event_id == NULL && g->has_given)
        return error_set_param(err, STATUS_INVALID, "resume_tokens",
                               "resume_tokens needs the header %s: the id of the last event that "
                               "came, which is their number",
                               header);
    if (last_event_id == NULL)
        return STATUS_OK;
    uint32_t n;
    if (!read_number(last_event_id, &n))
        return error_set_param(err, STATUS_INVALID, header,
                               "%s must be the id of an event: a number of tokens", header);
    if (g->form != ANSWER_SSE)
        return error_set_param(err, STATUS_INVALID, header,
                               "%s goes with a stream of events: say \"stream\": true", header);
    if (!g->has_seed && job->sampling.temperature > 0)
        return error_set_param(err, STATUS_INVALID, "seed",
                               "seed is missing: an answer that was drawn goes on with the seed of "
                               "its first event, or of X-Seed");
    if (g->has_given && job->n_given != n)
        return error_set_param(err, STATUS_INVALID, "resume_tokens",
                               "resume_tokens holds %zu tokens, and %s is %s: they must be as many",
                               job->n_given, header, last_event_id);
    if (n > job->max_tokens)
        return error_set_param(err, STATUS_INVALID, header,
                               "%s is %s, beyond this answer's end: it may have %zu tokens", header,
                               last_event_id, job->max_tokens);
    g->resumes = true;
    g->resume_at = n;
    return STATUS_OK;
}
