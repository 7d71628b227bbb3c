/* headers.c - the checks of header fields. Pure; loop thread. */
#include "server/http/headers.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* The fields that are looked at. Those marked alone decide about a message's borders or about who
 * asks: two of them, and two readers may believe different ones. */
static const struct field {
    const char *name;
    size_t offset;
    bool alone;
} fields[] = {
    {"Host", offsetof(struct headers, host), true},
    {"Content-Length", offsetof(struct headers, length), true},
    {"Transfer-Encoding", offsetof(struct headers, transfer), true},
    {"Origin", offsetof(struct headers, origin), true},
    {"Sec-Fetch-Site", offsetof(struct headers, fetch_site), true},
    {"Sec-Fetch-Mode", offsetof(struct headers, fetch_mode), true},
    {"Authorization", offsetof(struct headers, authorization), true},
    {"X-Api-Key", offsetof(struct headers, api_key), true},
    {"Content-Type", offsetof(struct headers, content_type), true},
    {"Content-Encoding", offsetof(struct headers, content_encoding), true},
    {"Expect", offsetof(struct headers, expect), true},
    {"Accept", offsetof(struct headers, accept), false},
    {"Access-Control-Request-Headers", offsetof(struct headers, asked_headers), false},
    {"Access-Control-Request-Private-Network", offsetof(struct headers, asked_private), false},
    {"X-Request-Id", offsetof(struct headers, request_id), false},
    {"If-None-Match", offsetof(struct headers, if_none_match), false},
    {"traceparent", offsetof(struct headers, traceparent), false},
    {"Last-Event-ID", offsetof(struct headers, last_event_id), true},
};

/* tchar of RFC 9110, section 5.6.2 */
bool headers_is_token(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)text[i]) &&
            (text[i] == '\0' || !strchr("!#$%&'*+-.^_`|~", text[i])))
            return false;
    return n > 0;
}

/* Blanks around a value are not part of it (RFC 9110, section 5.5); the library leaves out those
 * before it alone. */
static const char *without_blanks(struct headers *h, const char *value, size_t n)
{
    size_t n_trimmed = n;
    while (n_trimmed > 0 && strchr(" \t", value[n_trimmed - 1]) != NULL)
        n_trimmed--;
    if (n_trimmed == n)
        return value;
    char *copy = h->trimmed + h->n_trimmed;
    if (n_trimmed >= sizeof h->trimmed - h->n_trimmed) {
        h->padded = true;
        return value;
    }
    memcpy(copy, value, n_trimmed);
    copy[n_trimmed] = '\0';
    h->n_trimmed += n_trimmed + 1;
    return copy;
}

void headers_take(struct headers *h, const char *name, size_t n_name, const char *value,
                  size_t n_value)
{
    if (!headers_is_token(name, n_name))
        h->bad_name = true;
    for (size_t i = 0; i < n_value; i++)
        if ((unsigned char)value[i] == 0x7f || ((unsigned char)value[i] < 0x20 && value[i] != '\t'))
            h->bad_value = true;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        const struct field *f = &fields[i];
        if (strlen(f->name) != n_name || strncasecmp(f->name, name, n_name) != 0)
            continue;
        const char **place = (const char **)(void *)((char *)h + f->offset);
        if (*place == NULL)
            *place = value != NULL ? without_blanks(h, value, n_value) : "";
        else if (f->alone)
            h->twice = f->name;
        else if (place == &h->traceparent)
            *place = "";
    }
}

bool headers_parse_length(const char *text, uint64_t *out)
{
    uint64_t value = 0;
    for (const char *c = text; *c != '\0'; c++) {
        if (*c < '0' || *c > '9' || value > (UINT64_MAX - 9) / 10)
            return false;
        value = value * 10 + (uint64_t)(*c - '0');
    }
    *out = value;
    return *text != '\0';
}

bool headers_check(struct headers *h, const char *version, enum refusal *refusal, const char **why)
{
    bool old = strcmp(version, "HTTP/1.0") == 0;
    *refusal = REFUSAL_BAD_REQUEST;
    if (!old && strcmp(version, "HTTP/1.1") != 0) {
        *refusal = REFUSAL_VERSION;
        *why = "only HTTP/1.1 and HTTP/1.0 are spoken here";
    } else if (h->bad_name) {
        *why = "a header's name must be a token, directly followed by a colon";
    } else if (h->bad_value) {
        *why = "a header's value must not hold control characters";
    } else if (h->padded) {
        *why = "a long header's value must not be followed by blanks";
    } else if (h->twice != NULL) {
        *why = "Host, Content-Length, Transfer-Encoding, Content-Type, Origin, Last-Event-ID and "
               "the headers that carry a key must not be repeated";
    } else if (h->host == NULL && !old) {
        *why = "an HTTP/1.1 request needs a Host header";
    } else if (h->transfer != NULL && h->length != NULL) {
        *why = "Content-Length and Transfer-Encoding must not stand together";
    } else if (h->transfer != NULL && (old || strcasecmp(h->transfer, "chunked") != 0)) {
        *why = "the only Transfer-Encoding is chunked, in HTTP/1.1";
    } else if (h->length != NULL && !headers_parse_length(h->length, &h->n_body)) {
        *why = "Content-Length must be a decimal number";
    } else if (h->expect != NULL && strcasecmp(h->expect, "100-continue") != 0) {
        *refusal = REFUSAL_EXPECTATION;
        *why = "the only Expect is 100-continue";
    } else {
        h->chunked = h->transfer != NULL;
        h->has_body = h->chunked || h->n_body > 0;
        return true;
    }
    return false;
}

