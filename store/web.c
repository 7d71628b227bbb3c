/* web.c - the GET: its rules about URLs, its redirects, its limits. State: struct web, one
 * thread's.
 */
#include "store/web.h"

#include "base/utf8.h"
#include "net/net.h"
#include "store/origin.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

enum {
    MAX_REDIRECTS = 8,
    MAX_HEAD_BYTES = 256 << 10, /* of one answer's headers */
    MAX_REDIRECT_BODY = 1 << 20,
    LEAST_BYTES_PER_SECOND = 64, /* over stall_seconds: less is a stall */
    CONNECT_SECONDS = 20,
};

struct web {
    struct web_options options;
    CURL *curl; /* owned */

    /* of the GET under way */
    const struct web_reader *reader;
    struct web_answer *answer;
    struct error *err;
    enum status status; /* why a callback ended the transfer */
    size_t n_head, n_skipped;
    bool in_head, loopback_only;
    char location[WEB_URL_MAX];
};

enum status web_create(struct web **out, const struct web_options *options, struct error *err)
{
    struct web *web = calloc(1, sizeof *web);
    if (web != NULL)
        web->curl = net_handle_create();
    if (web == NULL || web->curl == NULL) {
        free(web);
        return error_no_memory(err, sizeof *web, "a connection");
    }
    web->options = *options;
    *out = web;
    return STATUS_OK;
}

void web_destroy(struct web *web)
{
    if (web == NULL)
        return;
    curl_easy_cleanup(web->curl);
    free(web);
}

int web_shown_length(const char *url)
{
    return (int)strcspn(url, "?#");
}

enum status web_check_url(const char *url, struct error *err)
{
    struct web_origin origin;
    return origin_parse(&origin, url, err);
}

/* --- the head --- */

static bool is_redirect(long code)
{
    return code == 301 || code == 302 || code == 303 || code == 307 || code == 308;
}

static void begin_head(struct web *web)
{
    struct web_answer *a = web->answer;
    struct web_answer fresh = {.n_bytes = WEB_NO_SIZE,
                               .range_start = WEB_NO_SIZE,
                               .range_total = WEB_NO_SIZE,
                               .linked_bytes = a->linked_bytes};
    memcpy(fresh.linked_etag, a->linked_etag, sizeof fresh.linked_etag);
    *a = fresh;
    web->location[0] = '\0';
    web->in_head = true;
}

/* All digits, and not too many: a number of bytes. */
static int64_t number_of(const char *text)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    bool right =
        text[0] >= '0' && text[0] <= '9' && errno == 0 && strspn(end, " \t") == strlen(end);
    return right ? value : WEB_NO_SIZE;
}

/* bytes 5-9/10, or bytes * /10 */
static void take_range(struct web_answer *a, const char *value)
{
    const char *slash = strchr(value, '/');
    if (strncasecmp(value, "bytes ", 6) != 0 || slash == NULL)
        return;
    char start[24];
    size_t n = strcspn(value + 6, "-/");
    snprintf(start, sizeof start, "%.*s", (int)(n < 23 ? n : 23), value + 6);
    a->range_start = number_of(start);
    a->range_total = number_of(slash + 1);
}

static void take_next(struct web_answer *a, const char *value)
{
    const char *open = strchr(value, '<'), *close = open != NULL ? strchr(open, '>') : NULL;
    if (close != NULL && strstr(close, "rel=\"next\"") != NULL &&
        (size_t)(close - open) < sizeof a->next)
        snprintf(a->next, sizeof a->next, "%.*s", (int)(close - open - 1), open + 1);
}

static void keep(char *out, size_t room, const char *value)
{
    size_t n = strlen(value);
    if (n < room)
        memcpy(out, value, n + 1);
}

