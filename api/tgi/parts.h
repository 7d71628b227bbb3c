/* parts.h - what whole answers and events of Text Generation Inference's API write alike. Inside
 * api/tgi alone. */
#pragma once

#include "api/json/error_body.h"
#include "api/json/json.h"
#include "api/tgi/tgi.h"

struct tgi_wishes {  /* a generation's; malloc'ed */
    bool details;    /* tokens, their log-probabilities, why it ended */
    bool top_tokens; /* the likeliest ones beside each token */
    bool list;       /* the whole answer stands in a list */
};
const struct tgi_wishes *tgi_wishes_of(const struct generation *g);

/* {"id","text","logprob","special"} of a token whose text this is; logprob NULL: not known. */
void tgi_put_token(struct json_writer *w, const struct generation *g, int32_t id, const char *text,
                   size_t n_text, const float *logprob);
/* That of the token that ended the text (stop_id); NULL: not known. */
const float *tgi_end_logprob(const struct job *job);
/* [{...}, ...] of the tokens that were likeliest in a token's place. */
void tgi_put_top(struct json_writer *w, const struct generation *g,
                 const struct logprob_record *record);
/* {"finish_reason","generated_tokens","seed", left open. */
void tgi_put_details(struct json_writer *w, const struct job *job);
/* The text, after the prompt where that was asked for. */
void tgi_put_text(struct json_writer *w, const struct choice *choice);
size_t tgi_text_bound(const struct choice *choice, size_t n_text);
/* Bytes that one token, with the likeliest beside it, adds at most. */
size_t tgi_token_bound(const struct generation *g, const struct job *job);
void tgi_put_error(struct json_writer *w, const struct api_error *what, const char *message,
                   size_t n_message, const char *param);

/* The dialect's functions. */
size_t tgi_whole_bound(const struct generation *g);
size_t tgi_whole(const struct generation *g, char *out, size_t room);
size_t tgi_event_min(const struct generation *g);
size_t tgi_event(struct generation *g, char *out, size_t room);
