/* parts.c - what whole messages and events write alike. Loop thread; allocates nothing. */
#include "api/anthropic/parts.h"

#include <string.h>

void anthropic_put_head(struct json_writer *w, const struct generation *g)
{
    json_raw(w, "{\"id\":\"msg_");
    json_raw(w, g->id);
    json_raw(w, "\",\"type\":\"message\",\"role\":\"assistant\"");
    json_name_text(w, ",", "model", g->model);
}

size_t anthropic_head_bound(const struct generation *g)
{
    return 128 + strlen(g->id) + json_string_bound(strlen(g->model));
}

void anthropic_put_signature(struct json_writer *w, const struct generation *g)
{
    json_string(w, g->id, strlen(g->id));
}

bool anthropic_empty_block(const struct generation *g)
{
    return ((const struct message_wishes *)g->wishes)->max_tokens > 0;
}
