/* statements.h - renders statements. In the heap's thread. */
#pragma once

#include "jinja/evaluate.h"

/* Renders a list of statements into run->out, in run->scope. */
void statements_render(struct jinja_run *run, const struct jinja_node *body);
