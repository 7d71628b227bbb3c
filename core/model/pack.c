/* pack.c - a model's arena to a file and back. See pack.h. */
#include "model/pack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

enum {
    PACK_VERSION = 1, /* raised when panels, or what else the loader keeps, change */
    CHUNK_BYTES = 4 << 20,
    FILE_ALIGN = 4096,
    NAME_ROOM = 64,
    LEFTOVER_SECONDS = 3600, /* after which a file half written is taken for a crash's */
    FREE_PART = 20,          /* of a file system: one in so many bytes stays free */
};

static const char magic[16] = "smallmind pack\n", ending[] = ".pack", unfinished[] = ".part";

struct header {
    char magic[16];
    uint64_t id[2];
    uint64_t n_bytes;    /* of all chunks */
    uint64_t table_hash; /* of the chunks' hashes, which follow: uint64_t [n_chunks] */
};

static size_t n_payload(const struct pack *p)
{
    return p->n_bytes - p->first;
}

static size_t n_chunks(const struct pack *p)
{
    return (n_payload(p) + CHUNK_BYTES - 1) / CHUNK_BYTES;
}

static size_t chunk_bytes(const struct pack *p, size_t i)
{
    const size_t left = n_payload(p) - i * CHUNK_BYTES;
    return left < CHUNK_BYTES ? left : CHUNK_BYTES;
}

static size_t chunks_begin(const struct pack *p)
{
    const size_t n = sizeof(struct header) + n_chunks(p) * sizeof(uint64_t);
    return (n + FILE_ALIGN - 1) / FILE_ALIGN * FILE_ALIGN;
}

/* --- names --- */

static void add(void *state, const void *bytes, size_t n)
{
    XXH3_128bits_update(state, bytes, n);
}

bool pack_of(struct pack *out, const char *folder, const struct gguf *gguf, size_t n_context,
             size_t first, size_t n_bytes)
{
    XXH3_state_t *state = XXH3_createState();
    if (state == NULL || strlen(folder) >= sizeof out->folder) {
        XXH3_freeState(state);
        return false;
    }
    const uint64_t made_for[] = {PACK_VERSION, n_context, first, n_bytes};
    XXH3_128bits_reset(state);
    add(state, made_for, sizeof made_for);
    const bool is_file = gguf_describe(gguf, add, state);
    const XXH128_hash_t hash = XXH3_128bits_digest(state);
    XXH3_freeState(state);
    *out = (struct pack){.id = {hash.low64, hash.high64}, .first = first, .n_bytes = n_bytes};
    snprintf(out->folder, sizeof out->folder, "%s", folder);
    return is_file;
}

static void name_of(const struct pack *p, const char *end, char name[NAME_ROOM])
{
    snprintf(name, NAME_ROOM, "%016llx%016llx%s", (unsigned long long)p->id[1],
             (unsigned long long)p->id[0], end);
}

static struct header header_of(const struct pack *p, const uint64_t *table)
{
    struct header h = {.id = {p->id[0], p->id[1]},
                       .n_bytes = n_payload(p),
                       .table_hash = XXH3_64bits(table, n_chunks(p) * sizeof *table)};
    memcpy(h.magic, magic, sizeof magic);
    return h;
}

