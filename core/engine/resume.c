/* resume.c - tokens given with a request become the beginning of its answer. See resume.h. */
#include "engine/resume.h"

#include "engine/output.h"
#include "guide/guide.h"

static const char field[] = "resume_tokens";

/* Whether the token may come next, as far as can be said without the model. */
static enum status check(const struct job *job, const struct tokenizer *tokenizer, size_t i,
                         struct error *err)
{
    const int32_t id = job->prompt[job->n_prompt + i];
    if (id < 0 || (size_t)id >= tokenizer_n_vocab(tokenizer))
        return error_set_param(err, STATUS_INVALID, field, "%s[%zu] is not a token: %d", field, i,
                               (int)id);
    if (tokenizer_is_end(tokenizer, id) || output_ends_at(job, id))
        return error_set_param(err, STATUS_INVALID, field,
                               "%s[%zu] is %d, a token that ends the text and is not among an "
                               "answer's tokens",
                               field, i, (int)id);
    if (sampler_bans(job->sampling.biases, job->sampling.n_biases, id))
        return error_set_param(err, STATUS_INVALID, field, "%s[%zu] is %d, which logit_bias bans",
                               field, i, (int)id);
    return STATUS_OK;
}

/* guide: at the beginning of the text; NULL: any text will do. */
static enum status take(struct job *job, const struct tokenizer *tokenizer, struct guide *guide,
                        struct error *err)
{
    for (size_t i = 0; i < job->n_given; i++) {
        const int32_t id = job->prompt[job->n_prompt + i];
        enum status status = check(job, tokenizer, i, err);
        if (status != STATUS_OK)
            return status;
        if (i + 1 == job->n_given)
            break;
        if (guide != NULL && (guide_must_end(guide) || !guide_take(guide, id)))
            return error_set_param(err, STATUS_INVALID, field,
                                   "%s[%zu] is %d, which cannot come there in the form that was "
                                   "asked for",
                                   field, i, (int)id);
        if (output_append(job, tokenizer, id))
            return error_set_param(err, STATUS_INVALID, field,
                                   "%s go beyond the answer's end: a stop string is complete with "
                                   "%s[%zu]",
                                   field, field, i);
    }
    return STATUS_OK;
}

enum status resume_take(struct job *job, const struct tokenizer *tokenizer, struct error *err)
{
    if (job->n_given > job->max_tokens)
        return error_set_param(err, STATUS_INVALID, field,
                               "%s holds %zu tokens, and the answer may have %zu", field,
                               job->n_given, job->max_tokens);
    /* The job's own stays at the beginning: the worker follows the tokens with it once more. */
    struct guide *guide = NULL;
    enum status status =
        job->grammar != NULL ? guide_create_like(&guide, job->guide, err) : STATUS_OK;
    if (status != STATUS_OK)
        return status;
    output_begin(job);
    status = take(job, tokenizer, guide, err);
    guide_destroy(guide);
    if (status != STATUS_OK)
        return status;
    job->n_completion = job->n_tokens;
    atomic_store_explicit(&job->n_ready, output_n_ready(job), memory_order_relaxed);
    job->begun = true;
    return STATUS_OK;
}

void resume_refuse(struct job *job, size_t i, int32_t drawn)
{
    static const char why[] = "they are another request's, another model's, or changed";
    const int given = (int)job->prompt[job->n_prompt + i];
    if (drawn == TOKEN_NONE)
        error_set_param(&job->error, STATUS_INVALID, field,
                        "%s[%zu] is %d, and this request's answer ends before it: %s", field, i,
                        given, why);
    else
        error_set_param(&job->error, STATUS_INVALID, field,
                        "%s[%zu] is %d, and this request's answer has %d there: %s", field, i,
                        given, (int)drawn, why);
}
