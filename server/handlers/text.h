/* text.h - what is answered from a body's text alone, without the engine: /tokenize, /detokenize,
 * and the count of a prompt's tokens. Large bodies, and those whose dialect says so, on libuv's
 * pool, small ones at once. Loop thread. */
#pragma once

#include "server/http/request.h"

extern const struct handler text_tokenize, text_detokenize;
extern const struct handler text_count; /* the whole answer of the route's dialect */
