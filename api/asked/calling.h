/* calling.h - tools on the way from a body to jobs, whatever the dialect.
 *
 * A dialect that can tell of calls begins a set with asking_tools and fills it; asking_add_chat
 * gives the answers the grammar of its calls, and readers that tell them apart. Any thread.
 */
#pragma once

#include "api/asked/asked.h"
#include "api/tools/history.h"
#include "api/tools/set.h"

/* The set, which the asking owns; to be filled. parallel: several calls in one answer. */
enum status asking_tools(struct asking *a, bool parallel, struct tool_set **out, struct error *err);

/* --- for asking_add_chat --- */

struct calling {          /* zeroed first; calling_free it */
    struct tool_set *set; /* borrowed; NULL: neither tools nor a syntax that must be told apart */
    bool constrains;      /* the answer has a grammar */
    struct tool_history history; /* of templates that know less of tools */
    char *memory;                /* of the messages written so */
};

/* The template that the conversation goes through is known: so are the syntax and what the
 * template must be told. Changes the request's messages and tools where it needs to. */
enum status calling_begin(struct calling *c, struct asking *a, const char *template,
                          struct chat_request *request, struct error *err);
/* The template would not take them so: whether there is another way. */
bool calling_tries_again(struct calling *c, struct chat_request *request);
/* The grammar of an answer after this reasoning, into a->grammar. */
enum status calling_grammar(const struct calling *c, struct asking *a,
                            const struct reasoning *reasoning, bool may_think, struct error *err);
/* Choices [first, g->n_choices) have their readers, and their jobs what they show. */
void calling_finish(const struct calling *c, struct asking *a, struct generation *g, size_t first);
/* The tags' control tokens, where they are some, become part of the jobs' texts: else what the
 * model thinks could not be told apart, nor its end be drawn inside a grammar. */
void calling_show_tags(const struct asking *a, const struct reasoning_tags *tags,
                       struct generation *g, size_t first);
void calling_free(struct calling *c);
