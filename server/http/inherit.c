/* inherit.c - LISTEN_PID, LISTEN_FDS and what lies at those descriptors. Main thread. */
#include "server/http/inherit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FIRST_FD = 3 }; /* SD_LISTEN_FDS_START */

/* A positive decimal number; 0: it is none. */
static unsigned long read_number(const char *name)
{
    const char *text = getenv(name);
    char *end;
    if (text == NULL || text[0] < '0' || text[0] > '9')
        return 0;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    return errno == 0 && *end == '\0' ? value : 0;
}

static bool option_of(int fd, int option, int *value)
{
    socklen_t n = sizeof *value;
    return getsockopt(fd, SOL_SOCKET, option, value, &n) == 0;
}

static bool is_family(int family)
{
    return family == AF_INET || family == AF_INET6 || family == AF_UNIX;
}

static enum status take(int fd, struct error *err)
{
    int family = 0, type = 0, listening = 0;
    if (!option_of(fd, SO_DOMAIN, &family) || !option_of(fd, SO_TYPE, &type) ||
        !option_of(fd, SO_ACCEPTCONN, &listening))
        return error_errno(err, errno, "LISTEN_FDS: descriptor %d", fd);
    if (!is_family(family) || type != SOCK_STREAM || listening == 0)
        return error_set(err, STATUS_IO,
                         "LISTEN_FDS: descriptor %d must be a listening stream socket of IPv4, "
                         "IPv6 or Unix (ListenStream=, with Accept=no)",
                         fd);
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
        return error_errno(err, errno, "LISTEN_FDS: descriptor %d", fd);
    return STATUS_OK;
}

enum status inherit_sockets(int *fds, size_t room, size_t *n, struct error *err)
{
    unsigned long pid = read_number("LISTEN_PID"), n_fds = read_number("LISTEN_FDS");
    bool ours = pid != 0 && pid == (unsigned long)getpid();
    *n = 0;
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    if (!ours)
        return STATUS_OK;
    if (n_fds > room)
        return error_set(err, STATUS_IO, "LISTEN_FDS: %lu sockets; at most %zu can be taken", n_fds,
                         room);
    for (unsigned long i = 0; i < n_fds; i++) {
        fds[i] = FIRST_FD + (int)i;
        enum status status = take(fds[i], err);
        if (status != STATUS_OK)
            return status;
    }
    *n = (size_t)n_fds;
    return STATUS_OK;
}