/* False: the head contradicts itself. */
static bool take_header(struct web *web, const char *name, const char *value)
{
    struct web_answer *a = web->answer;
    if (strcasecmp(name, "content-length") == 0) {
        int64_t n = number_of(value);
        if (n < 0 || (a->n_bytes != WEB_NO_SIZE && a->n_bytes != n))
            return false;
        a->n_bytes = n;
    } else if (strcasecmp(name, "content-range") == 0) {
        take_range(a, value);
    } else if (strcasecmp(name, "etag") == 0) {
        keep(a->etag, sizeof a->etag, value);
    } else if (strcasecmp(name, "last-modified") == 0) {
        keep(a->last_modified, sizeof a->last_modified, value);
    } else if (strcasecmp(name, "x-linked-etag") == 0) {
        keep(a->linked_etag, sizeof a->linked_etag, value);
    } else if (strcasecmp(name, "x-linked-size") == 0) {
        a->linked_bytes = number_of(value);
    } else if (strcasecmp(name, "x-error-message") == 0) {
        utf8_printable(a->message, sizeof a->message, value, strlen(value));
    } else if (strcasecmp(name, "link") == 0) {
        take_next(a, value);
    } else if (strcasecmp(name, "location") == 0) {
        keep(web->location, sizeof web->location, value);
    } else if (strcasecmp(name, "retry-after") == 0) {
        int64_t n = number_of(value);
        a->retry_after = n > 0 && n < 86400 ? (unsigned)n : 0;
    } else if (strcasecmp(name, "content-encoding") == 0) {
        a->encoded = strcasecmp(value, "identity") != 0;
    }
    return true;
}

/* Ends the transfer from inside: curl sees a callback that took nothing. */
static size_t stop(struct web *web, enum status status)
{
    web->status = status;
    return 0;
}

static size_t end_head(struct web *web, size_t n)
{
    struct web_answer *a = web->answer;
    web->in_head = false;
    if (is_redirect(a->code) || web->reader == NULL)
        return n;
    enum status status = web->reader->head(web->reader->ctx, a, web->err);
    return status == STATUS_OK ? n : stop(web, status);
}

static size_t on_header(char *bytes, size_t size, size_t n, void *arg)
{
    struct web *web = arg;
    char line[WEB_URL_MAX];
    n *= size;
    web->n_head += n;
    if (web->n_head > MAX_HEAD_BYTES)
        return stop(web, error_set(web->err, STATUS_IO, "the server's headers do not end"));
    if (n >= 5 && memcmp(bytes, "HTTP/", 5) == 0) {
        begin_head(web);
        curl_easy_getinfo(web->curl, CURLINFO_RESPONSE_CODE, &web->answer->code);
        return n;
    }
    size_t n_line = n;
    while (n_line > 0 && strchr("\r\n \t", bytes[n_line - 1]) != NULL)
        n_line--;
    if (!web->in_head) /* trailers of a body in chunks */
        return n;
    if (n_line == 0) {
        curl_easy_getinfo(web->curl, CURLINFO_RESPONSE_CODE, &web->answer->code);
        return web->answer->code < 200 ? n : end_head(web, n);
    }
    if (n_line >= sizeof line)
        return n; /* none that is looked at is so long */
    memcpy(line, bytes, n_line);
    line[n_line] = '\0';
    char *colon = strchr(line, ':');
    if (colon == NULL)
        return n;
    *colon = '\0';
    char *value = colon + 1 + strspn(colon + 1, " \t");
    if (!take_header(web, line, value))
        return stop(web,
                    error_set(web->err, STATUS_IO,
                              "the server states the answer's length in two ways, or wrongly"));
    return n;
}

/* --- the body, and the rest of the way --- */

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
    struct web *web = arg;
    n *= size;
    if (is_redirect(web->answer->code) || web->reader == NULL) {
        web->n_skipped += n;
        return web->n_skipped <= MAX_REDIRECT_BODY
                   ? n
                   : stop(web, error_set(web->err, STATUS_IO, "a redirect's body does not end"));
    }
    enum status status = web->reader->body(web->reader->ctx, bytes, n, web->err);
    return status == STATUS_OK ? n : stop(web, status);
}

static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    struct web *web = arg;
    (void)a, (void)b, (void)c, (void)d;
    if (web->options.cancel == NULL || !atomic_load(web->options.cancel))
        return 0;
    web->status = error_set(web->err, STATUS_CANCELLED, "stopped");
    return 1;
}

