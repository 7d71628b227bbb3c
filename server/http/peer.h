/* peer.h - whose address the log shows: the peer's, or the one that a trusted proxy wrote down.
 *
 * X-Forwarded-For is a list to which each proxy adds the address that it was reached from, so only
 * its end can be believed: read from the right, as long as what was read is a trusted proxy. Pure
 * but for peer_of_socket. Knows nothing of requests.
 */
#pragma once

#include "base/error.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

struct peer {
    bool local;              /* a Unix socket's: no address */
    struct in6_addr address; /* IPv4 as ::ffff:a.b.c.d */
};

enum { PEER_NETWORKS_MAX = 32, PEER_TEXT_MAX = INET6_ADDRSTRLEN };

struct peer_network {
    struct in6_addr address;
    unsigned n_bits; /* of the 128 */
};

struct peer_networks {
    struct peer_network list[PEER_NETWORKS_MAX];
    size_t n;
    bool local; /* clients of a Unix socket, too */
};

/* Adds "10.0.0.0/8", "::1", "fd00::/8" or "unix". False when it is none of them, or one too many.
 */
bool peer_networks_add(struct peer_networks *networks, const char *text);
bool peer_is_trusted(const struct peer_networks *networks, const struct peer *client);

void peer_of_socket(struct peer *out, int fd);
void peer_text(const struct peer *client, char out[PEER_TEXT_MAX]); /* "unix": local */

/* Goes on from a client that may be a proxy with one field's value [n], the last field first.
 * Returns whether the field before it may be believed. */
bool peer_forwarded(struct peer *client, const struct peer_networks *networks, const char *value,
                    size_t n);
