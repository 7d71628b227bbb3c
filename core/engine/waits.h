/* waits.h - when a job gets its place, and the refusal of one that would wait too long.
 *
 * The queue's own; any thread, under its lock. Times are in ns, from now unless they are said to be
 * of CLOCK_MONOTONIC (now). A refusal says in *retry_ms when to come back.
 */
#pragma once

#include "engine/queue.h"

/* When the last of a group gets its place after the line; n_free places are there at once. */
uint64_t waits_turn_ns(struct queue *q, struct job *const *jobs, size_t n, size_t n_free);
/* How long worker i takes for so many prompt tokens, beside what runs there. */
uint64_t waits_read_ns(struct queue *q, size_t i, size_t n_tokens);
/* How much later than its deadline its first token is predicted; 0: in time. */
uint64_t waits_late_by(const struct job *job, uint64_t first_token);

/* STATUS_FULL. n: its places; n_over: by how many of them the queue was too full. */
enum status waits_refuse_full(struct queue *q, size_t n, size_t n_over, uint64_t now,
                              uint64_t *retry_ms, struct error *err);
/* STATUS_TOO_LATE: longer than max_wait_ns. */
enum status waits_refuse_long(struct queue *q, uint64_t now, uint64_t wait, uint64_t *retry_ms,
                              struct error *err);
/* STATUS_TOO_LATE: late_ns after its deadline. */
enum status waits_refuse_deadline(struct queue *q, uint64_t now, uint64_t late_ns,
                                  uint64_t *retry_ms, struct error *err);