/* A name that only looks like this machine's must not lead elsewhere without encryption. */
static curl_socket_t on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct web *web = arg;
    (void)purpose;
    if (web->loopback_only && !origin_is_loopback(&address->addr)) {
        web->status = error_set(web->err, STATUS_INVALID,
                                "http:// is for this machine alone, and the host is another one");
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static void set_options(struct web *web, const char *url, const struct web_origin *origin,
                        struct curl_slist *headers)
{
    CURL *curl = web->curl;
    net_handle_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, (long)LEAST_BYTES_PER_SECOND);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)web->options.stall_seconds);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, web);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, web);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, web);
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, on_socket);
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, web);
    web->loopback_only = !origin->tls;
    if (!origin->tls)
        curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
}

static struct curl_slist *add_header(struct curl_slist *list, const char *line, bool *failed)
{
    struct curl_slist *longer = curl_slist_append(list, line);
    *failed = *failed || longer == NULL;
    return longer != NULL ? longer : list;
}

static struct curl_slist *make_headers(const struct web *web, const struct web_origin *origin,
                                       const char *const *headers, bool *failed)
{
    struct curl_slist *list = add_header(NULL, "Accept-Encoding: identity", failed);
    struct web_origin home;
    for (; headers != NULL && *headers != NULL; headers++)
        list = add_header(list, *headers, failed);
    if (web->options.token_url == NULL || web->options.token[0] == '\0' ||
        origin_parse(&home, web->options.token_url, NULL) != STATUS_OK ||
        !origin_equals(&home, origin))
        return list;
    char line[1024];
    if ((size_t)snprintf(line, sizeof line, "Authorization: Bearer %s", web->options.token) <
        sizeof line)
        list = add_header(list, line, failed);
    return list;
}

/* One request and its answer, whichever it is. */
static enum status perform(struct web *web, const char *url, const struct web_origin *origin,
                           const char *const *headers)
{
    bool failed = false;
    char why[CURL_ERROR_SIZE] = "";
    struct curl_slist *list = make_headers(web, origin, headers, &failed);
    if (failed) {
        curl_slist_free_all(list);
        return error_no_memory(web->err, WEB_URL_MAX, "a request");
    }
    set_options(web, url, origin, list);
    curl_easy_setopt(web->curl, CURLOPT_ERRORBUFFER, why);
    web->status = STATUS_OK;
    web->n_head = web->n_skipped = 0;
    web->in_head = false;
    CURLcode code = curl_easy_perform(web->curl);
    curl_slist_free_all(list);
    if (web->status != STATUS_OK)
        return web->status;
    if (code == CURLE_OK)
        return STATUS_OK;
    web->answer->retry = code != CURLE_PEER_FAILED_VERIFICATION &&
                         code != CURLE_SSL_CACERT_BADFILE && code != CURLE_URL_MALFORMAT &&
                         code != CURLE_UNSUPPORTED_PROTOCOL;
    return error_set(web->err, STATUS_IO, "%.*s: %s", web_shown_length(url), url,
                     why[0] != '\0' ? why : curl_easy_strerror(code));
}

/* Where a redirect leads, made absolute and judged. */
static enum status follow(struct web *web, char url[WEB_URL_MAX], struct web_origin *origin)
{
    char *target = NULL;
    struct web_origin next;
    curl_easy_getinfo(web->curl, CURLINFO_REDIRECT_URL, &target);
    if (web->location[0] == '\0' || target == NULL || strlen(target) >= WEB_URL_MAX)
        return error_set(web->err, STATUS_IO, "%.*s: a redirect (%ld) without a Location",
                         web_shown_length(url), url, web->answer->code);
    struct error cause;
    if (origin_parse(&next, target, &cause) != STATUS_OK)
        return error_set(web->err, STATUS_IO, "%.*s: its redirect is refused: %s",
                         web_shown_length(url), url, cause.text);
    if (!next.tls && !origin->is_loopback)
        return error_set(web->err, STATUS_IO,
                         "%.*s: its redirect is refused: it leads back to this machine",
                         web_shown_length(url), url);
    memmove(url, target, strlen(target) + 1);
    *origin = next;
    return STATUS_OK;
}

