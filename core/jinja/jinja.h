/* jinja.h - the Jinja that models' chat templates are written in, as Python's jinja2 renders it.
 *
 * A template is parsed once and read-only from then on: any thread. A rendering lives in a heap of
 * its own (value.h), bounded in memory, steps, depth, output and time: templates come from model
 * files, that is from strangers. There is no way out of it: no files, no modules, no addresses.
 * What a template uses and is not built here is said when it is parsed, with its line.
 *
 * Strings carry which of their bytes came from the request (spans), through every operation.
 * Knows nothing of messages, models, JSON bodies or HTTP.
 */
#pragma once

#include "base/error.h"
#include "jinja/value.h"

#include <stddef.h>
#include <stdint.h>

struct jinja_template;

/* name: how errors call it ("chat template"), static. STATUS_FORMAT: it cannot be read;
 * STATUS_UNSUPPORTED: it uses what is not built; both with the line. STATUS_TOO_LARGE (beyond
 * limits->memory_bytes or depth), STATUS_NO_MEMORY. */
enum status jinja_parse(struct jinja_template **out, const char *name, const char *text, size_t n,
                        const struct jinja_limits *limits, struct error *err);
void jinja_destroy(struct jinja_template *template); /* takes NULL */

/* The heap of one rendering: values for its variables are built in it, and all of it goes at once.
 * STATUS_NO_MEMORY. */
enum status jinja_begin(struct jinja_heap **out, const char *name,
                        const struct jinja_limits *limits, struct error *err);
void jinja_end(struct jinja_heap *heap); /* takes NULL */

/* Runs build(heap, context): inside it the functions of value.h may fail, which ends it.
 * STATUS_INVALID, STATUS_TOO_LARGE, STATUS_NO_MEMORY. */
enum status jinja_build(struct jinja_heap *heap, void (*build)(struct jinja_heap *, void *),
                        void *context, struct error *err);

/* Renders with the variables of a dict of the heap's; *out lies in the heap. now: seconds since the
 * epoch, for strftime_now. STATUS_INVALID: an error in the template or its own raise_exception;
 * STATUS_TOO_LARGE: beyond a limit; STATUS_NO_MEMORY. */
enum status jinja_render(const struct jinja_template *template, struct jinja_heap *heap,
                         const struct jinja_dict *variables, int64_t now,
                         const struct jinja_text **out, struct error *err);
