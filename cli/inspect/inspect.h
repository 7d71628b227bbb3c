/* inspect.h - what `inspect` found in a model file: facts for people and for JSON alike.
 *
 * Made once on the main thread from a file's header; the weights are read to see that they are
 * numbers. Knows nothing of how the facts are shown.
 */
#pragma once

#include "base/error.h"
#include "config/settings.h"
#include "gguf/gguf.h"
#include "math/kernels.h"
#include "math/quant.h"
#include "model/model.h"
#include "text/tokenizer/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>

enum { INSPECT_UNUSUAL = 24 };

struct inspect_type { /* the tensors of one weight type */
    size_t n_tensors, n_params, n_bytes;
};

struct inspection {
    const char *path;            /* borrowed */
    struct gguf *gguf;           /* owned */
    struct tokenizer *tokenizer; /* owned */
    bool vocabulary_only;        /* no tensor at all: shape, types and memory are zero */
    char arch[64];               /* general.architecture, printable */
    struct shape shape;
    char name[96], license[96]; /* printable; "" where the file says nothing */
    struct inspect_type types[WEIGHT_TYPES];
    size_t n_params, n_bytes;         /* of all tensors; in the file */
    size_t model_bytes;               /* what the weights and tables take in memory */
    enum kv_type kv_type;             /* that would be used */
    size_t n_context;                 /* positions of a sequence that would be served */
    int32_t ends[TOKENIZER_MAX_ENDS]; /* tokens that end a text besides EOS */
    size_t n_ends;
    bool has_template;
    char unusual[INSPECT_UNUSUAL][240]; /* a sentence each */
    size_t n_unusual;
};

/* Reads and checks the file as serving it would; a vocabulary alone as
 * `tokenize` would, whatever its architecture. What was read up to
 * an error stays, for inspection_free. */
enum status inspection_make(struct inspection *out, const struct settings *settings,
                            struct error *err);
void inspection_free(struct inspection *inspection);

/* --- facts.c --- */

/* Keys and values of that many positions, without rounding up to pages. */
double inspection_kv_bytes(const struct inspection *i, enum kv_type type, size_t n_positions);
double inspection_bits(const struct inspection *i);        /* of the file, for each parameter */
const char *inspection_scaling(const struct shape *shape); /* "none" "linear" "yarn" */
/* Layers that see only the last positions; how many positions they see, 0: there are none. */
size_t inspection_windowed(const struct shape *shape);
size_t inspection_window(const struct shape *shape);
const char *inspection_kv_name(enum kv_type type);

/* unusual.c: fills unusual. */
void inspection_note(struct inspection *inspection);

/* json.c: prints it, with every tensor where asked for. STATUS_NO_MEMORY. */
enum status inspection_print_json(const struct inspection *i, bool tensors, struct error *err);
void inspection_print_refusal(const char *path, const struct error *why);
