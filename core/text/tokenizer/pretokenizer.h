/* pretokenizer.h - cuts a text into the words that byte-level BPE works on, by the rules of
 * `tokenizer.ggml.pre`.
 *
 * A rule set is a list of patterns: the first cuts the text into its matches and what lies between
 * them, the next cuts each of those parts, and so on; no pattern sees beyond the part it is
 * cutting. Run by PCRE2 over character classes of one Unicode version, the same on every machine. A
 * pretokenizer is read-only and shared; a run belongs to one encoding. Knows nothing of
 * vocabularies.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct pretokenizer;
struct pretokenizer_run;

/* name: as in the file, "default" or "" for a file that has none. STATUS_UNSUPPORTED lists the
 * names known. */
enum status pretokenizer_create(struct pretokenizer **out, const char *name, size_t n_name,
                                struct error *err);
void pretokenizer_destroy(struct pretokenizer *pretokenizer); /* takes NULL */

const char *pretokenizer_name(const struct pretokenizer *pretokenizer);
bool pretokenizer_keeps_words(
    const struct pretokenizer *pretokenizer); /* a word that is a token is not merged anew */
bool pretokenizer_normalizes(
    const struct pretokenizer *pretokenizer); /* texts are brought into form NFC first */
bool pretokenizer_adds_bos(
    const struct pretokenizer *pretokenizer); /* when the file does not say */

enum status pretokenizer_run_create(struct pretokenizer_run **out,
                                    const struct pretokenizer *pretokenizer, struct error *err);
void pretokenizer_run_destroy(struct pretokenizer_run *run); /* takes NULL */

/* text must be UTF-8, at most 1 GiB, and stay until the last word. */
enum status pretokenizer_run_start(struct pretokenizer_run *run, const char *text, size_t n,
                                   struct error *err);

/* The next word, from left to right, nothing left out; *n = 0 after the last. */
enum status pretokenizer_run_next(struct pretokenizer_run *run, const char **word, size_t *n,
                                  struct error *err);
