/* flags.h - the sampling flags of `generate` and `chat` as the request builder takes them. Pure;
 * main thread. */
#pragma once

#include "api/builder.h"
#include "config/settings.h"

struct flags {                    /* zeroed first; flags_free it */
    struct builder_values values; /* all but the prompt; borrows the rest and the settings */
    struct stop_string stops[SETTINGS_STOPS];
    struct logit_bias *biases; /* owned */
};

/* STATUS_INVALID: a biased id is none of the vocabulary's, or comes twice. */
enum status flags_read(struct flags *out, const struct settings *settings, size_t n_vocab,
                       struct error *err);
void flags_free(struct flags *flags);

/* The fields' names in errors: those of the flags. */
extern const struct builder_names flags_names;
/* An error about a field that was a flag here becomes wrong usage of that flag. */
void flags_blame(enum verb verb, struct error *err);
