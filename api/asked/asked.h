/* asked.h - what a body can ask of a generation, whatever the dialect, and the way from there to
 * jobs.
 *
 * Each dialect has a table of fields, with its own names and defaults, that fills a struct asked;
 * from then on all dialects go the same way: asking_read, then asking_add for each prompt, then
 * asking_end. Rows that a dialect lacks keep the values of asked_defaults. Any thread; holds
 * nothing between calls.
 */
#pragma once

#include "api/asked/shaping.h"
#include "api/builder.h"
#include "api/chat/chat.h"
#include "api/dialect.h"
#include "api/json/fields.h"
#include "api/json/values.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct asked {
    const struct cJSON *chat_template;
    const struct cJSON *prompt, *stop, *stop_token_ids, *logit_bias, *model;
    const struct cJSON *stream_options, *response_format, *tool_choice, *modalities;
    const struct cJSON *reasoning, *include;
    const struct cJSON *biases, *samplers, *response_fields;
    const struct cJSON *resume_tokens, *fingerprint;
    /* Shapes of the answer: a dialect's own field, and those that servers add to other APIs. */
    const struct cJSON *format, *structured, *guided_json, *guided_regex, *guided_choice;
    const struct cJSON *guided_grammar, *json_schema, *grammar;
    struct json_span tools, messages, documents, template_kwargs, reasoning_effort, system,
        metadata;
    bool add_special, parse_special, ignore_eos, stream, profile;
    bool echo, chat_logprobs, keep_stop, cache_prompt, raw;
    bool do_sample, details, prompt_details;
    bool add_generation_prompt, continue_final, parallel_calls;
    bool return_tokens, timings_per_token, return_progress, verbose, drawn_from;
    uint64_t max_tokens, min_tokens, top_k, repetition_window, seed, deadline_ms;
    uint64_t logprobs, top_logprobs, n, best_of, context;
    double temperature, top_p, min_p, typical_p;
    double repetition_penalty, presence_penalty, frequency_penalty;
};
#define ASKED(member)      .offset = offsetof(struct asked, member)
#define ASKED_WHOLE_WINDOW 16777216.0         /* of penalties: all that a context holds */
#define ASKED_EXACT        9007199254740992.0 /* 2^53: what every JSON reader keeps */
#define ASKED_LONGEST      1000000000.0       /* ms, 11 days: added to a clock, far from 64 bits */

/* Fields that inference servers add to the APIs of others (seed, min_p, ignore_eos, ...): for
 * .more. */
extern const struct field_table asked_extras;

struct asking { /* a body on its way to jobs; zeroed first */
    const struct generation_source *source;
    const struct field_table *table;
    struct asked values;
    struct fields_found found;
    struct stop_list stops;
    struct stop_id_list stop_ids;
    struct bias_list biases;
    struct answer_shape shape; /* a dialect may give it, until the first prompt is added */
    struct grammar *grammar;   /* of it, once a prompt has been added; a reference */
    struct tool_set *tools;    /* owned until asking_end; NULL: none */
    bool tells_calls;          /* the dialect's answers can tell of calls */
    struct builder_names names;
    struct builder_values builder; /* complete but for the prompt */
};

/* The native API's defaults, for what a table does not name. */
void asked_defaults(struct asked *values);

/* Reads the body by the table and checks what all dialects have alike. */
enum status asking_read(struct asking *a, const struct field_table *table,
                        const struct generation_source *source, struct error *err);
/* Whether the body had the member (offsetof), and by which name: the table's first where it had
 * none. */
bool asking_has(const struct asking *a, size_t offset);
const char *asking_name(const struct asking *a, size_t offset);

/* Where a dialect's field of this member gives the answer a shape. */
struct shape_reading asking_shape(struct asking *a, size_t offset);

/* The grammar of the answer's text, where it has a shape, into a->grammar. Where it must be
 * compiled first, and this thread may not wait, the generation says so and what is returned means
 * nothing. */
enum status asking_grammar(struct asking *a, struct generation *g, enum shaping_before before,
                           const struct reasoning_tags *tags, struct error *err);
/* One prompt more, which the values hold, with the shape that the body asks for. */
enum status asking_build(struct asking *a, struct generation *g,
                         const struct builder_values *values, struct error *err);
/* One prompt more: a string or ids of the body's tree, or what a template made of messages. Each
 * gives n choices. */
enum status asking_add(struct asking *a, struct generation *g, const struct cJSON *prompt,
                       struct error *err);
/* Renders, and appends. The generation is a chat then. STATUS_UNABLE: there is no template. */
enum status asking_add_chat(struct asking *a, struct generation *g,
                            const struct chat_request *request, const char *field,
                            struct error *err);
/* The template's variables: the dialect's own members ("\"a\":1,", or ""), the effort of reasoning,
 * then those of the request. *out: the memory of them, the caller's; NULL where none was needed. */
enum status asking_join_kwargs(const struct asking *a, const char *members, char **out,
                               struct json_span *kwargs, struct error *err);
/* A template that the body brings, for the model that `model` is of. STATUS_UNSUPPORTED where the
 * settings take none; STATUS_INVALID. */
enum status asked_template(const char *field, const struct cJSON *value,
                           const struct chat_template *model, const struct api_limits *limits,
                           struct chat_template **out, struct error *err);
/* The generation takes over its part when all is well; the rest is freed in any case. */
void asking_end(struct asking *a, struct generation *g, enum status status);