enum status web_get(struct web *web, const char *url, const char *const *headers,
                    const struct web_reader *reader, struct web_answer *answer, struct error *err)
{
    char at[WEB_URL_MAX];
    struct web_origin origin;
    enum status status = origin_parse(&origin, url, err);
    *answer = (struct web_answer){.n_bytes = WEB_NO_SIZE, .linked_bytes = WEB_NO_SIZE};
    if (status != STATUS_OK)
        return status;
    if (strlen(url) >= sizeof at)
        return error_set(err, STATUS_INVALID, "the URL is longer than %d bytes", WEB_URL_MAX);
    memcpy(at, url, strlen(url) + 1);
    web->reader = reader;
    web->answer = answer;
    web->err = err;
    for (int n = 0;; n++) {
        if ((status = perform(web, at, &origin, headers)) != STATUS_OK)
            return status;
        if (!is_redirect(answer->code))
            return STATUS_OK;
        if (n == MAX_REDIRECTS)
            return error_set(err, STATUS_IO, "%.*s: more than %d redirects", web_shown_length(url),
                             url, MAX_REDIRECTS);
        if ((status = follow(web, at, &origin)) != STATUS_OK)
            return status;
    }
}

enum status web_refusal(const struct web *web, const struct web_answer *answer, const char *url,
                        struct error *err)
{
    const char *why = "this is not an answer to such a request";
    bool hub = web->options.token_url != NULL, has_token = hub && web->options.token[0] != '\0';
    if (answer->code == 401 && hub)
        why = has_token ? "the token in HF_TOKEN is not taken"
                        : "there is no such file, or it needs a token in HF_TOKEN";
    else if (answer->code == 403 && has_token)
        why =
            "the token in HF_TOKEN may not read it; some models' terms are accepted on their page";
    else if (answer->code == 401 || answer->code == 403)
        why = "it may not be read by everyone";
    else if (answer->code == 404 || answer->code == 410)
        why = "there is no such file";
    else if (answer->code == 429)
        why = "there were too many requests";
    else if (answer->code >= 500)
        why = "the server has failed";
    return error_set(err, STATUS_IO, "%.*s: the server answers %ld: %s%s%s%s",
                     web_shown_length(url), url, answer->code, why,
                     answer->message[0] != '\0' ? " (" : "", answer->message,
                     answer->message[0] != '\0' ? ")" : "");
}

/* --- whole answers --- */

struct whole_text {
    char *bytes; /* owned */
    size_t n, room, max;
};

static enum status text_head(void *ctx, const struct web_answer *answer, struct error *err)
{
    const struct whole_text *text = ctx;
    if (answer->n_bytes > (int64_t)text->max)
        return error_set(err, STATUS_IO, "the answer has %lld bytes; at most %zu are read",
                         (long long)answer->n_bytes, text->max);
    return STATUS_OK;
}

static enum status text_body(void *ctx, const char *bytes, size_t n, struct error *err)
{
    struct whole_text *text = ctx;
    if (n > text->max - text->n)
        return error_set(err, STATUS_IO, "the answer does not end within %zu bytes", text->max);
    if (text->n + n + 1 > text->room) {
        size_t room = 2 * (text->n + n + 1);
        char *more = realloc(text->bytes, room);
        if (more == NULL)
            return error_no_memory(err, room, "an answer");
        text->bytes = more;
        text->room = room;
    }
    memcpy(text->bytes + text->n, bytes, n);
    text->n += n;
    text->bytes[text->n] = '\0';
    return STATUS_OK;
}

enum status web_get_text(struct web *web, const char *url, const char *const *headers, size_t max,
                         char **out, size_t *n, struct web_answer *answer, struct error *err)
{
    struct whole_text text = {.max = max};
    const struct web_reader reader = {text_head, text_body, &text};
    enum status status = web_get(web, url, headers, &reader, answer, err);
    if (status == STATUS_OK && answer->code != 200)
        status = web_refusal(web, answer, url, err);
    if (status == STATUS_OK && text.bytes == NULL)
        status = error_set(err, STATUS_IO, "%.*s: the answer is empty", web_shown_length(url), url);
    if (status == STATUS_OK) {
        *out = text.bytes;
        *n = text.n;
    } else {
        free(text.bytes);
    }
    return status;
}
