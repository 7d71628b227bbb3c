/* text.h - what is answered from a body's text alone, without the engine: /tokenize, /detokenize,
 * /apply-template, and the count of a prompt's tokens. Long work on libuv's pool, small bodies at
 * once. Loop thread. */
#pragma once

#include "server/http/request.h"

extern const struct handler text_tokenize, text_detokenize, text_apply_template;
extern const struct handler text_count; /* the whole answer of the route's dialect */
