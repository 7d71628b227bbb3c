/* loaded_model.h - a model in memory with what runs it: what an engine and its reports start from.
 *
 * Made once (cli/load.h), read-only and shared from then on. Everything is borrowed.
 */
#pragma once

#include "gguf/gguf.h"

struct cpu;
struct kernels;
struct model;
struct tokenizer;

struct loaded_model {
    const struct model *model;
    const struct tokenizer *tokenizer;
    const struct kernels *kernels;
    const struct cpu *cpu;
    const int *files; /* [n_files] its own, open, to be read with pread alone; */
    size_t n_files;   /* 0: built into the program */
    struct gguf_string template, tool_template; /* of chats, as in the file; bytes NULL: none */
    struct gguf_string rank_template;           /* of a query and a document, likewise */
};
