/* headers.c - the checks of header fields. Pure; loop thread. */
#include "server/http/headers.h"

#include <ctype.h>
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
    {"X-Request-Id", offsetof(struct headers, request_id), false},
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
            *place = value != NULL ? value : "";
        else if (f->alone)
            h->twice = f->name;
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
    } else if (h->twice != NULL) {
        *why = "Host, Content-Length, Transfer-Encoding, Content-Type, Origin and the headers that "
               "carry a key must not "
               "be repeated";
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

/* Splits "host:port", "[::1]:port", "host": the host's length and where the port's digits begin
 * (NULL: none). */
static size_t split_authority(const char *text, size_t n, const char **host, const char **port)
{
    const char *end = text + n, *close = n > 0 && text[0] == '[' ? memchr(text, ']', n) : NULL;
    if (close != NULL && close + 1 < end && close[1] != ':')
        close = NULL; /* no address: the bracket is then part of a strange name */
    const char *colon = close != NULL ? (close + 1 < end && close[1] == ':' ? close + 1 : NULL)
                                      : memchr(text, ':', n);
    *port = colon != NULL ? colon + 1 : NULL;
    *host = close != NULL ? text + 1 : text;
    return (size_t)((close != NULL ? close : colon != NULL ? colon : end) - *host);
}

static bool same_port(const char *a, size_t n_a, const char *b, size_t n_b)
{
    return n_a == n_b && strncmp(a, b, n_a) == 0;
}

/* Whether an origin's host and port are those of the Host field. A port left out is the scheme's
 * own, on both sides: behind a proxy that speaks TLS, Host names no port. */
static bool origin_is_host(const char *origin, const char *host)
{
    const char *scheme_port = strncasecmp(origin, "https://", 8) == 0 ? "443" : "80";
    const char *authority = strstr(origin, "://");
    if (authority == NULL || host == NULL)
        return false;
    authority += 3;
    const char *a, *a_port, *b, *b_port;
    size_t n_authority = strcspn(authority, "/"), n_host = strlen(host);
    size_t n_a = split_authority(authority, n_authority, &a, &a_port);
    size_t n_b = split_authority(host, n_host, &b, &b_port);
    size_t n_a_port =
        a_port != NULL ? (size_t)(authority + n_authority - a_port) : strlen(scheme_port);
    size_t n_b_port = b_port != NULL ? (size_t)(host + n_host - b_port) : strlen(scheme_port);
    return n_a == n_b && strncasecmp(a, b, n_a) == 0 &&
           same_port(a_port != NULL ? a_port : scheme_port, n_a_port,
                     b_port != NULL ? b_port : scheme_port, n_b_port);
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

static bool host_is_loopback(const char *text)
{
    const char *host, *port;
    size_t n = split_authority(text, strlen(text), &host, &port);
    static const char local[] = "localhost";
    size_t n_local = sizeof local - 1;
    if (text[0] == '[')
        return n == 3 && strncmp(host, "::1", 3) == 0;
    if (n == n_local && strncasecmp(host, local, n_local) == 0)
        return true;
    if (n > n_local + 1 && host[n - n_local - 1] == '.' &&
        strncasecmp(host + n - n_local, local, n_local) == 0)
        return true;
    return is_loopback_v4(host, n);
}

bool headers_origin_allowed(const struct headers *h, const struct origin_rules *rules)
{
    if (h->origin == NULL || rules->allow_origins == NULL)
        return false;
    size_t n_origin = strlen(h->origin);
    for (const char *item = rules->allow_origins; *item != '\0';) {
        size_t n = strcspn(item, ", ");
        if ((n == 1 && *item == '*') || (n == n_origin && strncasecmp(item, h->origin, n) == 0))
            return true;
        item += n + strspn(item + n, ", ");
    }
    return false;
}

const char *headers_foreign(const struct headers *h, const struct origin_rules *rules, bool page)
{
    if (headers_origin_allowed(h, rules))
        return NULL;
    if (h->origin != NULL && !origin_is_host(h->origin, h->host))
        return "the request comes from a page of another origin; --allow-origin can allow it";
    bool cross = h->fetch_site != NULL && (strcasecmp(h->fetch_site, "cross-site") == 0 ||
                                           strcasecmp(h->fetch_site, "same-site") == 0);
    bool navigates = h->fetch_mode != NULL && strcasecmp(h->fetch_mode, "navigate") == 0;
    if (cross && !(page && navigates))
        return "the request comes from a page of another site; --allow-origin can allow it";
    if (rules->loopback && h->host != NULL && !host_is_loopback(h->host))
        return "the service listens on loopback, and Host names something else than localhost";
    return NULL;
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
