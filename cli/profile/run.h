/* run.h - what `profile` measures: sessions on an engine of its own, the recorder's own
 * cost, the machine's limits and single kernels.
 *
 * Main thread; the engine's workers compute. Everything is measured first and read afterwards.
 */
#pragma once

#include "cli/bar.h"
#include "cli/load.h"
#include "cli/profile/model.h"
#include "config/settings.h"
#include "engine/engine.h"
#include "report/profile_document.h"

/* --- the verb's own --- */

struct profile_plan {
    size_t sessions, tokens, prompt, batch;
    uint64_t seed;
    float temperature;
    bool overhead; /* measure the recorder's own cost */
};

/* Sessions on a new engine; fills all of parts but report and document. */
enum status sessions_measure(struct profile_parts *parts, const struct loaded *loaded,
                             const struct settings *settings, const struct profile_plan *plan,
                             struct engine **engine, struct bar *bar, struct error *err);

enum { PROFILE_KERNELS = 9 };
/* matmul, softmax and GELU at 128, 256 and 512, three iterations each. */
enum status squares_measure(struct profile_kernel *out, const struct kernels *kernels,
                            struct error *err);

/* For people: Markdown to standard output, with colour and bars on a terminal. */
enum status print_profile(const struct profile_document *document, struct error *err);

/* Compares the two reports that are the settings' arguments (compare_verb.c); returns the exit
 * code. */
int compare_verb(const struct settings *settings);
