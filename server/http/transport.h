/* transport.h - a connection's bytes: the one place that reads, writes and shuts its socket.
 *
 * libmicrohttpd has no hook between a socket and its parser, which hides what it forgives. It reads
 * with recv(2) alone, so recv is defined here: the dynamic linker then takes this one for the
 * library's, and reads of a socket that is watched go to its watcher. A watcher sees each byte
 * before the parser does, decides how many the parser gets, and costs no call or copy. Whatever is
 * to stand between socket and parser (TLS, a test) belongs here.
 *
 * A thread watches its own sockets; other threads' reads are plain.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* As recv(2): the bytes read into out[room], 0 at the end, or -1 and errno. EAGAIN: later. */
typedef ssize_t transport_read_fn(void *ctx, char *out, size_t room);

/* Whether the library's reads come here: else nothing must be served. */
bool transport_works(void);

/* From now on reads of fd on this thread go to read. */
enum status transport_watch(int fd, transport_read_fn *read, void *ctx, struct error *err);
void transport_forget(int fd); /* before it is closed */
void transport_end(void);      /* frees this thread's table */

/* For a watcher's own reads; as recv(2), without waiting. */
ssize_t transport_read(int fd, char *out, size_t room);
/* Whether the other side has ended, and no byte of it waits to be read. Takes nothing. */
bool transport_is_at_end(int fd);
bool transport_has_bytes(int fd); /* that wait to be read */
int transport_unsent(int fd);     /* bytes that the other side has not taken yet */
/* Sends what the socket takes at once; small answers always fit. False: not all of it went. */
bool transport_send(int fd, const char *bytes, size_t n);
void transport_finish(int fd); /* no more is written: the other side sees the end */
void transport_cut(int fd);    /* both ways */
/* One more descriptor of the same socket, which outlives the closing of fd. -1: there is none. */
int transport_duplicate(int fd);
void transport_close(int fd); /* takes -1 */
