/* kv.h - one worker's memory of what its sequences have seen: keys and values in pages of KV_PAGE
 * positions, and what recurrent layers carry on.
 *
 * A sequence maps its positions to pages through a page table; full pages, of prompts and of
 * generated text alike, are shared by content and counted, so that a prefix once computed is found
 * again. The hash finds a candidate; the tokens themselves, the page before it, and the salt (whose
 * prefixes may be shared: one API key's), are compared. Pages that no sequence holds stay as cache,
 * the least recently used given up first. One thread at a time (its owner holds a lock when others
 * look in); the statistics may be read by any; no locks here, and no allocation after kv_create.
 * Knows nothing of HTTP, jobs or sampling.
 *
 * A sequence is promised the pages of the tokens it begins with; those it grows by are taken as it
 * grows, and may be lacking (kv_extend). Its owner then ends another sequence, whose tokens can be
 * computed again later. So memory is held for what is there, not for what a limit allows; and a
 * sequence begins only where its neighbours have some room to grow as well (kv_fits).
 *
 * Layers that see only the last positions have windows: a part of each page that lies elsewhere and
 * is given back when its sequence has gone on. Recurrent layers have a state for each sequence,
 * taken when it begins. A state may be kept beside a full page, as it was at that page's end: the
 * sequence leaves it there and goes on in another, reading the one and writing the other. A prefix
 * is found as far as all three kinds are there.
 */
#pragma once

#include "base/error.h"
#include "forward/kv_map.h"
#include "forward/kv_pool.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kv;

struct kv_seq {         /* one sequence's view; the caller's storage, zeroed before kv_begin */
    uint32_t *pages;    /* [n_pages_max] page numbers; borrowed from the kv's pool of tables */
    size_t n_pages;     /* in use */
    size_t n_positions; /* whose keys and values are stored */
    size_t n_promised;  /* pages that are kept for it */
    size_t n_growth;    /* pages that it may come to need besides */
    uint64_t salt;
    size_t n_shared_max; /* tokens that it may take from others */
    uint64_t hash;       /* of the n_hashed pages */
    size_t n_hashed;     /* leading full pages that stand in the index */
    uint32_t table;      /* which page table it holds */

    size_t window_begin; /* the first page whose window it holds */
    size_t window_claim; /* windows that it is sure to get */

    uint32_t state;    /* where the state goes; KV_NONE: there are no recurrent layers */
    uint32_t from;     /* where it comes from at position from_at; KV_NONE: where it goes */
    uint32_t turn;     /* the page beside which it left its last state while growing; or KV_NONE */
    size_t from_at;    /* position */
    size_t n_states;   /* that it holds */
    size_t n_given;    /* tokens that it began with */
    size_t keep_at[3]; /* positions whose state is worth keeping: where others' tokens part from
                          its own, the last page's border in what it began with, and kv_keep's */
};

struct kv_stats {
    size_t n_there; /* pages whose memory has been taken; n_pages at most */
    size_t n_pages, n_used,
        n_cached; /* used: held by live sequences; free = n_pages - used - cached */
    uint64_t query_tokens, hit_tokens; /* of the prefix cache */
    size_t n_windows, n_windows_used;
    size_t n_states, n_states_used, n_states_kept; /* kept: for prefixes to be found again */
};

/* Bytes of one page: the layers that see all positions, KV_PAGE of them. */
size_t kv_page_bytes(const struct shape *shape, enum kv_type type);

/* budget_bytes of memory (kv_divide), faulted in as it is used; max_sequences page tables of
 * n_context positions. prefix_cache false: nothing is shared or kept. STATUS_INVALID when the
 * budget does not hold one page; STATUS_NO_MEMORY. */
enum status kv_create(struct kv **out, const struct model *model, enum kv_type type,
                      size_t budget_bytes, size_t max_sequences, bool prefix_cache,
                      struct error *err);
/* The same as address space alone: it has no page until kv_grow has taken memory for some.
 * step_bytes: by which it wants to grow; 0: a whole context, within bounds. */
enum status kv_create_growing(struct kv **out, const struct model *model, enum kv_type type,
                              size_t budget_bytes, size_t max_sequences, bool prefix_cache,
                              size_t step_bytes, struct error *err);
void kv_destroy(struct kv *kv); /* takes NULL */

