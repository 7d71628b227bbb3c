/* engine.h - the inference engine: jobs go in, their text grows, and they end.
 *
 * A bounded queue, then workers: each is a thread (the leader of its team) with its own arenas, KV
 * cache, prefix index and counters; the model is read-only and shared. Every call may come from any
 * thread; results are read through the job (job.h). Progress is announced by one callback per
 * worker step, never per token. Nothing on a compute thread allocates after engine_create has
 * returned. Counters are in stats.h, profiles and memory in profile.h. Knows nothing of HTTP or
 * JSON.
 */
#pragma once

#include "base/error.h"
#include "engine/job.h"
#include "engine/options.h"

#include <stdbool.h>
#include <stdint.h>

struct cpu;
struct engine;
struct model;
struct tokenizer;
struct vocabulary;

/* Takes all memory, starts the workers and warms them up. model and tokenizer stay borrowed until
 * engine_destroy. STATUS_INVALID (threads < workers, a budget below one page on each
 * worker; with less than a context's, requests that could never fit are refused one by one),
 * STATUS_NO_MEMORY, STATUS_IO. */
enum status engine_create(struct engine **out, const struct model *model,
                          const struct tokenizer *tokenizer, const struct cpu *cpu,
                          const struct engine_options *options, struct error *err);
void engine_destroy(struct engine *engine); /* takes NULL; ends what runs with FINISH_CANCELLED,
                                               joins the threads */

const struct engine_plan *engine_plan(const struct engine *engine);

/* The machine gives other processors than at start: so many threads work from each worker's next
 * step on, of those that the plan left room for. With fewer threads than workers the last workers
 * get no more jobs. No bit changes. One caller at a time. */
void engine_set_threads(struct engine *engine, unsigned n);
unsigned engine_threads(const struct engine *engine); /* now; any thread */

/* The system's memory is short, or not: until the next call the KV cache takes at most `ahead`
 * bytes before they are needed and `need` for jobs that wait (UINT64_MAX: no bound), and gives
 * `back` bytes back that no sequence holds. No bit changes. One caller at a time. */
void engine_bound_memory(struct engine *engine, uint64_t ahead, uint64_t need, uint64_t back);

/* The model's tokens, as grammars need them: made at the first call, with what the workers need for
 * jobs with a grammar, and kept. Some milliseconds then, so not on a thread that must not wait.
 * STATUS_NO_MEMORY, STATUS_TOO_LARGE. */
enum status engine_vocabulary(struct engine *engine, const struct vocabulary **out,
                              struct error *err);

/* Before it is submitted: takes the tokens of its answer that another run has made (n_given), but
 * for the last. Each is drawn again: where another one comes, the job ends with an error. Any
 * thread; work for each token, so not on one that must not wait. STATUS_INVALID: no run of it can
 * have made them; param is the native API's resume_tokens. The job is not to be submitted then. */
enum status engine_resume(struct engine *engine, struct job *job, struct error *err);

/* Queues the jobs of one request, n >= 1: all of them, or none. STATUS_FULL: there are fewer places
 * than jobs, in the queue and, where none waits, free slots; STATUS_TOO_LATE: its deadline cannot
 * be met, or the predicted wait exceeds max_wait_ms, judged for the last of them (both with
 * *retry_ms, from the backlog and the measured rates: whole seconds, >= 1000, no second told to
 * more jobs than the queue has places); STATUS_STOPPING; STATUS_INVALID: one could never fit the KV
 * memory, or they are more than the engine holds at once, or what a job bans leaves its grammar no
 * token to begin with; STATUS_UNABLE:
 * a text is to be written by an encoder. The jobs then stay the caller's. */
enum status engine_submit_all(struct engine *engine, struct job *const *jobs, size_t n,
                              uint64_t *retry_ms, struct error *err);
/* The same for one job. */
enum status engine_submit(struct engine *engine, struct job *job, uint64_t *retry_ms,
                          struct error *err);

/* Asks that a job end: at once when it waits, within one step when it runs. It still becomes
 * finished (FINISH_CANCELLED, unless it had finished before). Idempotent. */
void engine_cancel(struct engine *engine, struct job *job);

/* Cancels everything with FINISH_ERROR and this text: what is left when a drain's time is over. */
void engine_abort_all(struct engine *engine, const char *why);

/* False when work exists and no step has ended for `limit_ns`: what /livez says. */
bool engine_alive(struct engine *engine, uint64_t now_ns, uint64_t limit_ns);

/* Waits (condition variable, no polling) until a job is finished or more than n_seen tokens are
 * ready: for callers without an event loop (generate). */
void engine_wait(struct engine *engine, const struct job *job, uint32_t n_seen);
