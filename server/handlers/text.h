/* text.h - POST /tokenize and POST /detokenize: large bodies on libuv's pool, small ones at once.
 * Loop thread. */
#pragma once

#include "server/http/request.h"

enum MHD_Result text_tokenize(struct request *r);
enum MHD_Result text_detokenize(struct request *r);

void text_end(struct text_task *task); /* takes NULL; the request has ended */