struct text_span {
    const char *at;
    size_t n;
};

static bool same_text(struct text_span a, struct text_span b)
{
    return a.n == b.n && strncasecmp(a.at, b.at, a.n) == 0;
}

/* "host:port", "[::1]:port", "host" and "host." in two. False: what follows the host is not a
 * port. */
static bool split_authority(struct text_span text, struct text_span *host, struct text_span *port)
{
    const char *end = text.at + text.n;
    const char *close = text.n > 0 && text.at[0] == '[' ? memchr(text.at, ']', text.n) : NULL;
    const char *stop = close != NULL ? close + 1 : memchr(text.at, ':', text.n);
    stop = stop != NULL ? stop : end;
    *host = (struct text_span){text.at, (size_t)(stop - text.at)};
    if (close == NULL && host->n > 1 && stop[-1] == '.') /* the root's name, left out mostly */
        host->n--;
    *port = (struct text_span){stop, 0};
    if (stop == end)
        return true;
    *port = (struct text_span){stop + 1, (size_t)(end - stop - 1)};
    for (size_t i = 0; i < port->n; i++)
        if (!isdigit((unsigned char)port->at[i]))
            return false;
    return *stop == ':';
}

static struct text_span span(const char *text)
{
    return (struct text_span){text, text != NULL ? strlen(text) : 0};
}

/* Where a request goes: the authority of its target, or else its Host. */
static struct text_span host_of(const struct headers *h)
{
    return h->authority != NULL ? (struct text_span){h->authority, h->n_authority} : span(h->host);
}

/* Whether an origin's host and port are those of the request. A port left out is the scheme's own,
 * on both sides: after a proxy that speaks TLS, Host names no port. */
static bool origin_is_host(const char *origin, struct text_span host)
{
    struct text_span scheme_port = span(strncasecmp(origin, "https://", 8) == 0 ? "443" : "80");
    const char *authority = strstr(origin, "://");
    struct text_span a, a_port, b, b_port;
    if (authority == NULL || host.at == NULL ||
        !split_authority((struct text_span){authority + 3, strcspn(authority + 3, "/")}, &a,
                         &a_port) ||
        !split_authority(host, &b, &b_port))
        return false;
    return same_text(a, b) &&
           same_text(a_port.n > 0 ? a_port : scheme_port, b_port.n > 0 ? b_port : scheme_port);
}

/* 127.0.0.0/8 as four decimal numbers */
static bool is_loopback_v4(const char *host, size_t n)
{
    unsigned n_parts = 0, value = 0, n_digits = 0;
    for (size_t i = 0; i <= n; i++) {
        if (i < n && host[i] >= '0' && host[i] <= '9' && n_digits < 3) {
            value = value * 10 + (unsigned)(host[i] - '0');
            n_digits++;
        } else if ((i == n || host[i] == '.') && n_digits > 0 && value < 256 &&
                   (n_parts > 0 || value == 127)) {
            n_parts++;
            value = n_digits = 0;
        } else {
            return false;
        }
    }
    return n_parts == 4;
}

static bool is_loopback_v6(struct text_span host) /* with its brackets */
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;
    if (host.n < 2 || host.n - 2 >= sizeof text)
        return false;
    memcpy(text, host.at + 1, host.n - 2);
    text[host.n - 2] = '\0';
    return inet_pton(AF_INET6, text, &address) == 1 &&
           (IN6_IS_ADDR_LOOPBACK(&address) ||
            (IN6_IS_ADDR_V4MAPPED(&address) && address.s6_addr[12] == 127));
}

/* Whether name is the host, or "*.name" one above it. */
static bool name_covers(const char *name, struct text_span host)
{
    struct text_span wanted = span(name);
    if (strcmp(name, "*") == 0)
        return true;
    if (wanted.n > 2 && name[0] == '*') {
        wanted = (struct text_span){name + 1, wanted.n - 1};
        if (host.n <= wanted.n)
            return false;
        host = (struct text_span){host.at + host.n - wanted.n, wanted.n};
    }
    if (wanted.n > 1 && wanted.at[wanted.n - 1] == '.')
        wanted.n--;
    return same_text(wanted, host);
}

