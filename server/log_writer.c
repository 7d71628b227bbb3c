/* log_writer.c - the ring, and the thread that empties it. Everything in struct log_writer is under
 * its lock but for what is marked as the thread's. */
#include "server/log_writer.h"

#include "base/clock.h"
#include "base/thread.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

static_assert(LOG_WRITE_BYTES <= 4096, "a pipe that is ready takes PIPE_BUF bytes");

struct log_writer {
    const char *path; /* borrowed; NULL: standard error */
    log_dropped_fn *say_dropped;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int wake; /* an eventfd: ends the thread's wait for a reader */

    size_t head, n; /* of the ring: where it begins, bytes in it */
    uint64_t n_dropped, n_untold;
    int next_fd; /* a file that was opened anew; -1: none */
    bool stopping;
    uint64_t stop_ns; /* until when writing may go on after that */

    int fd;       /* the thread's */
    bool failing; /* the thread's: the last write failed */
    bool torn;    /* the thread's: a write failed within a line */
    char ring[LOG_RING_BYTES];
};

/* A FIFO without a reader is opened for reading as well, so that neither opening nor writing
 * fails; O_NONBLOCK is for the opening alone. */
static int open_file(const char *path)
{
    const int flags = O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    int fd = open(path, O_WRONLY | flags, 0640);
    if (fd < 0 && errno == ENXIO)
        fd = open(path, O_RDWR | flags, 0640);
    if (fd >= 0)
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    return fd;
}

/* --- the ring, under the lock --- */

static void push(struct log_writer *w, const char *line, size_t n)
{
    size_t at = (w->head + w->n) % LOG_RING_BYTES, first = LOG_RING_BYTES - at;
    if (first > n)
        first = n;
    memcpy(w->ring + at, line, first);
    memcpy(w->ring, line + first, n - first);
    w->n += n;
}

/* Takes whole lines, as many as out holds. */
static size_t pop(struct log_writer *w, char out[LOG_WRITE_BYTES])
{
    size_t n = w->n < LOG_WRITE_BYTES ? w->n : LOG_WRITE_BYTES, first = LOG_RING_BYTES - w->head;
    if (first > n)
        first = n;
    memcpy(out, w->ring + w->head, first);
    memcpy(out + first, w->ring, n - first);
    while (n > 0 && out[n - 1] != '\n')
        n--;
    w->head = (w->head + n) % LOG_RING_BYTES;
    w->n -= n;
    return n;
}

void log_writer_put(struct log_writer *w, const char *line, size_t n)
{
    assert(n > 0 && n <= LOG_WRITE_BYTES && line[n - 1] == '\n');
    pthread_mutex_lock(&w->lock);
    if (n > LOG_RING_BYTES - w->n) {
        w->n_dropped++;
        w->n_untold++;
    } else {
        push(w, line, n);
        pthread_cond_signal(&w->changed);
    }
    pthread_mutex_unlock(&w->lock);
}

uint64_t log_writer_dropped(struct log_writer *w)
{
    pthread_mutex_lock(&w->lock);
    uint64_t n = w->n_dropped;
    pthread_mutex_unlock(&w->lock);
    return n;
}

/* --- the thread --- */

static void take_next_file(struct log_writer *w)
{
    if (w->next_fd < 0)
        return;
    if (w->fd != STDERR_FILENO)
        close(w->fd);
    w->fd = w->next_fd;
    w->next_fd = -1;
    w->failing = w->torn = false;
}

/* Waits until the file takes PIPE_BUF bytes, as far as the system can tell. False: something else
 * is to be looked at first. */
static bool wait_writable(struct log_writer *w)
{
    struct pollfd wait[] = {{.fd = w->fd, .events = POLLOUT}, {.fd = w->wake, .events = POLLIN}};
    int ms = -1;
    pthread_mutex_lock(&w->lock);
    if (w->stopping) {
        uint64_t now_ns = clock_now_ns();
        ms = w->stop_ns > now_ns ? (int)((w->stop_ns - now_ns) / 1000000) + 1 : 0;
    }
    pthread_mutex_unlock(&w->lock);
    int n = poll(wait, 2, ms);
    if (n > 0 && wait[0].revents != 0)
        return true;
    uint64_t count;
    if (n > 0 && read(w->wake, &count, sizeof count) < 0)
        return false;
    return false;
}

/* Whether writing is over for good; a new file is taken up on the way. */
static bool is_over(struct log_writer *w, bool *is_new)
{
    pthread_mutex_lock(&w->lock);
    *is_new = w->next_fd >= 0;
    take_next_file(w);
    bool over = w->stopping && clock_now_ns() >= w->stop_ns;
    pthread_mutex_unlock(&w->lock);
    return over;
}

static size_t begin_of_line(const char *text, size_t at)
{
    while (at > 0 && text[at - 1] != '\n')
        at--;
    return at;
}

