/* server.h - the HTTP service from resolved settings to the last answer: what `serve` does.
 *
 * server_run owns the calling thread, which becomes the loop thread. It listens at once and answers
 * /readyz with 503 while the model is loaded and the engine started on libuv's pool; from then on
 * it serves until SIGTERM, SIGINT or SIGQUIT, drains, and returns. Nothing else of server/ need be
 * known by the verbs but log.h.
 */
#pragma once

#include "base/cpu.h"
#include "base/error.h"
#include "config/settings.h"
#include "engine/loaded_model.h"
#include "math/kernels.h"
#include "model/model.h"
#include "text/tokenizer/tokenizer.h"

/* Called once, on another thread than the loop's. On failure the server stops and server_run
 * returns this error. It may log. */
typedef enum status server_load_fn(void *ctx, struct loaded_model *out, struct error *err);

/* STATUS_OK: drained whole after a signal (exit 0). Anything else is exit 1 with its text: the
 * address could not be taken, the key file or the model is wrong, or the drain's time was over
 * (STATUS_CANCELLED). A second signal, and a signal while the model is still loading, end the
 * process from inside (1 and 0): a load cannot be called off. */
enum status server_run(const struct settings *settings, server_load_fn *load, void *ctx,
                       struct error *err);
