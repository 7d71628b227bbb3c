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

enum status resume_take(struct job *job, const struct tokenizer *tokenizer, struct error *err)
{
    if (job->n_given > job->max_tokens)
        return error_set_param(err, STATUS_INVALID, field,
                               "%s holds %zu tokens, and the answer may have %zu", field,
                               job->n_given, job->max_tokens);
    output_begin(job);
    for (size_t i = 0; i < job->n_given; i++) {
        const int32_t id = job->prompt[job->n_prompt + i];
        enum status status = check(job, tokenizer, i, err);
        if (status != STATUS_OK)
            return status;
        if (i + 1 == job->n_given)
            break;
        if (job->grammar != NULL && (guide_must_end(job->guide) || !guide_take(job->guide, id)))
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
    job->n_completion = job->n_tokens;
    atomic_store_explicit(&job->n_ready, output_n_ready(job), memory_order_relaxed);
    job->begun = true;
    return STATUS_OK;
}

void resume_refuse_last(struct job *job, int32_t sample)
{
    const size_t i = job->n_given - 1;
    error_set_param(&job->error, STATUS_INVALID, field,
                    "%s[%zu] is %d, and this request's answer has %d there: they are another "
                    "request's, another model's, or changed",
                    field, i, (int)job->prompt[job->n_prompt + i], (int)sample);
}
