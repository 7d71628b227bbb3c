/* jobs.c - the list of submitted jobs and their readers. Loop thread. */
#include "server/jobs.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct job_entry {
    struct job_entry *next, *prev; /* newest first */
    struct job *job;               /* owned */
    struct job_reader *readers;
    char name[JOBS_NAME_MAX + 1]; /* "": not kept */
};

/* Nothing of the worker's is read before this is true; everything of the job is final then. */
static bool is_final(const struct job_entry *entry)
{
    return atomic_load_explicit(&entry->job->finished, memory_order_acquire);
}

static bool is_kept(const struct job_entry *entry)
{
    return entry->name[0] != '\0';
}

static bool is_wanted(const struct job_entry *entry)
{
    for (const struct job_reader *reader = entry->readers; reader != NULL; reader = reader->next)
        if (reader->active)
            return true;
    return is_kept(entry);
}

static void unlink_entry(struct jobs *jobs, struct job_entry *entry)
{
    if (jobs->next_entry == entry)
        jobs->next_entry = entry->next;
    if (entry->prev != NULL)
        entry->prev->next = entry->next;
    else
        jobs->first = entry->next;
    if (entry->next != NULL)
        entry->next->prev = entry->prev;
    jobs->n--;
    jobs->n_kept -= is_kept(entry);
    job_destroy(entry->job);
    free(entry);
}

/* Cancels or frees what has lost its last reader. */
static void settle(struct jobs *jobs, struct job_entry *entry)
{
    if (is_final(entry)) {
        if (entry->readers == NULL && !is_kept(entry))
            unlink_entry(jobs, entry);
    } else if (!is_wanted(entry)) {
        engine_cancel(jobs->engine, entry->job);
    }
}

struct job *jobs_job(const struct job_entry *entry)
{
    return entry->job;
}

static void link_entry(struct jobs *jobs, struct job_entry *entry)
{
    entry->prev = NULL;
    entry->next = jobs->first;
    if (entry->next != NULL)
        entry->next->prev = entry;
    jobs->first = entry;
    jobs->n++;
}

static void free_list(struct job_entry *list)
{
    for (struct job_entry *next; list != NULL; list = next) {
        next = list->next;
        free(list);
    }
}

enum status jobs_submit(struct jobs *jobs, struct job *const *list,
                        struct job_reader *const *readers, size_t n, uint64_t *retry_ms,
                        struct error *err)
{
    struct job_entry *entries = NULL;
    for (size_t i = 0; i < n; i++) {
        struct job_entry *entry = calloc(1, sizeof *entry);
        if (entry == NULL) {
            free_list(entries);
            return error_no_memory(err, sizeof *entry, "the job's place in the registry");
        }
        entry->next = entries;
        entries = entry;
    }
    enum status status = engine_submit_all(jobs->engine, list, n, retry_ms, err);
    if (status != STATUS_OK) {
        free_list(entries);
        return status;
    }
    for (size_t i = 0; i < n; i++) {
        struct job_entry *entry = entries;
        entries = entry->next;
        entry->job = list[i];
        link_entry(jobs, entry);
        jobs_attach(entry, readers[i]);
        readers[i]->ended =
            false; /* even of a job that is final by now, its first reader is told */
    }
    return STATUS_OK;
}

void jobs_attach(struct job_entry *entry, struct job_reader *reader)
{
    assert(reader->entry == NULL);
    reader->entry = entry;
    reader->active = true;
    reader->ended = is_final(entry);
    reader->next = entry->readers;
    entry->readers = reader;
}

void jobs_leave(struct jobs *jobs, struct job_reader *reader)
{
    if (reader->entry == NULL || !reader->active)
        return;
    reader->active = false;
    settle(jobs, reader->entry);
}

void jobs_detach(struct jobs *jobs, struct job_reader *reader)
{
    struct job_entry *entry = reader->entry;
    if (entry == NULL)
        return;
    struct job_reader **place = &entry->readers;
    while (*place != reader)
        place = &(*place)->next;
    *place = reader->next;
    if (jobs->next_reader == reader)
        jobs->next_reader = reader->next;
    reader->entry = NULL;
    reader->active = false;
    settle(jobs, entry);
}

struct job_entry *jobs_find(const struct jobs *jobs, const char *name)
{
    for (struct job_entry *entry = jobs->first; entry != NULL; entry = entry->next)
        if (is_kept(entry) && strcmp(entry->name, name) == 0)
            return entry;
    return NULL;
}

static struct job_entry *oldest_idle(const struct jobs *jobs)
{
    struct job_entry *oldest = NULL;
    for (struct job_entry *entry = jobs->first; entry != NULL; entry = entry->next)
        if (is_kept(entry) && entry->readers == NULL && is_final(entry))
            oldest = entry;
    return oldest;
}

bool jobs_keep(struct jobs *jobs, struct job_entry *entry, const char *name)
{
    size_t n = strlen(name);
    if (n == 0 || n > JOBS_NAME_MAX || is_kept(entry) || jobs_find(jobs, name) != NULL)
        return false;
    if (jobs->n_kept == JOBS_KEPT_MAX) {
        struct job_entry *oldest = oldest_idle(jobs);
        if (oldest == NULL)
            return false;
        jobs_let_go(jobs, oldest);
    }
    memcpy(entry->name, name, n + 1);
    jobs->n_kept++;
    return true;
}

void jobs_let_go(struct jobs *jobs, struct job_entry *entry)
{
    if (!is_kept(entry))
        return;
    entry->name[0] = '\0';
    jobs->n_kept--;
    settle(jobs, entry);
}

/* Tells an entry's readers. The entry may be gone afterwards, and others too: a request whose last
 * job has ended lets go of all of them. */
static bool tell(struct jobs *jobs, struct job_entry *entry)
{
    bool final = is_final(entry), any = false;
    if (entry->readers == NULL) {
        if (final)
            settle(jobs, entry);
        return false;
    }
    for (struct job_reader *reader = entry->readers; reader != NULL; reader = jobs->next_reader) {
        jobs->next_reader = reader->next;
        if (!final) {
            any |= reader->news(reader);
        } else if (!reader->ended) {
            reader->ended = true;
            any |= reader->end(reader);
        }
    }
    return any;
}

bool jobs_poll(struct jobs *jobs)
{
    bool any = false;
    for (struct job_entry *entry = jobs->first; entry != NULL; entry = jobs->next_entry) {
        jobs->next_entry = entry->next;
        any |= tell(jobs, entry);
    }
    return any;
}

void jobs_free(struct jobs *jobs)
{
    struct job_entry *next;
    for (struct job_entry *entry = jobs->first; entry != NULL; entry = next) {
        next = entry->next;
        assert(entry->readers == NULL);
        unlink_entry(jobs, entry);
    }
}
