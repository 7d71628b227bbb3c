/* listen.h - the listening socket and the file that tells its port.
 *
 * A TCP socket (IPv4 or IPv6, by address or name) or a Unix one, opened before any connection is
 * served. Loop thread.
 */
#pragma once

#include "base/error.h"
#include "config/settings.h"

#include <stdbool.h>

struct listener {
    int fd;        /* -1: closed, or handed over */
    bool loopback; /* a TCP address that only this machine reaches */
    unsigned port; /* the real one; 0 for a Unix socket */
    char url[320]; /* for people: "http://127.0.0.1:8080", "unix:/run/smallmind.sock" */
    const char *unix_path, *port_file; /* borrowed from the settings; removed at the end */
};

/* Binds and listens. A Unix socket's file that nobody listens on is replaced. STATUS_IO says which
 * address and why. */
enum status listener_open(struct listener *out, const struct settings *settings, struct error *err);

/* Writes the port's number, whole or not at all (a file beside it, renamed). Nothing to do without
 * --port-file. */
enum status listener_announce(const struct listener *listener, struct error *err);

/* Whether the other end of a connection is on this machine. */
bool listener_is_local(int fd);

/* Closes the socket if it is still here, and removes the files. */
void listener_close(struct listener *listener);
