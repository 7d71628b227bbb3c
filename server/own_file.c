/* own_file.c - making, recognizing and removing them. Loop thread. */
#include "server/own_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LOCK_TRIES = 100, LOCK_PAUSE_NS = 10 * 1000 * 1000 };

int own_file_lock(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t n = slash != NULL ? (size_t)(slash - path) + (slash == path) : 0;
    if (n >= sizeof folder)
        return -1;
    memcpy(folder, path, n);
    memcpy(folder + n, n == 0 ? "." : "", n == 0 ? 2 : 1);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; fd >= 0 && i < LOCK_TRIES; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return fd;
        if (errno != EWOULDBLOCK && errno != EINTR)
            break;
        nanosleep(&(struct timespec){.tv_nsec = LOCK_PAUSE_NS}, NULL);
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

void own_file_unlock(int lock)
{
    if (lock >= 0)
        close(lock);
}

/* A new file beside the path, with the text in it; its name in temporary. */
static int write_beside(const char *path, const char *text, char temporary[PATH_MAX])
{
    int n = snprintf(temporary, PATH_MAX, "%s.XXXXXX", path);
    if (n < 0 || n >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return -1;
    size_t length = strlen(text);
    ssize_t n_written = write(fd, text, length);
    if (n_written == (ssize_t)length && fchmod(fd, 0644) == 0)
        return fd;
    int number = n_written < 0 || n_written == (ssize_t)length ? errno : ENOSPC;
    close(fd);
    unlink(temporary);
    errno = number;
    return -1;
}

enum status own_file_write(struct own_file *out, const char *path, const char *text,
                           struct error *err)
{
    char temporary[PATH_MAX];
    struct stat st;
    int lock = own_file_lock(path);
    int fd = write_beside(path, text, temporary), number = errno;
    bool done = fd >= 0 && fstat(fd, &st) == 0 && rename(temporary, path) == 0;
    if (fd >= 0 && !done) {
        number = errno;
        close(fd);
        unlink(temporary);
    }
    own_file_unlock(lock);
    if (!done)
        return error_errno(err, number, "%s", path);
    *out = (struct own_file){.path = path, .fd = fd, .device = st.st_dev, .inode = st.st_ino};
    snprintf(out->text, sizeof out->text, "%s", text);
    return STATUS_OK;
}

bool own_file_adopt(struct own_file *out, const char *path)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        return false;
    *out = (struct own_file){.path = path, .fd = -1, .device = st.st_dev, .inode = st.st_ino};
    return true;
}

bool own_file_is_ours(const struct own_file *file)
{
    struct stat st;
    char text[OWN_FILE_TEXT_MAX + 1];
    if (file->path == NULL || lstat(file->path, &st) != 0 || st.st_dev != file->device ||
        st.st_ino != file->inode)
        return false;
    if (file->text[0] == '\0')
        return true;
    ssize_t n = pread(file->fd, text, sizeof text, 0); /* the same inode */
    return n >= 0 && (size_t)n == strlen(file->text) && memcmp(text, file->text, (size_t)n) == 0;
}

void own_file_remove(struct own_file *file)
{
    if (file->path == NULL)
        return;
    int lock = own_file_lock(file->path);
    if (own_file_is_ours(file))
        unlink(file->path);
    own_file_unlock(lock);
    if (file->fd >= 0)
        close(file->fd);
    *file = (struct own_file){.path = NULL};
}
