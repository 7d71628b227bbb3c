/* target.c - checks and writes a report's file. No state of its own. */
#include "cli/target.h"

#include "cli/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* How a path is written to. */
enum way {
    WAY_BESIDE, /* a new file in its folder, renamed */
    WAY_DIRECT,
    WAY_OUTPUT, /* through standard output, which leads there already */
};

struct target {
    enum way way;
    bool exists;
    struct stat is;        /* where it exists */
    char name[PATH_MAX];   /* WAY_BESIDE: with all links followed */
    char beside[PATH_MAX]; /* WAY_BESIDE: the new file's */
};

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* The new file's name is short and does not depend on the target's, which may be as long as a name
 * can be. Another user's file keeps its owner, and one in a folder that takes no new file can only
 * be written as it is. */
static enum status name_beside(struct target *t, const char *path, struct error *err)
{
    const char *slash = strrchr(t->name, '/');
    const int n_folder = slash != NULL ? (int)(slash - t->name) + 1 : 0;
    snprintf(t->beside, sizeof t->beside, "%.*s.", n_folder, t->name);
    const bool takes_files = access(t->beside, W_OK) == 0;
    t->way = t->exists && (t->is.st_uid != geteuid() || !takes_files) ? WAY_DIRECT : WAY_BESIDE;
    int n = snprintf(t->beside, sizeof t->beside, "%.*s.smallmind-%ld", n_folder, t->name,
                     (long)getpid());
    return n < (int)sizeof t->beside ? STATUS_OK : error_errno(err, ENAMETOOLONG, "%s", path);
}

static enum status look_at(struct target *t, const char *path, struct error *err)
{
    struct stat link, output;
    *t = (struct target){.way = WAY_DIRECT};
    t->exists = stat(path, &t->is) == 0;
    if (path[0] == '\0' || (!t->exists && errno != ENOENT))
        return error_errno(err, errno, "%s", path);
    if (!t->exists) {
        if (lstat(path, &link) == 0) /* a link to what is not there yet: nothing to lose */
            return STATUS_OK;
        if (snprintf(t->name, sizeof t->name, "%s", path) >= (int)sizeof t->name)
            return error_errno(err, ENAMETOOLONG, "%s", path);
    } else if (S_ISDIR(t->is.st_mode)) {
        return error_errno(err, EISDIR, "%s", path);
    } else if (fstat(STDOUT_FILENO, &output) == 0 && same_file(&t->is, &output)) {
        t->way = WAY_OUTPUT;
        return STATUS_OK;
    } else if (!S_ISREG(t->is.st_mode)) {
        return STATUS_OK;
    } else if (realpath(path, t->name) == NULL) {
        return error_errno(err, errno, "%s", path);
    }
    return name_beside(t, path, err);
}

/* The new file, with the rights of the one it replaces. -1: errno. */
static int open_beside(const struct target *t)
{
    unlink(t->beside); /* of a process that had our number, and ended */
    int fd = open(t->beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0 && t->exists && fchmod(fd, t->is.st_mode & 07777) != 0) {
        int number = errno;
        close(fd);
        unlink(t->beside);
        errno = number;
        return -1;
    }
    return fd;
}

static bool is_model(const char *path, const struct target *t, const char *model)
{
    struct stat other;
    char begin[4] = "";
    if (!t->exists || !S_ISREG(t->is.st_mode))
        return false;
    if (strcmp(model, "builtin") != 0 && stat(model, &other) == 0 && same_file(&t->is, &other))
        return true;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, begin, sizeof begin);
    close(fd);
    return n == sizeof begin && memcmp(begin, "GGUF", sizeof begin) == 0;
}

enum status target_check(const char *path, const char *model, const char *option, struct error *err)
{
    struct target t;
    enum status status = look_at(&t, path, err);
    if (status != STATUS_OK)
        return status;
    if (is_model(path, &t, model))
        return error_set_param(err, STATUS_INVALID, option,
                               "%s is a model: a report would be written over it; a model to "
                               "profile is given with --model",
                               path);
    if (t.exists && t.way != WAY_OUTPUT && access(path, W_OK) != 0)
        return error_errno(err, errno, "%s", path);
    if (t.way != WAY_BESIDE)
        return STATUS_OK;
    int fd = open_beside(&t);
    if (fd < 0)
        return error_errno(err, errno, "%s cannot be written", path);
    close(fd);
    unlink(t.beside);
    return STATUS_OK;
}

static enum status write_direct(const char *path, const char *bytes, size_t n, struct error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return error_errno(err, errno, "%s", path);
    enum status status = terminal_write_to(fd, path, bytes, n, err);
    if (close(fd) != 0 && status == STATUS_OK)
        status = error_errno(err, errno, "%s", path);
    return status;
}

static enum status write_beside(const struct target *t, const char *path, const char *bytes,
                                size_t n, struct error *err)
{
    int fd = open_beside(t);
    if (fd < 0)
        return error_errno(err, errno, "%s", path);
    enum status status = terminal_write_to(fd, path, bytes, n, err);
    if (status == STATUS_OK && fsync(fd) != 0)
        status = error_errno(err, errno, "%s", path);
    if (close(fd) != 0 && status == STATUS_OK)
        status = error_errno(err, errno, "%s", path);
    if (status == STATUS_OK && rename(t->beside, t->name) == 0)
        return STATUS_OK;
    if (status == STATUS_OK) /* a file that is mounted by itself, as into a container */
        status = errno == EBUSY ? write_direct(path, bytes, n, err)
                                : error_errno(err, errno, "%s", path);
    unlink(t->beside);
    return status;
}

enum status target_write(const char *path, const char *bytes, size_t n, struct error *err)
{
    struct target t;
    enum status status = look_at(&t, path, err);
    if (status != STATUS_OK)
        return status;
    switch (t.way) {
    case WAY_BESIDE:
        return write_beside(&t, path, bytes, n, err);
    case WAY_OUTPUT:
        return terminal_write(bytes, n, err);
    case WAY_DIRECT:
        break;
    }
    return write_direct(path, bytes, n, err);
}
