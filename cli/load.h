/* load.h - from settings to a model in memory: the machine, its kernels, the file, weights and
 * tokenizer.
 *
 * One call, on whatever thread; what it made is read-only and shared from then on. An error that an
 * option's value caused has the option ("--context") as its param; one that a file caused begins
 * with the file's name.
 */
#pragma once

#include "base/cpu.h"
#include "base/error.h"
#include "config/settings.h"
#include "gguf/gguf.h"
#include "math/kernels.h"
#include "model/model.h"
#include "text/tokenizer/tokenizer.h"

#include <stdbool.h>

struct loaded {
    struct cpu cpu;
    const struct kernels *kernels;
    struct model *model;                                       /* owned */
    struct tokenizer *tokenizer;                               /* owned */
    bool has_template;                                         /* the file has a chat template */
    struct gguf_string template, tool_template, rank_template; /* of the next three; bytes NULL:
                                                                  none */
    int *files; /* [n_files] those of the model, open; owned, unless taken over. NULL: built in */
    size_t n_files;
    char *template_text, *tool_template_text, *rank_template_text; /* owned */
};

/* STATUS_INVALID, STATUS_UNSUPPORTED (options, files), STATUS_FORMAT, STATUS_IO, STATUS_NO_MEMORY.
 */
enum status load_all(struct loaded *out, const struct settings *settings, struct error *err);
/* The checks that need no weights: the options, the file's header, that the model is one
 * that runs here. The same errors. */
enum status load_check(const struct settings *settings, struct error *err);
/* The machine and its kernels alone. */
enum status load_machine(struct loaded *out, const struct settings *settings, struct error *err);
void load_free(struct loaded *loaded); /* takes a zeroed one */

/* The file alone, "builtin" included; its vocabulary alone, of any architecture. */
enum status load_gguf(struct gguf **out, const char *model, struct error *err);
enum status load_tokenizer(struct tokenizer **out, const char *model, struct error *err);
