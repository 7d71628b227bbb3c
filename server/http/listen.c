/* listen.c - sockets and the port file. Loop thread. */
#include "server/http/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* What accepted connections inherit: a peer that vanishes without a word is noticed, in silence
 * after about two minutes, with data under way after the time that a client may stall. */
static void set_tcp_options(int fd, unsigned stall_seconds)
{
    int on = 1, idle = 60, interval = 15, count = 4;
    unsigned timeout_ms = stall_seconds > 3600 ? 3600u * 1000u : stall_seconds * 1000u;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof timeout_ms);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

union address { /* one memory under its four types */
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_storage largest;
};

static bool is_loopback(const union address *address)
{
    if (address->any.sa_family == AF_INET)
        return ntohl(address->v4.sin_addr.s_addr) >> 24 == 127;
    const struct in6_addr *v6 = &address->v6.sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(v6) || (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == 127);
}

bool listener_is_local(int fd)
{
    union address address = {.largest = {0}};
    socklen_t n = sizeof address;
    if (getpeername(fd, &address.any, &n) != 0)
        return false;
    return address.any.sa_family == AF_UNIX || is_loopback(&address);
}

static enum status describe_tcp(struct listener *l, struct error *err)
{
    union address address = {.largest = {0}};
    socklen_t n = sizeof address;
    char host[NI_MAXHOST], port[NI_MAXSERV];
    if (getsockname(l->fd, &address.any, &n) != 0 ||
        getnameinfo(&address.any, n, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return error_errno(err, errno, "the socket's own address");
    bool v6 = address.any.sa_family == AF_INET6;
    l->loopback = is_loopback(&address);
    l->port = ntohs(v6 ? address.v6.sin6_port : address.v4.sin_port);
    snprintf(l->url, sizeof l->url, v6 ? "http://[%.256s]:%u" : "http://%.256s:%u", host, l->port);
    return STATUS_OK;
}

static enum status open_tcp(struct listener *l, const struct settings *s, struct error *err)
{
    char port[16];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV},
                    *list = NULL;
    snprintf(port, sizeof port, "%u", s->port);
    int code = getaddrinfo(s->hosts.items[0], port, &hints, &list);
    if (code != 0)
        return error_set(err, STATUS_IO, "--host %s: %s", s->hosts.items[0],
                         code == EAI_SYSTEM ? strerror(errno) : gai_strerror(code));
    int number = EADDRNOTAVAIL, on = 1;
    for (struct addrinfo *a = list; a != NULL && l->fd < 0; a = a->ai_next) {
        l->fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol);
        if (l->fd < 0) {
            number = errno;
            continue;
        }
        setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &on,
                   sizeof on); /* a restart must not wait for TIME_WAIT */
        set_tcp_options(l->fd, s->stall_seconds);
        if (bind(l->fd, a->ai_addr, a->ai_addrlen) != 0 || listen(l->fd, SOMAXCONN) != 0) {
            number = errno;
            close(l->fd);
            l->fd = -1;
        }
    }
    freeaddrinfo(list);
    if (l->fd < 0)
        return error_errno(err, number, "cannot listen on %s, port %u", s->hosts.items[0], s->port);
    return describe_tcp(l, err);
}

/* Whether a socket's file is there and nobody answers behind it. */
static bool is_stale(const struct sockaddr_un *address)
{
    struct stat st;
    if (lstat(address->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool stale = fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof *address) != 0 &&
                 errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return stale;
}

static enum status open_unix(struct listener *l, const char *path, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return error_set(err, STATUS_INVALID, "--unix %s: longer than %zu bytes", path,
                         sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, strlen(path));
    if (is_stale(&address))
        unlink(path);
    l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (l->fd < 0 || bind(l->fd, (struct sockaddr *)&address, sizeof address) != 0)
        return error_errno(err, errno, "cannot listen on %s", path);
    l->unix_path = path;
    if (listen(l->fd, SOMAXCONN) != 0)
        return error_errno(err, errno, "cannot listen on %s", path);
    snprintf(l->url, sizeof l->url, "unix:%s", path);
    return STATUS_OK;
}

enum status listener_open(struct listener *out, const struct settings *settings, struct error *err)
{
    *out = (struct listener){.fd = -1};
    enum status status = settings->unix_path != NULL ? open_unix(out, settings->unix_path, err)
                                                     : open_tcp(out, settings, err);
    if (status != STATUS_OK)
        listener_close(out);
    else
        out->port_file = settings->port_file;
    return status;
}

enum status listener_announce(const struct listener *listener, struct error *err)
{
    if (listener->port_file == NULL)
        return STATUS_OK;
    char path[4096], text[16];
    int n = snprintf(path, sizeof path, "%s.new", listener->port_file);
    if (n < 0 || (size_t)n >= sizeof path)
        return error_set(err, STATUS_INVALID, "--port-file %s: the path is too long",
                         listener->port_file);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    n = snprintf(text, sizeof text, "%u\n", listener->port);
    bool written = fd >= 0 && write(fd, text, (size_t)n) == n;
    int number = errno;
    if (fd >= 0 && close(fd) != 0 && written) {
        number = errno;
        written = false;
    }
    if (written && rename(path, listener->port_file) == 0)
        return STATUS_OK;
    if (written)
        number = errno;
    if (fd >= 0)
        unlink(path);
    return error_errno(err, number, "--port-file %s", listener->port_file);
}

void listener_close(struct listener *listener)
{
    if (listener->fd >= 0)
        close(listener->fd);
    listener->fd = -1;
    if (listener->unix_path != NULL)
        unlink(listener->unix_path);
    if (listener->port_file != NULL)
        unlink(listener->port_file);
    listener->unix_path = listener->port_file = NULL;
}
