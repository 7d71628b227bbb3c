/* builder.h - from typed values to a job: the request builder that every dialect and the command
 * line share.
 *
 * Checks the values against vocabulary and context, tokenizes the prompt and fills the job in. Each
 * dialect has its own names for things, and its own defaults where its clients expect others; what
 * a value may be and what it means stands here. Pure; any thread. Knows nothing of JSON.
 *
 * Errors: STATUS_INVALID and STATUS_CONTEXT name the field as the caller calls it,
 * STATUS_NO_MEMORY.
 */
#pragma once

#include "api/generation.h"
#include "base/error.h"
#include "engine/job.h"
#include "text/sampler.h"
#include "text/tokenizer/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BUILDER_MAX_TOKENS = 128 }; /* the native API's default_tokens */

struct builder_names { /* the fields that an error can be about; static */
    const char *prompt, *max_tokens, *min_tokens, *logit_bias, *n;
};

struct builder_values { /* builder_defaults first; everything borrowed for the call */
    const char *text;   /* the prompt; NULL: it is ids, used exactly as given */
    size_t n_text;
    bool add_special;   /* BOS and EOS as the model says */
    bool parse_special; /* special tokens in the text become control tokens */
    const int32_t *ids; /* each within the vocabulary */
    size_t n_ids;
    size_t n_common; /* of them, those that other prompts are likely to begin with */
    uint32_t n;      /* answers to this prompt: choice i draws with the seed and i */

    bool has_max_tokens;
    uint64_t max_tokens, min_tokens;
    uint64_t default_tokens; /* when none are named and the context leaves as many */
    bool ignore_eos, profile;
    bool echo;                         /* the choice keeps the prompt's text */
    bool keep_stop;                    /* the stop string that ends the text stays in it */
    bool answer_only;                  /* penalties look at the answer alone, not at the prompt */
    bool no_cache;                     /* the prompt is computed anew */
    bool drawn_from;                   /* probabilities are those that were drawn from */
    bool progress;                     /* how far the prompt is read is told */
    int n_logprobs, n_prompt_logprobs; /* -1: none */
    struct sampling sampling; /* top_k and the window may be more than the model has; biases sorted
                                 by id, unique */
    const struct stop_string *stops; /* [n_stops], none empty */
    size_t n_stops;                  /* at most JOB_STOPS_MAX */
    const int32_t *stop_ids;         /* [n_stop_ids], at most JOB_STOP_IDS_MAX */
    size_t n_stop_ids;

    struct grammar *grammar; /* the answer's shape, borrowed; NULL: any text */

    enum pooling pooling; /* the limits'; with it the prompt's vector is asked for, no token */
    size_t truncate_to;   /* a longer prompt is cut to so many tokens, and to what the context and
                             the limits hold; 0: it is refused */
};

/* base/sampling_defaults.h's sampling, BOS added, nothing else asked for. */
void builder_defaults(struct builder_values *values);

/* Biases as the sampler wants them: sorted by id, -100 a ban. False: an id appears twice. */
bool builder_order_biases(struct logit_bias *biases, size_t n, int32_t *twice);

/* Builds n jobs for one prompt and appends them to the generation as choices (on failure some of
 * them: the generation is freed then); adds to g->tokenize_ns and g->n_prompts. The jobs' salt,
 * arrived_ns and deadline_ns are still to be set, their seed where the generation has none. */
enum status builder_add(struct generation *g, const struct builder_values *values,
                        const struct builder_names *names, const struct tokenizer *tokenizer,
                        const struct api_limits *limits, struct error *err);

/* `text` as ids, malloc'ed for the caller; it must be UTF-8 without NUL. field: its name. */
enum status builder_tokenize(const char *field, const char *text, size_t n, unsigned flags,
                             const struct tokenizer *tokenizer, int32_t **ids, size_t *n_ids,
                             struct error *err);
