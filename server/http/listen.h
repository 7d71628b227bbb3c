/* listen.h - the listening sockets and the file that tells their port.
 *
 * TCP sockets (IPv4 or IPv6, by address or name), all on one port, and a Unix one, opened before
 * any connection is served; or those that a supervisor has handed over. Loop thread.
 */
#pragma once

#include "base/error.h"
#include "config/settings.h"
#include "server/own_file.h"

#include <stdbool.h>

enum { LISTENER_SOCKETS_MAX = 64 };

struct listener {                  /* zeroed: closed */
    int fds[LISTENER_SOCKETS_MAX]; /* TCP's first, then Unix ones */
    size_t n, n_tcp;
    bool inherited; /* a supervisor's, which keeps them open over a restart of the service */
    bool loopback;  /* TCP addresses, and only this machine reaches them */
    bool remote;    /* other machines may reach one of them */
    unsigned port;  /* the real one, of all TCP sockets (inherited: the first's); 0: none */
    char url[320];  /* the first, to connect to: "http://127.0.0.1:8080", "unix:/run/sm.sock" */
    char urls[512]; /* all, for people; cut */
    const char *port_path;
    struct own_file port_file, unix_file;
};

/* Takes the sockets that the process was started with; where there are none, binds and listens on
 * what the settings name, on all of it or nothing. A Unix socket's file on which nothing listens
 * any more is replaced. STATUS_IO says which address and why. */
enum status listener_open(struct listener *out, const struct settings *settings, struct error *err);

/* Writes the port's number, whole or not at all. Nothing to do without --port-file. */
enum status listener_announce(struct listener *listener, struct error *err);

/* Whether the other end of a connection is on this machine. */
bool listener_is_local(int fd);
/* Whether a connection came through a Unix socket. */
bool listener_is_unix(int fd);

/* Closes the sockets and removes the files, where they are still this process's. */
void listener_close(struct listener *listener);
