/* job.c - one block of memory for a job and everything it will ever hold.
 *
 * Created and destroyed by the submitter's thread. Memory that a job does not come to use (text and
 * log-probability records of tokens never made) is never touched, so it costs address space only.
 * Knows nothing of workers.
 */
#include "engine/job.h"

#include "base/checked.h"
#include "guide/guide.h"

#include <stdlib.h>

enum { PART_ALIGN = 16, UTF8_GROWTH = 3 /* a byte becomes U+FFFD at worst */ };

/* Adds room for n things to *total and says where they begin. */
static bool add_part(size_t *total, size_t n, size_t size, size_t *at)
{
    size_t bytes, begin, end;
    if (!checked_mul(n, size, &bytes) || !checked_align(*total, PART_ALIGN, &begin) ||
        !checked_add(begin, bytes, &end))
        return false;
    *at = begin;
    *total = end;
    return true;
}

/* The most that utf8_stream_push may write for all tokens, its slack included. */
static bool text_bytes(const struct job_size *size, size_t *out)
{
    size_t n;
    return checked_mul(size->max_tokens, size->max_piece, &n) && checked_add(n, 16, &n) &&
           checked_mul(n, UTF8_GROWTH, out) && *out <= UINT32_MAX;
}

enum status job_create(struct job **out, const struct job_size *size, struct error *err)
{
    size_t total = sizeof(struct job), n_text;
    size_t prompt, biases, stops, borders, tokens, logprobs, prompt_logprobs, profile, text, vector;
    size_t n_logprobs = size->logprobs ? size->max_tokens : 0;
    size_t n_prompt_logprobs = size->prompt_logprobs ? size->n_prompt : 0, n_sequence;
    if (!text_bytes(size, &n_text) || !checked_add(size->n_prompt, size->max_tokens, &n_sequence) ||
        !add_part(&total, n_sequence, sizeof(int32_t), &prompt) ||
        !add_part(&total, size->n_biases, sizeof(struct logit_bias), &biases) ||
        !add_part(&total, size->stop_bytes, sizeof(uint32_t), &borders) ||
        !add_part(&total, size->stop_bytes, 1, &stops) ||
        !add_part(&total, size->max_tokens, sizeof(struct token_record), &tokens) ||
        !add_part(&total, n_logprobs, sizeof(struct logprob_record), &logprobs) ||
        !add_part(&total, n_prompt_logprobs, sizeof(struct logprob_record), &prompt_logprobs) ||
        !add_part(&total, size->profile, sizeof(struct job_profile), &profile) ||
        !add_part(&total, size->n_vector, sizeof(float), &vector) ||
        !add_part(&total, n_text, 1, &text))
        return error_set(err, STATUS_TOO_LARGE,
                         "a request for %zu tokens needs more memory than can be addressed",
                         size->max_tokens);
    struct job *job = calloc(1, total);
    if (!job)
        return error_no_memory(err, total, "a request");
    if (size->grammar != NULL) {
        enum status status = guide_create(&job->guide, size->grammar, err);
        if (status != STATUS_OK) {
            free(job);
            return status;
        }
        job->grammar = grammar_retain(size->grammar);
    }
    char *base = (char *)job;
    job->prompt = (const int32_t *)(void *)(base + prompt);
    job->n_prompt = size->n_prompt;
    job->max_tokens = size->max_tokens;
    job->n_logprobs = job->n_prompt_logprobs = -1;
    job->sampling.biases = (const struct logit_bias *)(void *)(base + biases);
    job->output.borders = (uint32_t *)(void *)(base + borders);
    job->stop_memory = base + stops;
    job->tokens = (struct token_record *)(void *)(base + tokens);
    job->logprobs = size->logprobs ? (struct logprob_record *)(void *)(base + logprobs) : NULL;
    job->prompt_logprobs =
        size->prompt_logprobs ? (struct logprob_record *)(void *)(base + prompt_logprobs) : NULL;
    job->profile = size->profile ? (struct job_profile *)(void *)(base + profile) : NULL;
    job->vector = size->n_vector > 0 ? (float *)(void *)(base + vector) : NULL;
    job->n_vector = size->n_vector;
    job->text = base + text;
    *out = job;
    return STATUS_OK;
}

void job_destroy(struct job *job)
{
    if (job == NULL)
        return;
    guide_destroy(job->guide);
    grammar_release(job->grammar);
    free(job);
}

int32_t *job_prompt(struct job *job)
{
    return (int32_t *)(uintptr_t)job->prompt;
}

struct logit_bias *job_biases(struct job *job)
{
    return (struct logit_bias *)(uintptr_t)job->sampling.biases;
}

char *job_stop_bytes(struct job *job)
{
    return job->stop_memory;
}