static bool host_is_ours(struct text_span text, const struct origin_rules *rules)
{
    struct text_span host, port;
    const struct setting_list *names = rules->allow_hosts;
    bool split = split_authority(text, &host, &port);
    for (size_t i = 0; names != NULL && i < names->n; i++)
        if (strcmp(names->items[i], "*") == 0 || (split && name_covers(names->items[i], host)))
            return true;
    if (!split)
        return false;
    return name_covers("localhost", host) || name_covers("*.localhost", host) ||
           (text.at[0] == '[' ? is_loopback_v6(host) : is_loopback_v4(host.at, host.n));
}

const char *headers_target(struct headers *h, const char *target)
{
    if (strncasecmp(target, "http://", 7) != 0 && strncasecmp(target, "https://", 8) != 0)
        return target;
    h->authority = strstr(target, "://") + 3;
    h->n_authority = strcspn(h->authority, "/?");
    const char *path = h->authority + h->n_authority;
    return *path == '/' ? path : "/";
}

bool headers_origin_allowed(const struct headers *h, const struct origin_rules *rules)
{
    const struct setting_list *allowed = rules->allow_origins;
    if (h->origin == NULL || allowed == NULL)
        return false;
    for (size_t i = 0; i < allowed->n; i++)
        if (strcmp(allowed->items[i], "*") == 0 || strcasecmp(allowed->items[i], h->origin) == 0)
            return true;
    return false;
}

const char *headers_foreign(const struct headers *h, const struct origin_rules *rules, bool page)
{
    struct text_span host = host_of(h);
    if (headers_origin_allowed(h, rules))
        return NULL;
    if (h->origin != NULL && !origin_is_host(h->origin, host))
        return "the request comes from a page of another origin; --allow-origin can allow it";
    bool cross = h->fetch_site != NULL && (strcasecmp(h->fetch_site, "cross-site") == 0 ||
                                           strcasecmp(h->fetch_site, "same-site") == 0);
    bool navigates = h->fetch_mode != NULL && strcasecmp(h->fetch_mode, "navigate") == 0;
    if (cross && !(page && navigates))
        return "the request comes from a page of another site; --allow-origin can allow it";
    if (rules->loopback && ((host.at != NULL && !host_is_ours(host, rules)) ||
                            (h->host != NULL && !host_is_ours(span(h->host), rules))))
        return "the service listens on loopback, and the Host header names another machine; "
               "--allow-host can allow the name";
    return NULL;
}

bool headers_asked(const struct headers *h, char out[HEADERS_ASKED_MAX])
{
    char text[HEADERS_ASKED_MAX];
    size_t n = 0;
    for (const char *item = h->asked_headers; item != NULL;) {
        item += strspn(item, " \t");
        size_t n_item = strcspn(item, ", \t");
        const char *next = item + n_item + strspn(item + n_item, " \t");
        if (!headers_is_token(item, n_item) || (*next != ',' && *next != '\0') ||
            n + n_item + 3 > sizeof text)
            return false;
        n += (size_t)sprintf(text + n, "%s%.*s", n > 0 ? ", " : "", (int)n_item, item);
        item = *next == ',' ? next + 1 : NULL;
    }
    if (n > 0)
        memcpy(out, text, n + 1);
    return n > 0;
}

const char *headers_key(const struct headers *h)
{
    if (h->api_key != NULL)
        return h->api_key;
    if (h->authorization == NULL || strncasecmp(h->authorization, "Bearer ", 7) != 0)
        return NULL;
    const char *key = h->authorization + 7;
    return key + strspn(key, " ");
}

bool headers_has_etag(const char *list, const char *etag)
{
    size_t n_etag = strlen(etag);
    for (const char *item = list; item != NULL && *item != '\0';) {
        item += strspn(item, ", \t");
        if (*item == '*')
            return true;
        if (strncmp(item, "W/", 2) == 0) /* the server or a proxy may have weakened ours */
            item += 2;
        const char *close = *item == '"' ? strchr(item + 1, '"') : NULL;
        if (close == NULL)
            return false;
        if ((size_t)(close + 1 - item) == n_etag && memcmp(item, etag, n_etag) == 0)
            return true;
        item = close + 1;
    }
    return false;
}

bool headers_plain_text(const struct headers *h)
{
    if (h->content_type == NULL || strncasecmp(h->content_type, "text/plain", 10) != 0)
        return false;
    return strchr("; \t", h->content_type[10]) !=
           NULL; /* the end of the string counts among them */
}

bool request_id_valid(const char *id)
{
    size_t n = strlen(id);
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)id[i]) && !strchr("._-", id[i]))
            return false;
    return n >= 1 && n <= REQUEST_ID_MAX;
}
