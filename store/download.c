/* download.c - the part file, its lock, its resuming, its end. State: struct transfer, one call's.
 */
#include "store/download.h"

#include "base/digest.h"
#include "store/shelf.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { MAX_RESTARTS = 2, PROGRESS_LEAST = 64 << 10, LOCK_GAP_MS = 200 };

enum download_verdict { VERDICT_NONE, VERDICT_SAME, VERDICT_RESTART };

struct transfer {
    const struct download *d;
    int fd; /* the part, locked; owned */
    struct digest digest;
    uint64_t at, total, start;  /* bytes there; of the file; there before this run */
    uint64_t best;              /* the most that was ever there: beyond it lies progress */
    struct shelf_label label;   /* of the part */
    struct shelf_label present; /* of the file that is there already */
    bool is_present;
    bool asked_range, resumed;
    bool discard; /* the part is wrong: not to be kept */
    enum download_verdict verdict;
};

/* --- the lock --- */

static enum status say_waiting(const struct patience *patience, const char *file)
{
    char sentence[REFERENCE_PATH_MAX + 64];
    snprintf(sentence, sizeof sentence, "%s: another process is getting it; waiting", file);
    if (patience->say != NULL)
        patience->say(patience->ctx, sentence);
    return STATUS_OK;
}

/* Whether the file that was locked still is the one that has the name. */
static bool still_named(int fd, int folder, const char *name)
{
    struct stat mine, named;
    return fstat(fd, &mine) == 0 && fstatat(folder, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           mine.st_dev == named.st_dev && mine.st_ino == named.st_ino;
}

enum status download_lock(int *fd, int folder, const char *file, const struct patience *patience,
                          bool wait, struct error *err)
{
    char name[NAME_MAX + 1];
    bool said = false;
    shelf_hidden(name, file, SHELF_PART);
    for (;;) {
        int part =
            openat(folder, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0666);
        if (part < 0)
            return error_errno(err, errno, "%s", name);
        bool busy = flock(part, LOCK_EX | LOCK_NB) != 0;
        if (!busy && still_named(part, folder, name)) {
            *fd = part;
            return STATUS_OK;
        }
        close(part);
        if (!busy)
            continue; /* it was finished or removed meanwhile */
        if (!wait)
            return error_set(err, STATUS_FULL, "%s: another process is downloading it", file);
        if (!said)
            say_waiting(patience, file);
        said = true;
        if (!patience_sleep(patience, LOCK_GAP_MS))
            return error_set(err, STATUS_CANCELLED, "stopped");
    }
}

void download_discard(int folder, const char *file)
{
    char name[NAME_MAX + 1];
    shelf_hidden(name, file, SHELF_PART_LABEL);
    unlinkat(folder, name, 0);
    shelf_hidden(name, file, SHELF_PART);
    unlinkat(folder, name, 0);
}

/* --- what is there already --- */

static enum status add_to_digest(struct transfer *t, int fd, uint64_t n, struct error *err)
{
    enum { CHUNK = 1 << 16 };
    char bytes[CHUNK];
    const atomic_bool *cancel = t->d->patience->cancel;
    for (uint64_t at = 0; at < n;) {
        ssize_t got = pread(fd, bytes, n - at < CHUNK ? (size_t)(n - at) : CHUNK, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return error_errno(err, got < 0 ? errno : EIO, "%s/%s", t->d->shown, t->d->file);
        if (cancel != NULL && atomic_load(cancel))
            return error_set(err, STATUS_CANCELLED, "stopped");
        digest_add(&t->digest, bytes, (size_t)got);
        at += (uint64_t)got;
    }
    return STATUS_OK;
}

static enum status begin_anew(struct transfer *t, struct error *err)
{
    digest_begin(&t->digest);
    t->at = t->start = 0;
    t->resumed = false;
    t->label = (struct shelf_label){.n_bytes = 0};
    if (ftruncate(t->fd, 0) != 0)
        return error_errno(err, errno, "%s/%s", t->d->shown, t->d->file);
    return STATUS_OK;
}

/* Whether the server could say that its file still is the one that the part is of. */
static bool can_resume(const struct transfer *t)
{
    const struct source *s = t->d->source;
    const struct shelf_label *l = &t->label;
    if (t->at == 0 || t->at > l->n_bytes || (s->n_bytes != 0 && s->n_bytes != l->n_bytes))
        return false;
    if (s->sha256[0] != '\0' && l->sha256[0] != '\0')
        return strcmp(s->sha256, l->sha256) == 0;
    return l->sha256[0] != '\0' || l->etag[0] != '\0' || l->last_modified[0] != '\0';
}

static enum status take_up_part(struct transfer *t, struct error *err)
{
    struct stat st;
    if (fstat(t->fd, &st) != 0)
        return error_errno(err, errno, "%s/%s", t->d->shown, t->d->file);
    t->at = (uint64_t)st.st_size;
    if (!shelf_read_label(t->d->folder, t->d->file, SHELF_PART_LABEL, &t->label) || !can_resume(t))
        return begin_anew(t, err);
    if (t->at == t->label.n_bytes) /* whole: its last byte shows whether it still is the same */
        t->at--;
    t->start = t->best = t->at;
    t->resumed = true;
    digest_begin(&t->digest);
    return add_to_digest(t, t->fd, t->at, err);
}

/* The file under its own name: is it what the source names? */
static enum status look_at_present(struct transfer *t, struct error *err)
{
    const struct source *s = t->d->source;
    struct stat st;
    t->is_present =
        fstatat(t->d->folder, t->d->file, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
    if (!t->is_present)
        return STATUS_OK;
    shelf_read_label(t->d->folder, t->d->file, SHELF_LABEL, &t->present);
    if (t->present.n_bytes != (uint64_t)st.st_size)
        t->present = (struct shelf_label){.n_bytes = (uint64_t)st.st_size};
    if (s->sha256[0] == '\0' || s->n_bytes != (uint64_t)st.st_size)
        return STATUS_OK;
    if (t->present.sha256[0] == '\0') { /* put there by hand: its bytes say */
        int fd = openat(t->d->folder, t->d->file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            return STATUS_OK;
        digest_begin(&t->digest);
        enum status status = add_to_digest(t, fd, (uint64_t)st.st_size, err);
        close(fd);
        if (status != STATUS_OK)
            return status;
        digest_end(&t->digest, t->present.sha256);
        snprintf(t->present.reference, sizeof t->present.reference, "%s", t->d->reference);
        (void)shelf_write_label(t->d->folder, t->d->file, SHELF_LABEL, &t->present, NULL);
    }
    if (strcmp(t->present.sha256, s->sha256) == 0)
        t->verdict = VERDICT_SAME;
    return STATUS_OK;
}

/* --- the answer's head --- */

static bool is_strong(const char *etag)
{
    return etag[0] == '"' && etag[1] != '\0';
}

/* The SHA-256 that a hub names: "<64 digits>", in quotes, perhaps weak. */
static void take_sha256(char out[65], const char *etag)
{
    char text[WEB_TAG_MAX];
    snprintf(text, sizeof text, "%s", strncmp(etag, "W/", 2) == 0 ? etag + 2 : etag);
    size_t n = strlen(text);
    const char *at = text;
    if (n >= 2 && text[0] == '"' && text[n - 1] == '"') {
        text[n - 1] = '\0';
        at++;
    }
    if (sources_is_sha256(at))
        memcpy(out, at, 65);
}

/* Joins what the answer and the source say of the file; STATUS_IO where they contradict each other.
 */
static enum status identify(const struct transfer *t, const struct web_answer *a,
                            struct shelf_label *out, struct error *err)
{
    const struct source *s = t->d->source;
    int64_t n = a->code == 206 ? a->range_total : a->n_bytes;
    *out = (struct shelf_label){.n_bytes = s->n_bytes};
    snprintf(out->reference, sizeof out->reference, "%s", t->d->reference);
    take_sha256(out->sha256, a->linked_etag);
    if (s->sha256[0] != '\0' && out->sha256[0] != '\0' && strcmp(s->sha256, out->sha256) != 0)
        return error_set(err, STATUS_IO, "%s: the hub names two different SHA-256", t->d->file);
    if (s->sha256[0] != '\0')
        memcpy(out->sha256, s->sha256, sizeof out->sha256);
    if (is_strong(a->etag))
        snprintf(out->etag, sizeof out->etag, "%s", a->etag);
    snprintf(out->last_modified, sizeof out->last_modified, "%s", a->last_modified);
    if (out->n_bytes == 0 && a->linked_bytes > 0)
        out->n_bytes = (uint64_t)a->linked_bytes;
    if (out->n_bytes == 0 && n > 0)
        out->n_bytes = (uint64_t)n;
    if (n >= 0 && out->n_bytes != (uint64_t)n)
        return error_set(err, STATUS_IO,
                         "%s: the server is about to send %" PRId64 " bytes of %" PRIu64,
                         t->d->file, n, out->n_bytes);
    if (out->n_bytes == 0)
        return error_set(err, STATUS_IO,
                         n == 0 ? "%s: the file is empty"
                                : "%s: the server does not say how many bytes it has",
                         t->d->file);
    return STATUS_OK;
}

static bool is_same(const struct shelf_label *a, const struct shelf_label *b)
{
    if (a->n_bytes != b->n_bytes)
        return false;
    if (a->sha256[0] != '\0' && b->sha256[0] != '\0')
        return strcmp(a->sha256, b->sha256) == 0;
    if (a->etag[0] != '\0' || b->etag[0] != '\0')
        return strcmp(a->etag, b->etag) == 0;
    return a->last_modified[0] != '\0' && strcmp(a->last_modified, b->last_modified) == 0;
}

static enum status check_room(const struct transfer *t, struct error *err)
{
    struct statvfs disk;
    uint64_t need = t->total - t->at;
    if (fstatvfs(t->d->folder, &disk) != 0)
        return STATUS_OK; /* writing will tell */
    uint64_t room = (uint64_t)disk.f_bavail * disk.f_frsize;
    if (room >= need)
        return STATUS_OK;
    return error_set(err, STATUS_IO,
                     "%s: it needs %.1f MiB more, and the disk of %s has %.1f MiB left", t->d->file,
                     (double)need / 1048576, t->d->shown, (double)room / 1048576);
}

static enum status stop_with(struct transfer *t, enum download_verdict verdict, struct error *err)
{
    t->verdict = verdict;
    return error_set(err, STATUS_CANCELLED, "stopped");
}

static enum status on_head(void *ctx, const struct web_answer *a, struct error *err)
{
    struct transfer *t = ctx;
    struct shelf_label found;
    if (a->code == 416 && t->asked_range)
        return stop_with(t, VERDICT_RESTART, err);
    if (a->code != 200 && !(a->code == 206 && t->asked_range))
        return web_refusal(t->d->web, a, t->d->source->url, err);
    if (a->encoded)
        return error_set(err, STATUS_IO, "%s: the server sends it encoded, which was not asked for",
                         t->d->file);
    enum status status = identify(t, a, &found, err);
    if (status != STATUS_OK)
        return a->code == 206 ? stop_with(t, VERDICT_RESTART, err) : status;
    if (t->is_present && is_same(&t->present, &found))
        return stop_with(t, VERDICT_SAME, err);
    if (a->code == 206) {
        /* A part of one that has no validator at all was never begun. */
        if (a->range_start != (int64_t)t->at || !is_same(&t->label, &found))
            return stop_with(t, VERDICT_RESTART, err);
    } else if ((status = begin_anew(t, err)) != STATUS_OK) {
        return status;
    }
    t->label = found;
    t->total = found.n_bytes;
    if ((status = check_room(t, err)) != STATUS_OK)
        return status;
    return shelf_write_label(t->d->folder, t->d->file, SHELF_PART_LABEL, &t->label, err);
}

/* --- the body --- */

static enum status check_magic(struct transfer *t, const char *bytes, size_t n, struct error *err)
{
    static const char magic[4] = {'G', 'G', 'U', 'F'};
    for (size_t i = 0; i < n && t->at + i < sizeof magic; i++) {
        if (bytes[i] == magic[t->at + i])
            continue;
        t->discard = true;
        return error_set(err, STATUS_FORMAT,
                         "%s: what the server sends is not a GGUF file: it begins with \"%.*s\"",
                         t->d->file, (int)(n < 16 ? n : 16), bytes);
    }
    return STATUS_OK;
}

static enum status on_body(void *ctx, const char *bytes, size_t n, struct error *err)
{
    struct transfer *t = ctx;
    if (n > t->total - t->at)
        return error_set(err, STATUS_IO,
                         "%s: the server sends more than the %" PRIu64 " bytes that it announced",
                         t->d->file, t->total);
    enum status status = check_magic(t, bytes, n, err);
    if (status != STATUS_OK)
        return status;
    for (size_t done = 0; done < n;) {
        ssize_t written = pwrite(t->fd, bytes + done, n - done, (off_t)(t->at + done));
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return error_errno(err, errno, "%s/%s at byte %" PRIu64, t->d->shown, t->d->file,
                               t->at + done);
        done += (size_t)written;
    }
    digest_add(&t->digest, bytes, n);
    t->at += n;
    uint64_t least = t->total / 16 < PROGRESS_LEAST ? t->total / 16 : PROGRESS_LEAST;
    if (t->at > t->best + least) {
        t->d->patience->n_failed = 0;
        t->best = t->at;
    }
    if (t->d->progress != NULL)
        t->d->progress(t->d->ctx, t->at, t->total, t->start);
    return STATUS_OK;
}

/* --- tries --- */

static enum status ask(struct transfer *t, struct web_answer *answer, struct error *err)
{
    const struct web_reader reader = {on_head, on_body, t};
    char range[64], if_range[WEB_TAG_MAX + 16];
    const char *headers[] = {NULL, NULL, NULL};
    const struct shelf_label *l = &t->label;
    t->asked_range = t->at > 0;
    t->verdict = VERDICT_NONE;
    if (t->asked_range) {
        snprintf(range, sizeof range, "Range: bytes=%" PRIu64 "-", t->at);
        headers[0] = range;
        /* With a SHA-256 the file is the same wherever it comes from. */
        if (l->sha256[0] == '\0') {
            snprintf(if_range, sizeof if_range, "If-Range: %s",
                     l->etag[0] != '\0' ? l->etag : l->last_modified);
            headers[1] = if_range;
        }
    }
    return web_get(t->d->web, t->d->source->url, headers, &reader, answer, err);
}

static enum status get_bytes(struct transfer *t, struct error *err)
{
    struct web_answer answer;
    for (int n_restarts = 0;;) {
        enum status status = ask(t, &answer, err);
        if (t->verdict == VERDICT_SAME)
            return STATUS_OK;
        if (t->verdict == VERDICT_RESTART) {
            if (n_restarts++ == MAX_RESTARTS)
                return error_set(err, STATUS_IO, "%s: the server's answers contradict each other",
                                 t->d->file);
            if ((status = begin_anew(t, err)) != STATUS_OK)
                return status;
            continue;
        }
        if (status == STATUS_OK && t->total > 0 && t->at == t->total)
            return STATUS_OK;
        if (status == STATUS_OK)
            (void)error_set(err, STATUS_IO,
                            "%s: the connection ended after %" PRIu64 " of %" PRIu64 " bytes",
                            t->d->file, t->at, t->total);
        else if (status != STATUS_IO || !(answer.retry || patience_is_passing(answer.code)))
            return status;
        if ((status = patience_wait(t->d->patience, &answer, err)) != STATUS_OK)
            return status;
        if (t->at > 0 && !can_resume(t) && (status = begin_anew(t, err)) != STATUS_OK)
            return status;
    }
}

/* --- the end --- */

static enum status put_in_place(struct transfer *t, bool checked, struct error *err)
{
    char part[NAME_MAX + 1], label[NAME_MAX + 1], path[PATH_MAX + NAME_MAX + 2];
    shelf_hidden(part, t->d->file, SHELF_PART);
    shelf_hidden(label, t->d->file, SHELF_PART_LABEL);
    snprintf(path, sizeof path, "%s/%s", t->d->shown, part);
    enum status status =
        t->d->check != NULL ? t->d->check(t->d->ctx, path, checked, err) : STATUS_OK;
    if (status != STATUS_OK) {
        t->discard = true;
        return status;
    }
    if (t->is_present && t->d->first != NULL)
        unlinkat(t->d->folder, t->d->first, 0);
    if (fsync(t->fd) != 0 || renameat(t->d->folder, part, t->d->folder, t->d->file) != 0)
        return error_errno(err, errno, "%s/%s", t->d->shown, t->d->file);
    (void)shelf_write_label(t->d->folder, t->d->file, SHELF_LABEL, &t->label, NULL);
    unlinkat(t->d->folder, label, 0);
    if (fsync(t->d->folder) != 0)
        return error_errno(err, errno, "%s", t->d->shown);
    return STATUS_OK;
}

static enum status check_digest(struct transfer *t, bool *again, struct error *err)
{
    char found[65];
    *again = false;
    digest_end(&t->digest, found);
    if (t->label.sha256[0] == '\0' || strcmp(found, t->label.sha256) == 0) {
        memcpy(t->label.sha256, found, sizeof found);
        return STATUS_OK;
    }
    *again = t->resumed; /* the part may have been wrong: once more, all of it */
    t->discard = true;
    return error_set(err, STATUS_FORMAT, "%s: what came has the SHA-256 %s; the source names %s",
                     t->d->file, found, t->label.sha256);
}

static enum status get(struct transfer *t, struct download_result *result, struct error *err)
{
    enum status status = look_at_present(t, err);
    if (status == STATUS_OK && t->verdict != VERDICT_SAME)
        status = take_up_part(t, err);
    while (status == STATUS_OK && t->verdict != VERDICT_SAME) {
        bool again = false;
        if ((status = get_bytes(t, err)) != STATUS_OK || t->verdict == VERDICT_SAME)
            break;
        result->checked = t->label.sha256[0] != '\0';
        status = check_digest(t, &again, err);
        if (status == STATUS_OK) {
            result->n_bytes = t->total;
            status = put_in_place(t, result->checked, err);
            result->is_new = status == STATUS_OK;
            return status;
        }
        if (again) {
            t->discard = false;
            status = begin_anew(t, err);
        }
    }
    if (t->verdict == VERDICT_SAME)
        result->n_bytes = t->present.n_bytes;
    return t->verdict == VERDICT_SAME ? STATUS_OK : status;
}

enum status download_file(const struct download *download, struct download_result *result,
                          struct error *err)
{
    struct transfer t = {.d = download};
    *result = (struct download_result){false, false, 0};
    enum status status =
        download_lock(&t.fd, download->folder, download->file, download->patience, true, err);
    if (status != STATUS_OK)
        return status;
    status = get(&t, result, err);
    /* A part that cannot be resumed is removed. */
    if (!result->is_new && (t.discard || t.at == 0 || t.verdict == VERDICT_SAME))
        download_discard(download->folder, download->file);
    else if (status != STATUS_OK)
        status = error_set(err, status,
                           "%s; the %.1f MiB that have come are kept, and the same command goes on "
                           "from there",
                           err->text, (double)t.at / 1048576);
    close(t.fd);
    return status;
}
