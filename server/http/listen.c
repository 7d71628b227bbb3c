/* listen.c - which addresses, their sockets, and the port file. Loop thread. */
#include "server/http/listen.h"

#include "base/append.h"
#include "server/http/inherit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Accepted connections inherit these: a peer that vanishes without a word is noticed, in silence
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

union address { /* one memory under its types */
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un local;
    struct sockaddr_storage largest;
};

static bool is_loopback(const union address *address)
{
    if (address->any.sa_family == AF_INET)
        return ntohl(address->v4.sin_addr.s_addr) >> 24 == 127;
    const struct in6_addr *v6 = &address->v6.sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(v6) || (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == 127);
}

bool listener_is_unix(int fd)
{
    union address address = {.largest = {0}};
    socklen_t n = sizeof address;
    return getsockname(fd, &address.any, &n) == 0 && address.any.sa_family == AF_UNIX;
}

bool listener_is_local(int fd)
{
    union address address = {.largest = {0}};
    socklen_t n = sizeof address;
    if (getpeername(fd, &address.any, &n) != 0)
        return false;
    return address.any.sa_family == AF_UNIX || is_loopback(&address);
}

/* --- which addresses --- */

struct endpoint {
    union address address;
    socklen_t n;
    const char *host; /* as it was given */
    bool bound;
};

struct endpoints {
    struct endpoint list[LISTENER_SOCKETS_MAX];
    size_t n;
};

static void set_port(union address *address, unsigned port)
{
    if (address->any.sa_family == AF_INET6)
        address->v6.sin6_port = htons((uint16_t)port);
    else
        address->v4.sin_port = htons((uint16_t)port);
}

static bool is_any(const union address *address)
{
    return address->any.sa_family == AF_INET6 ? IN6_IS_ADDR_UNSPECIFIED(&address->v6.sin6_addr)
                                              : address->v4.sin_addr.s_addr == htonl(INADDR_ANY);
}

static bool same_address(const union address *a, const union address *b)
{
    if (a->any.sa_family != b->any.sa_family)
        return false;
    if (a->any.sa_family == AF_INET)
        return a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
    return IN6_ARE_ADDR_EQUAL(&a->v6.sin6_addr, &b->v6.sin6_addr) &&
           a->v6.sin6_scope_id == b->v6.sin6_scope_id;
}

/* The address that means all of its family takes the place of those it covers. */
static void add_endpoint(struct endpoints *e, const char *host, const struct sockaddr *address,
                         socklen_t n)
{
    struct endpoint added = {.n = n, .host = host};
    if (e->n == LISTENER_SOCKETS_MAX || n > sizeof added.address)
        return;
    memcpy(&added.address, address, n);
    size_t n_kept = 0;
    for (size_t i = 0; i < e->n; i++) {
        const union address *other = &e->list[i].address;
        bool same_family = other->any.sa_family == address->sa_family;
        if (same_address(other, &added.address) || (same_family && is_any(other)))
            return;
        if (!same_family || !is_any(&added.address))
            e->list[n_kept++] = e->list[i];
    }
    e->list[n_kept++] = added;
    e->n = n_kept;
}

/* Both addresses that every machine has under this name, whatever its resolver says of it. */
static bool add_localhost(struct endpoints *e, const char *host)
{
    if (strcasecmp(host, "localhost") != 0 && strcasecmp(host, "localhost.") != 0)
        return false;
    union address v4 = {.v4 = {.sin_family = AF_INET}}, v6 = {.v6 = {.sin6_family = AF_INET6}};
    v4.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    v6.v6.sin6_addr = in6addr_loopback;
    add_endpoint(e, host, &v4.any, sizeof v4.v4);
    add_endpoint(e, host, &v6.any, sizeof v6.v6);
    return true;
}

/* All addresses of a host: a name may have several. An address may stand in brackets. */
static enum status add_host(struct endpoints *e, const char *host, struct error *err)
{
    char name[NI_MAXHOST];
    size_t n = strlen(host);
    bool brackets = n > 2 && host[0] == '[' && host[n - 1] == ']';
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *list = NULL;
    if (add_localhost(e, host))
        return STATUS_OK;
    if (brackets)
        hints.ai_flags |= AI_NUMERICHOST;
    snprintf(name, sizeof name, "%.*s", (int)(brackets ? n - 2 : n), host + brackets);
    int code = n < sizeof name ? getaddrinfo(name, NULL, &hints, &list) : EAI_NONAME;
    if (code == EAI_NONAME)
        return error_set(err, STATUS_IO,
                         "--host %.200s: neither an address nor a name known here; a port is given "
                         "with --port",
                         host);
    if (code != 0)
        return error_set(err, STATUS_IO, "--host %.200s: %s", host,
                         code == EAI_SYSTEM ? strerror(errno) : gai_strerror(code));
    for (struct addrinfo *a = list; a != NULL; a = a->ai_next)
        if (a->ai_family == AF_INET || a->ai_family == AF_INET6)
            add_endpoint(e, host, a->ai_addr, a->ai_addrlen);
    freeaddrinfo(list);
    return STATUS_OK;
}

