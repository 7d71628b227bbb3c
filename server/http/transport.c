/* transport.c - watched sockets, by descriptor. One table a thread. */
#include "server/http/transport.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

struct watched {
    transport_read_fn *read; /* NULL: not watched */
    void *ctx;
};

/* The library hands recv nothing but a descriptor. */
static _Thread_local struct {
    struct watched *sockets; /* [n], by descriptor */
    size_t n;
} table;

ssize_t recv(int fd, void *out, size_t room, int flags)
{
    if (fd < 0 || (size_t)fd >= table.n || table.sockets[fd].read == NULL)
        return recvfrom(fd, out, room, flags, NULL, NULL);
    return table.sockets[fd].read(table.sockets[fd].ctx, out, room);
}

bool transport_works(void)
{
    union { /* a function's address as an object's, as POSIX has it */
        void *object;
        ssize_t (*function)(int, void *, size_t, int);
    } found = {.object = dlsym(RTLD_DEFAULT, "recv")};
    return found.function == recv;
}

enum status transport_watch(int fd, transport_read_fn *read, void *ctx, struct error *err)
{
    if ((size_t)fd >= table.n) {
        size_t n = 2 * (size_t)fd + 64;
        struct watched *more = realloc(table.sockets, n * sizeof *more);
        if (more == NULL)
            return error_no_memory(err, n * sizeof *more, "the table of connections");
        memset(more + table.n, 0, (n - table.n) * sizeof *more);
        table.sockets = more;
        table.n = n;
    }
    table.sockets[fd] = (struct watched){read, ctx};
    return STATUS_OK;
}

void transport_forget(int fd)
{
    if (fd >= 0 && (size_t)fd < table.n)
        table.sockets[fd] = (struct watched){NULL, NULL};
}

void transport_end(void)
{
    free(table.sockets);
    table.sockets = NULL;
    table.n = 0;
}

ssize_t transport_read(int fd, char *out, size_t room)
{
    return recvfrom(fd, out, room, MSG_DONTWAIT, NULL, NULL);
}

bool transport_is_at_end(int fd)
{
    char byte;
    return recvfrom(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT, NULL, NULL) == 0;
}

bool transport_has_bytes(int fd)
{
    char byte;
    return recvfrom(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT, NULL, NULL) > 0;
}

int transport_unsent(int fd)
{
    int n = 0;
    return ioctl(fd, TIOCOUTQ, &n) == 0 ? n : 0;
}

bool transport_send(int fd, const char *bytes, size_t n)
{
    ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent >= 0 && (size_t)sent == n;
}

void transport_finish(int fd)
{
    shutdown(fd, SHUT_WR);
}

void transport_cut(int fd)
{
    shutdown(fd, SHUT_RDWR);
}

int transport_duplicate(int fd)
{
    return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

void transport_close(int fd)
{
    if (fd >= 0)
        close(fd);
}
