/* shaped.h - the shape of an answer that the flags ask for, as a grammar. Main thread. */
#pragma once

#include "config/settings.h"
#include "grammar/grammar.h"

struct engine;

/* *out: a reference; NULL: any text will do. STATUS_INVALID and STATUS_UNSUPPORTED (what the flag
 * or its file says, named by the flag), STATUS_IO, STATUS_NO_MEMORY. */
enum status shaped_grammar(struct grammar **out, const struct settings *settings,
                           struct engine *engine, struct error *err);
