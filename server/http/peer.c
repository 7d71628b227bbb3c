/* peer.c - addresses, networks, and the walk from the right. No state. */
#include "server/http/peer.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static void set_v4(struct in6_addr *out, const struct in_addr *v4)
{
    *out = (struct in6_addr){.s6_addr = {[10] = 0xff, [11] = 0xff}};
    memcpy(out->s6_addr + 12, v4, sizeof *v4);
}

/* *is_v4: it was written as one. */
static bool parse_address(const char *text, struct in6_addr *out, bool *is_v4)
{
    struct in_addr v4;
    *is_v4 = inet_pton(AF_INET, text, &v4) == 1;
    if (*is_v4)
        set_v4(out, &v4);
    return *is_v4 || inet_pton(AF_INET6, text, out) == 1;
}

bool peer_networks_add(struct peer_networks *networks, const char *text)
{
    char address[PEER_TEXT_MAX];
    bool is_v4;
    if (strcmp(text, "unix") == 0)
        return networks->local = true;
    size_t n = strcspn(text, "/");
    if (n >= sizeof address || networks->n == PEER_NETWORKS_MAX)
        return false;
    memcpy(address, text, n);
    address[n] = '\0';
    struct peer_network network = {.n_bits = 128};
    if (!parse_address(address, &network.address, &is_v4))
        return false;
    if (text[n] == '/') {
        const char *bits = text + n + 1;
        size_t n_digits = strspn(bits, "0123456789");
        unsigned long most = is_v4 ? 32 : 128, value = strtoul(bits, NULL, 10);
        if (n_digits == 0 || n_digits > 3 || bits[n_digits] != '\0' || value > most)
            return false;
        network.n_bits = (unsigned)(value + 128 - most);
    }
    networks->list[networks->n++] = network;
    return true;
}

static bool is_in(const struct peer_network *network, const struct in6_addr *address)
{
    unsigned n_whole = network->n_bits / 8, n_rest = network->n_bits % 8;
    const unsigned char *a = network->address.s6_addr, *b = address->s6_addr;
    return memcmp(a, b, n_whole) == 0 &&
           (n_rest == 0 || (a[n_whole] ^ b[n_whole]) >> (8 - n_rest) == 0);
}

bool peer_is_trusted(const struct peer_networks *networks, const struct peer *client)
{
    if (client->local)
        return networks->local;
    for (size_t i = 0; i < networks->n; i++)
        if (is_in(&networks->list[i], &client->address))
            return true;
    return false;
}

void peer_of_socket(struct peer *out, int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_storage largest;
    } peer = {.largest = {0}};
    socklen_t n = sizeof peer;
    *out = (struct peer){.local = true};
    if (getpeername(fd, &peer.any, &n) != 0)
        return;
    out->local = peer.any.sa_family != AF_INET && peer.any.sa_family != AF_INET6;
    if (peer.any.sa_family == AF_INET)
        set_v4(&out->address, &peer.v4.sin_addr);
    else if (!out->local)
        out->address = peer.v6.sin6_addr;
}

void peer_text(const struct peer *client, char out[PEER_TEXT_MAX])
{
    if (client->local)
        memcpy(out, "unix", sizeof "unix");
    else if (IN6_IS_ADDR_V4MAPPED(&client->address))
        inet_ntop(AF_INET, client->address.s6_addr + 12, out, PEER_TEXT_MAX);
    else
        inet_ntop(AF_INET6, &client->address, out, PEER_TEXT_MAX);
}

/* "1.2.3.4", "1.2.3.4:80", "2001:db8::1", "[2001:db8::1]:80", blanks around it. */
static bool parse_hop(const char *text, size_t n, struct peer *out)
{
    char address[PEER_TEXT_MAX];
    bool is_v4;
    while (n > 0 && (*text == ' ' || *text == '\t')) {
        text++;
        n--;
    }
    while (n > 0 && (text[n - 1] == ' ' || text[n - 1] == '\t'))
        n--;
    const char *colon = memchr(text, ':', n), *end = n > 0 ? memchr(text, ']', n) : NULL;
    if (n > 0 && text[0] == '[' && end != NULL) {
        text++;
        n = (size_t)(end - text);
    } else if (colon != NULL && memchr(colon + 1, ':', n - (size_t)(colon + 1 - text)) == NULL) {
        n = (size_t)(colon - text);
    }
    if (n == 0 || n >= sizeof address)
        return false;
    memcpy(address, text, n);
    address[n] = '\0';
    struct peer hop = {.local = false};
    if (!parse_address(address, &hop.address, &is_v4))
        return false;
    *out = hop;
    return true;
}

bool peer_forwarded(struct peer *client, const struct peer_networks *networks, const char *value,
                    size_t n)
{
    while (peer_is_trusted(networks, client)) {
        size_t begin = n;
        while (begin > 0 && value[begin - 1] != ',')
            begin--;
        bool is_blank = strspn(value + begin, " \t") >= n - begin;
        if (!is_blank && !parse_hop(value + begin, n - begin, client))
            return false; /* "unknown", or a name: its writer is the last that is known */
        if (begin == 0)
            return peer_is_trusted(networks, client);
        n = begin - 1;
    }
    return false;
}
