/* logprobs.c - the log-probabilities of a text part, beside tools and without. Loop thread;
 * allocates nothing; does not know of items. */
#include "api/responses/parts.h"

void responses_put_logprobs(struct json_writer *w, const struct generation *g, size_t begin,
                            size_t end)
{
    json_raw(w, ",\"logprobs\":");
    if (responses_wishes(g)->logprobs)
        json_logprobs(w, g->tokenizer, g->choices[0].job, begin, end);
    else
        json_raw(w, "[]");
}