/* --- TCP sockets --- */

static bool has_v4(const struct endpoints *e)
{
    for (size_t i = 0; i < e->n; i++)
        if (e->list[i].address.any.sa_family == AF_INET)
            return true;
    return false;
}

/* A listening socket, or -1 and errno. */
static int open_endpoint(const struct endpoint *e, bool v6_alone, unsigned stall_seconds)
{
    int on = 1, family = e->address.any.sa_family;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    /* a restart must not wait for TIME_WAIT */
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (v6_alone && family == AF_INET6 && is_any(&e->address))
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    set_tcp_options(fd, stall_seconds);
    if (bind(fd, &e->address.any, e->n) == 0 && listen(fd, SOMAXCONN) == 0)
        return fd;
    int number = errno;
    close(fd);
    errno = number;
    return -1;
}

static unsigned port_of(int fd)
{
    union address address = {.largest = {0}};
    socklen_t n = sizeof address;
    if (getsockname(fd, &address.any, &n) != 0)
        return 0;
    return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
}

static void close_sockets(struct listener *l)
{
    for (size_t i = 0; i < l->n; i++)
        close(l->fds[i]);
    l->n = l->n_tcp = 0;
}

/* All of them on one port; port 0: on the one that the first gets. An address that this machine has
 * not (IPv6, switched off) may be missing where its name has another. Else the errno, with *at. */
static int open_endpoints(struct listener *l, struct endpoints *e, const struct settings *s,
                          const struct endpoint **at)
{
    bool v6_alone = has_v4(e);
    l->port = s->port;
    int missing = 0;
    for (size_t i = 0; i < e->n; i++) {
        set_port(&e->list[i].address, l->port);
        int fd = open_endpoint(&e->list[i], v6_alone, s->stall_seconds);
        e->list[i].bound = fd >= 0;
        if (fd < 0 && errno != EADDRNOTAVAIL && errno != EAFNOSUPPORT) {
            *at = &e->list[i];
            return errno;
        }
        missing = fd < 0 ? errno : missing;
        if (fd < 0)
            continue;
        l->fds[l->n++] = fd;
        l->port = port_of(fd);
    }
    for (size_t i = 0; i < e->n; i++) {
        bool bound = false;
        for (size_t j = 0; j < e->n; j++)
            bound = bound || (e->list[j].bound && e->list[j].host == e->list[i].host);
        *at = &e->list[i];
        if (!bound)
            return missing;
    }
    return 0;
}

static void add_url(struct listener *l, const char *url)
{
    size_t n = strlen(l->urls);
    if (l->url[0] == '\0')
        snprintf(l->url, sizeof l->url, "%s", url);
    append_text(l->urls, sizeof l->urls, &n, "%s%s", n > 0 ? ", " : "", url);
}

static void add_address(struct listener *l, const union address *address, socklen_t n,
                        unsigned port)
{
    char host[NI_MAXHOST] = "", url[sizeof l->url];
    getnameinfo(&address->any, n, host, sizeof host, NULL, 0, NI_NUMERICHOST);
    bool v6 = address->any.sa_family == AF_INET6;
    snprintf(url, sizeof url, v6 ? "http://[%.256s]:%u" : "http://%.256s:%u", host, port);
    add_url(l, url);
    l->remote = l->remote || !is_loopback(address);
}

static void describe(struct listener *l, const struct endpoints *e)
{
    for (size_t i = 0; i < e->n; i++)
        if (e->list[i].bound)
            add_address(l, &e->list[i].address, e->list[i].n, l->port);
    l->loopback = !l->remote;
}

static enum status open_tcp(struct listener *l, const struct settings *s, struct error *err)
{
    enum { PORT_TRIES = 32 }; /* the first address's free port may be taken on another */
    struct endpoints endpoints = {.n = 0};
    const struct endpoint *at = NULL;
    for (size_t i = 0; i < s->hosts.n; i++) {
        enum status status = add_host(&endpoints, s->hosts.items[i], err);
        if (status != STATUS_OK)
            return status;
    }
    int number = EADDRINUSE;
    for (int i = 0; i < PORT_TRIES && number == EADDRINUSE; i++) {
        close_sockets(l);
        number = open_endpoints(l, &endpoints, s, &at);
        if (s->port != 0)
            break;
    }
    if (number != 0)
        return error_errno(err, number, "cannot listen on %.200s, port %u", at->host, s->port);
    l->n_tcp = l->n;
    describe(l, &endpoints);
    return STATUS_OK;
}