/* Returns the bytes that were written, up to the last whole line where a new file came between. */
static size_t write_lines(struct log_writer *w, const char *text, size_t n)
{
    size_t at = 0;
    while (at < n) {
        bool is_new = false;
        if (!wait_writable(w)) {
            if (is_over(w, &is_new))
                break;
            if (is_new) /* it begins with a whole line */
                at = begin_of_line(text, at);
            continue;
        }
        if (w->torn) {
            if (write(w->fd, "\n", 1) != 1)
                break;
            w->torn = false;
        }
        ssize_t written = write(w->fd, text + at, n - at);
        if (written < 0 && errno != EINTR && errno != EAGAIN)
            break;
        at += written > 0 ? (size_t)written : 0;
    }
    return at;
}

static void write_batch(struct log_writer *w, const char *text, size_t n, bool counts)
{
    size_t at = write_lines(w, text, n);
    w->failing = at < n;
    w->torn = w->torn || begin_of_line(text, at) != at;
    if (!counts)
        return;
    uint64_t n_lost = 0;
    for (size_t i = at; i < n; i++)
        n_lost += text[i] == '\n';
    pthread_mutex_lock(&w->lock);
    w->n_dropped += n_lost;
    w->n_untold += n_lost;
    pthread_mutex_unlock(&w->lock);
}

/* The next bytes to write, under the lock: the notice of dropped lines, once writing has caught up
 * by half, or lines. 0: none. */
static size_t take(struct log_writer *w, char out[LOG_WRITE_BYTES], uint64_t *n_told)
{
    *n_told = 0;
    if (w->n_untold == 0 || w->failing || w->n > LOG_RING_BYTES / 2)
        return w->n > 0 ? pop(w, out) : 0;
    *n_told = w->n_untold;
    w->n_untold = 0;
    return w->say_dropped(out, *n_told);
}

static void *run(void *arg)
{
    struct log_writer *w = arg;
    char batch[LOG_WRITE_BYTES];
    uint64_t n_told;
    pthread_mutex_lock(&w->lock);
    for (;;) {
        take_next_file(w);
        size_t n = take(w, batch, &n_told);
        if (n == 0 && w->stopping)
            break;
        if (n == 0) {
            pthread_cond_wait(&w->changed, &w->lock);
            continue;
        }
        pthread_mutex_unlock(&w->lock);
        write_batch(w, batch, n, n_told == 0);
        pthread_mutex_lock(&w->lock);
        if (w->failing)
            w->n_untold += n_told;
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* --- from start to end --- */

static void release(struct log_writer *w)
{
    if (w->fd >= 0 && w->fd != STDERR_FILENO)
        close(w->fd);
    if (w->next_fd >= 0)
        close(w->next_fd);
    if (w->wake >= 0)
        close(w->wake);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

enum status log_writer_create(struct log_writer **out, const char *path, log_dropped_fn *dropped,
                              struct error *err)
{
    struct log_writer *w = calloc(1, sizeof *w);
    if (w == NULL)
        return error_no_memory(err, sizeof *w, "the log");
    w->path = path;
    w->say_dropped = dropped;
    w->next_fd = -1;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    w->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int number = errno;
    w->fd = path != NULL ? open_file(path) : STDERR_FILENO;
    enum status status = STATUS_OK;
    if (w->fd < 0)
        status = error_errno(err, errno, "--log-file %s", path);
    else if (w->wake < 0)
        status = error_errno(err, number, "the log");
    else if ((number = thread_start(&w->thread, run, w)) != 0)
        status = error_errno(err, number, "the log's thread");
    if (status == STATUS_OK)
        *out = w;
    else
        release(w);
    return status;
}

static void wake_thread(struct log_writer *w)
{
    const uint64_t one = 1;
    pthread_cond_signal(&w->changed);
    if (write(w->wake, &one, sizeof one) < 0)
        return; /* full: it is awake already */
}

enum status log_writer_reopen(struct log_writer *w, struct error *err)
{
    if (w->path == NULL)
        return STATUS_OK;
    int fd = open_file(w->path);
    if (fd < 0)
        return error_errno(err, errno, "--log-file %s", w->path);
    pthread_mutex_lock(&w->lock);
    if (w->next_fd >= 0)
        close(w->next_fd);
    w->next_fd = fd;
    wake_thread(w);
    pthread_mutex_unlock(&w->lock);
    return STATUS_OK;
}

void log_writer_destroy(struct log_writer *w, unsigned ms)
{
    if (w == NULL)
        return;
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    w->stop_ns = clock_now_ns() + ms * (uint64_t)1000000;
    wake_thread(w);
    pthread_mutex_unlock(&w->lock);
    /* Somewhat later: a thread that can end does so by itself. */
    if (thread_join_within(w->thread, ms + 100) == 0)
        release(w);
}
