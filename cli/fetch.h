/* fetch.h - gets a model by its reference and says how far it is: with a bar on a terminal, or in
 * lines. Main thread; Ctrl-C and SIGTERM end it cleanly meanwhile, and mean afterwards what they
 * did before. */
#pragma once

#include "config/settings.h"
#include "store/store.h"

/* line takes each sentence. with_bar: progress is drawn where standard error is a terminal, instead
 * of a sentence every ten seconds. Errors as store_pull; STATUS_CANCELLED: a signal came. */
enum status fetch_model(struct store_result *out, const struct settings *settings,
                        const char *reference, bool with_bar, void (*line)(const char *sentence),
                        struct error *err);