/* --- the Unix socket --- */

/* Whether a socket's file is there and nothing listens on it any more. */
static bool is_stale(const struct sockaddr_un *address)
{
    struct stat st;
    if (lstat(address->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool stale = fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof *address) != 0 &&
                 errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return stale;
}

/* With these permissions from its first moment on: a socket's file takes them from the socket, less
 * the umask, which must not count. */
static bool bind_unix(int fd, const struct sockaddr_un *address, unsigned mode)
{
    return fchmod(fd, mode) == 0 &&
           bind(fd, (const struct sockaddr *)address, sizeof *address) == 0;
}

static enum status open_unix(struct listener *l, const struct settings *s, struct error *err)
{
    const char *path = s->unix_path;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return error_set(err, STATUS_INVALID, "--unix %s: longer than %zu bytes", path,
                         sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, strlen(path));
    int lock = own_file_lock(path); /* of several that start at once one gets it */
    if (is_stale(&address))
        unlink(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool bound = fd >= 0 && bind_unix(fd, &address, s->unix_mode);
    bool ok = bound && own_file_adopt(&l->unix_file, path) && listen(fd, SOMAXCONN) == 0 &&
              chmod(path, s->unix_mode) == 0;
    int number = errno;
    own_file_unlock(lock);
    if (fd >= 0)
        l->fds[l->n++] = fd;
    if (!ok)
        return error_errno(err, number, "cannot listen on %s", path);
    char url[sizeof l->url];
    snprintf(url, sizeof url, "unix:%s", path);
    add_url(l, url);
    return STATUS_OK;
}

/* --- sockets of a supervisor's --- */

static void add_inherited(struct listener *l, int fd, bool tcp, unsigned stall_seconds)
{
    union address address = {.largest = {0}};
    socklen_t n = sizeof address;
    char url[sizeof l->url];
    bool named = getsockname(fd, &address.any, &n) == 0;
    bool is_tcp = named && address.any.sa_family != AF_UNIX;
    if (is_tcp != tcp)
        return;
    l->fds[l->n++] = fd;
    if (tcp) {
        set_tcp_options(fd, stall_seconds);
        l->n_tcp++;
        l->port = l->port != 0 ? l->port : port_of(fd);
        add_address(l, &address, n, port_of(fd));
        return;
    }
    /* An abstract socket's name begins with a zero byte. */
    size_t n_path = n > offsetof(struct sockaddr_un, sun_path)
                        ? (size_t)n - offsetof(struct sockaddr_un, sun_path)
                        : 0;
    bool abstract = n_path > 1 && address.local.sun_path[0] == '\0';
    snprintf(url, sizeof url, "unix:%s%.*s", abstract ? "@" : "", (int)(n_path - abstract),
             address.local.sun_path + abstract);
    add_url(l, url);
}

static enum status take_inherited(struct listener *l, const struct settings *s, struct error *err)
{
    int fds[LISTENER_SOCKETS_MAX];
    size_t n;
    enum status status = inherit_sockets(fds, LISTENER_SOCKETS_MAX, &n, err);
    if (status != STATUS_OK || n == 0)
        return status;
    l->inherited = true;
    for (int tcp = 1; tcp >= 0; tcp--)
        for (size_t i = 0; i < n; i++)
            add_inherited(l, fds[i], tcp == 1, s->stall_seconds);
    l->loopback = l->n_tcp > 0 && !l->remote;
    return STATUS_OK;
}

/* --- all of it --- */

enum status listener_open(struct listener *out, const struct settings *settings, struct error *err)
{
    *out = (struct listener){.n = 0};
    enum status status = take_inherited(out, settings, err);
    if (status == STATUS_OK && !out->inherited && !settings->unix_alone)
        status = open_tcp(out, settings, err);
    if (status == STATUS_OK && !out->inherited && settings->unix_path != NULL)
        status = open_unix(out, settings, err);
    if (status != STATUS_OK)
        listener_close(out);
    else
        out->port_path = settings->port_file;
    return status;
}

enum status listener_announce(struct listener *listener, struct error *err)
{
    if (listener->port_path == NULL)
        return STATUS_OK;
    char text[OWN_FILE_TEXT_MAX];
    struct error why;
    snprintf(text, sizeof text, "%u\n", listener->port);
    enum status status = own_file_write(&listener->port_file, listener->port_path, text, &why);
    return status == STATUS_OK ? status : error_set(err, status, "--port-file %s", why.text);
}

void listener_close(struct listener *listener)
{
    own_file_remove(&listener->unix_file); /* while its socket holds the inode */
    own_file_remove(&listener->port_file);
    close_sockets(listener);
}