static int open_folder(const struct pack *p)
{
    return open(p->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* --- reading --- */

static bool read_at(int fd, void *to, size_t n, size_t at)
{
    uint8_t *bytes = to;
    while (n > 0) {
        const ssize_t got = pread(fd, bytes, n, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        bytes += got, at += (size_t)got, n -= (size_t)got;
    }
    return true;
}

struct fetching {
    const struct pack *pack;
    struct arena *arena;
    const uint64_t *table;
    int fd;
    uint32_t n_chunks;
    _Atomic bool wrong;
};

static void read_chunk(void *arg, size_t phase, size_t i, unsigned rank)
{
    struct fetching *r = arg;
    const size_t n = chunk_bytes(r->pack, i);
    uint8_t *to = r->arena->base + r->pack->first + i * CHUNK_BYTES;
    (void)phase, (void)rank;
    if (!read_at(r->fd, to, n, chunks_begin(r->pack) + i * CHUNK_BYTES) ||
        XXH3_64bits(to, n) != r->table[i])
        r->wrong = true;
}

static enum status damaged(const char *name, struct error *err)
{
    return error_set(err, STATUS_FORMAT, "%s is damaged or of another version", name);
}

/* A regular file of this user or of root that no one else may write to. */
static bool is_ours(const struct stat *s)
{
    return S_ISREG(s->st_mode) && (s->st_uid == geteuid() || s->st_uid == 0) &&
           (s->st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

static enum status read_file(const struct pack *p, int fd, const char *name, struct arena *arena,
                             struct team *team, struct error *err)
{
    struct stat s;
    if (fstat(fd, &s) != 0 || !is_ours(&s))
        return error_set(err, STATUS_IO, "%s is not this user's alone", name);
    const size_t n = n_chunks(p);
    uint64_t *table = malloc((n + 1) * sizeof *table);
    if (table == NULL)
        return error_no_memory(err, n * sizeof *table, "the table of packed weights");
    struct header h;
    enum status status = STATUS_OK;
    if ((size_t)s.st_size != chunks_begin(p) + n_payload(p) || !read_at(fd, &h, sizeof h, 0) ||
        !read_at(fd, table, n * sizeof *table, sizeof h))
        status = damaged(name, err);
    const struct header right = header_of(p, table);
    if (status == STATUS_OK && memcmp(&h, &right, sizeof h) != 0)
        status = damaged(name, err);
    if (status == STATUS_OK) {
        struct fetching r = {p, arena, table, fd, (uint32_t)n, false};
        team_run(team, &(struct team_work){
                           .fn = read_chunk, .arg = &r, .n_chunks = &r.n_chunks, .n_phases = 1});
        if (r.wrong) {
            memset(arena->base, 0, arena->n_bytes);
            status = damaged(name, err);
        }
    }
    if (status == STATUS_OK)
        (void)futimens(fd, NULL); /* used: the oldest go first */
    free(table);
    return status;
}

enum status pack_read(const struct pack *pack, struct arena *arena, struct team *team,
                      struct error *err)
{
    char name[NAME_ROOM];
    const int folder = open_folder(pack);
    name_of(pack, ending, name);
    const int fd = folder >= 0 ? openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    const int code = errno;
    if (folder >= 0)
        close(folder);
    if (fd < 0)
        return error_set(err, code == ENOENT ? STATUS_UNABLE : STATUS_IO, "%s/%s: %s", pack->folder,
                         name, strerror(code));
    const enum status status = read_file(pack, fd, name, arena, team, err);
    close(fd);
    return status;
}

/* --- room --- */

static bool ends_with(const char *name, const char *end)
{
    const size_t n = strlen(name), n_end = strlen(end);
    return n >= n_end && strcmp(name + n - n_end, end) == 0;
}

struct census {
    uint64_t n_bytes;
    char oldest[NAME_ROOM];
    struct timespec used;
};

static bool is_older(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

/* What the folder holds besides `except`; what a crash left is removed. */
static void take_census(int folder, const char *except, struct census *out)
{
    *out = (struct census){0};
    const int again = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = again >= 0 ? fdopendir(again) : NULL;
    const struct dirent *entry;
    struct stat s;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        const char *name = entry->d_name;
        const bool is_pack = ends_with(name, ending) && strlen(name) < NAME_ROOM;
        if ((!is_pack && !ends_with(name, unfinished)) || strcmp(name, except) == 0 ||
            fstatat(folder, name, &s, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(s.st_mode))
            continue;
        if (!is_pack) {
            if (time(NULL) - s.st_mtim.tv_sec > LEFTOVER_SECONDS)
                (void)unlinkat(folder, name, 0);
            continue;
        }
        out->n_bytes += (uint64_t)s.st_size;
        if (out->oldest[0] == '\0' || is_older(&s.st_mtim, &out->used)) {
            snprintf(out->oldest, sizeof out->oldest, "%.*s", NAME_ROOM - 1, name);
            out->used = s.st_mtim;
        }
    }
    if (dir != NULL)
        closedir(dir);
    else if (again >= 0)
        close(again);
}

static enum status make_room(const struct pack *p, int folder, uint64_t most_bytes,
                             struct error *err)
{
    const uint64_t n = chunks_begin(p) + n_payload(p);
    char name[NAME_ROOM];
    struct census c;
    struct statvfs fs;
    name_of(p, ending, name);
    if (n > most_bytes)
        return error_set(err, STATUS_TOO_LARGE, "they take %llu bytes, more than the allowed %llu",
                         (unsigned long long)n, (unsigned long long)most_bytes);
    for (;;) {
        take_census(folder, name, &c);
        if (c.n_bytes + n <= most_bytes || c.oldest[0] == '\0')
            break;
        if (unlinkat(folder, c.oldest, 0) != 0)
            return error_errno(err, errno, "%s/%s", p->folder, c.oldest);
    }
    if (fstatvfs(folder, &fs) != 0)
        return error_errno(err, errno, "%s", p->folder);
    const uint64_t free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (free_bytes < n || free_bytes - n < (uint64_t)fs.f_blocks * fs.f_frsize / FREE_PART)
        return error_set(err, STATUS_TOO_LARGE,
                         "they take %llu bytes, and a twentieth of the file system must stay free",
                         (unsigned long long)n);
    return STATUS_OK;
}

/* --- writing --- */

static bool write_at(int fd, const void *from, size_t n, size_t at)
{
    const uint8_t *bytes = from;
    while (n > 0) {
        const ssize_t put = pwrite(fd, bytes, n, (off_t)at);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return false;
        bytes += put, at += (size_t)put, n -= (size_t)put;
    }
    return true;
}

static enum status write_file(const struct pack *p, int fd, const struct arena *arena,
                              const _Atomic bool *stop, struct error *err)
{
    const size_t n = n_chunks(p);
    uint64_t *table = malloc((n + 1) * sizeof *table);
    if (table == NULL)
        return error_no_memory(err, n * sizeof *table, "the table of packed weights");
    enum status status = STATUS_OK;
    for (size_t i = 0; i < n && status == STATUS_OK; i++) {
        const uint8_t *from = arena->base + p->first + i * CHUNK_BYTES;
        const size_t n_now = chunk_bytes(p, i);
        table[i] = XXH3_64bits(from, n_now);
        if (atomic_load_explicit(stop, memory_order_relaxed))
            status = error_set(err, STATUS_STOPPING, "the service is stopping");
        else if (!write_at(fd, from, n_now, chunks_begin(p) + i * CHUNK_BYTES))
            status = error_errno(err, errno, "%s", p->folder);
    }
    if (status == STATUS_OK) {
        const struct header h = header_of(p, table);
        if (!write_at(fd, table, n * sizeof *table, sizeof h) || !write_at(fd, &h, sizeof h, 0))
            status = error_errno(err, errno, "%s", p->folder);
    }
    free(table);
    return status;
}

/* Beside its place, then renamed: whole or not there. Not made sure on disk: what a power cut takes
 * is found by its hash. */
static enum status write_in(const struct pack *p, int folder, const struct arena *arena,
                            const _Atomic bool *stop, struct error *err)
{
    char name[NAME_ROOM], end[24], place[NAME_ROOM];
    snprintf(end, sizeof end, ".%d%s", (int)getpid(), unfinished);
    name_of(p, end, name);
    name_of(p, ending, place);
    const int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_errno(err, errno, "%s/%s", p->folder, name);
    enum status status = write_file(p, fd, arena, stop, err);
    if (close(fd) != 0 && status == STATUS_OK)
        status = error_errno(err, errno, "%s/%s", p->folder, name);
    if (status == STATUS_OK && renameat(folder, name, folder, place) != 0)
        status = error_errno(err, errno, "%s/%s", p->folder, place);
    if (status != STATUS_OK)
        (void)unlinkat(folder, name, 0);
    return status;
}

enum status pack_write(const struct pack *pack, const struct arena *arena, uint64_t most_bytes,
                       const _Atomic bool *stop, struct error *err)
{
    if (mkdir(pack->folder, 0700) != 0 && errno != EEXIST)
        return error_errno(err, errno, "%s", pack->folder);
    const int folder = open_folder(pack);
    if (folder < 0)
        return error_errno(err, errno, "%s", pack->folder);
    enum status status = make_room(pack, folder, most_bytes, err);
    if (status == STATUS_OK)
        status = write_in(pack, folder, arena, stop, err);
    close(folder);
    return status;
}
