/* choices.c - see choices.h. */
#include "api/json/choices.h"

bool json_choices(struct json_writer *w, struct generation *g, json_choice_writer *write)
{
    size_t n_done = 0;
    for (size_t i = 0; i < g->n_choices; i++) {
        if (!write(w, g, i))
            return false;
        n_done += g->choices[i].sent.done;
    }
    return n_done == g->n_choices;
}
