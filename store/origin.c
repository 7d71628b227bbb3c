/* origin.c - takes URLs apart as libcurl itself does, so that both see the same host. No state. */
#include "store/origin.h"

#include "net/net.h"

#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

bool origin_is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof in);
        return ntohl(in.sin_addr.s_addr) >> 24 == 127;
    }
    if (address->sa_family != AF_INET6)
        return false;
    struct sockaddr_in6 in6;
    memcpy(&in6, address, sizeof in6);
    const uint8_t *b = in6.sin6_addr.s6_addr;
    return IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr) ||
           (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr) && b[12] == 127);
}

static bool take_part(CURLU *url, CURLUPart part, unsigned flags, char *out, size_t room)
{
    char *text = NULL;
    if (curl_url_get(url, part, &text, flags) != CURLUE_OK)
        return false;
    size_t n = strlen(text);
    bool fits = n < room;
    for (size_t i = 0; fits && i <= n; i++)
        out[i] = (char)tolower((unsigned char)text[i]);
    curl_free(text);
    return fits;
}

static enum status judge(struct web_origin *out, CURLU *parts, const char *url, struct error *err)
{
    char scheme[16], port[16], user[8];
    struct web_origin o = {0};
    int n = (int)strcspn(url, "?#");
    if (!take_part(parts, CURLUPART_SCHEME, 0, scheme, sizeof scheme) ||
        !take_part(parts, CURLUPART_HOST, 0, o.host, sizeof o.host) ||
        !take_part(parts, CURLUPART_PORT, CURLU_DEFAULT_PORT, port, sizeof port))
        return error_set(err, STATUS_INVALID, "%.*s: not a URL with a host", n, url);
    char *name = NULL;
    if (curl_url_get(parts, CURLUPART_USER, &name, 0) == CURLUE_OK ||
        take_part(parts, CURLUPART_PASSWORD, 0, user, sizeof user)) {
        curl_free(name);
        return error_set(err, STATUS_INVALID, "a URL must not carry a user's name or password");
    }
    o.port = (unsigned)strtoul(port, NULL, 10);
    o.tls = strcmp(scheme, "https") == 0;
    o.is_loopback = net_names_loopback(o.host);
    if (!o.tls && strcmp(scheme, "http") != 0)
        return error_set(err, STATUS_INVALID, "%.*s: only https:// is asked", n, url);
    if (!o.tls && !o.is_loopback)
        return error_set(err, STATUS_INVALID,
                         "%.*s: http:// is for this machine alone; other hosts are asked by "
                         "https://",
                         n, url);
    *out = o;
    return STATUS_OK;
}

enum status origin_parse(struct web_origin *out, const char *url, struct error *err)
{
    CURLU *parts = curl_url();
    if (parts == NULL)
        return error_no_memory(err, sizeof *out, "a URL");
    enum status status =
        curl_url_set(parts, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK
            ? judge(out, parts, url, err)
            : error_set(err, STATUS_INVALID, "%.*s: not a URL with a host", (int)strcspn(url, "?#"),
                        url);
    curl_url_cleanup(parts);
    return status;
}

bool origin_equals(const struct web_origin *a, const struct web_origin *b)
{
    return a->tls == b->tls && a->port == b->port && strcmp(a->host, b->host) == 0;
}