/* --- growth: memory is taken ahead of need, in steps of a whole context or some tens of MiB --- */

/* Pages that should be taken now, with the windows and states that belong to them: a step when less
 * than one is free (or some_wait: a job does), within the budget; 0: none. */
size_t kv_wants(const struct kv *kv, bool some_wait);
/* Takes and faults in the memory of n_pages more, some milliseconds, beside whatever else is done
 * with the cache: one caller at a time, and no lock is needed. False: the system has no more. */
bool kv_take_memory(struct kv *kv, size_t n_pages);
/* Then, under the owner's lock: they are pages like all others. */
void kv_grow(struct kv *kv, size_t n_pages);

/* Under the owner's lock: gives about n_bytes back to the system, as far as no sequence holds or
 * was promised them and the first step's memory stays; free pages first, then cached ones. Returns
 * the bytes. They are taken again as others are (kv_wants). Not beside kv_take_memory. */
size_t kv_give_back(struct kv *kv, size_t n_bytes);

/* The answer that kv_begin would give, changing nothing: for choosing among several caches. */
bool kv_fits(const struct kv *kv, uint64_t salt, size_t n_shared_max, const int32_t *tokens,
             size_t n_tokens, size_t n_positions_max, size_t *n_cached);

/* Starts a sequence of n_tokens that will use at most n_positions_max positions: shares the cached
 * prefix's pages (those of n_shared_max tokens at most) and promises the rest of those tokens'.
 * Returns false, with nothing changed, while tables or pages are lacking: the promised ones, and
 * beside other sequences some for all to grow, unless the most that all can come to need is there.
 * Alone it is never refused what fits the whole memory. *n_cached: tokens found (seq->n_positions
 * too). */
bool kv_begin(struct kv *kv, struct kv_seq *seq, uint64_t salt, size_t n_shared_max,
              const int32_t *tokens, size_t n_tokens, size_t n_positions_max, size_t *n_cached);
/* Others are likely to begin with its first n tokens, as with a system prompt: the state at the
 * last page's border among them is kept, even before another has come. */
void kv_keep(struct kv_seq *seq, size_t n);
/* Before more of a prompt is computed: shares the pages that other sequences have made meanwhile,
 * when seq stands at a page's border; tokens, n_tokens: all that it began with. Returns the tokens
 * gained (n_positions grows by them), still below n_tokens. */
size_t kv_share(struct kv *kv, struct kv_seq *seq, const int32_t *tokens, size_t n_tokens);
/* How many of the next n positions may be computed together: as far as there are windows for them,
 * and not beyond a position whose state is worth keeping. At least one. */
size_t kv_room(const struct kv *kv, const struct kv_seq *seq, size_t n);
/* Makes room for n more positions, before the forward pass writes them. False, with nothing
 * changed, when pages are lacking: never within the promise and kv_room, and never for a sequence
 * that is alone. */
bool kv_extend(struct kv *kv, struct kv_seq *seq, size_t n);
/* The forward pass has written them: tokens are all the sequence's tokens so far [n_positions];
 * full pages become shareable. A page whose like another sequence registered first is exchanged for
 * that one: their bits are equal. */
void kv_commit(struct kv *kv, struct kv_seq *seq, const int32_t *tokens, size_t n_positions);
/* Ends a sequence: its full pages stay as cache, the rest is free. */
void kv_end(struct kv *kv, struct kv_seq *seq);
/* Forgets every cached page and zeroes the counters; no sequence may be live. After a warm-up. */
void kv_clear(struct kv *kv);

/* The block of a layer and KV head in a page: what kernels->kv_store and attend take. */
uint8_t *kv_block(const struct kv *kv, uint32_t page, size_t layer, size_t kv_head);
/* A recurrent layer's part of the state that a sequence writes, and of the one that it reads when
 * the first row is at a position (NULL: it begins; all is zero). */
float *kv_state(const struct kv *kv, const struct kv_seq *seq, size_t layer);
const float *kv_state_from(const struct kv *kv, const struct kv_seq *seq, size_t layer,
                           size_t position);
enum kv_type kv_type(const struct kv *kv);
size_t kv_n_pages(const struct kv *kv);   /* of the whole budget */
size_t kv_page_size(const struct kv *kv); /* bytes of a page and its part of the rest */
void kv_stats(const struct kv *kv, struct kv_stats *out); /* any thread */
