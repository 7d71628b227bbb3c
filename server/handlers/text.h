/* text.h - POST /tokenize and POST /detokenize: large bodies on libuv's pool, small ones at once.
 * Loop thread. */
#pragma once

#include "server/http/request.h"

extern const struct handler text_tokenize, text_detokenize;
