/* access.c - the parts of a request's line in the log that are not plain to see. Loop thread. */
#include "server/http/access.h"

#include "server/http/request.h"
#include "server/log.h"
#include "server/service.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* The last fields of one name, in their order. */
struct last_fields {
    const char *name;
    struct {
        const char *text;
        size_t n;
    } values[8];
    size_t n; /* of all */
};

static enum MHD_Result keep_field(void *cls, enum MHD_ValueKind kind, const char *name,
                                  size_t n_name, const char *value, size_t n_value)
{
    (void)kind;
    struct last_fields *fields = cls;
    if (strlen(fields->name) == n_name && strncasecmp(fields->name, name, n_name) == 0 &&
        value != NULL) {
        size_t i = fields->n++ % (sizeof fields->values / sizeof fields->values[0]);
        fields->values[i].text = value;
        fields->values[i].n = n_value;
    }
    return MHD_YES;
}

/* The address for the log: the peer's, or whom trusted proxies name. */
void access_find_client(struct request *r)
{
    enum {
        LAST = sizeof((struct last_fields *)0)->values / sizeof((struct last_fields *)0)->values[0]
    };
    const struct peer_networks *proxies = &r->service->proxies;
    struct last_fields fields = {.name = "X-Forwarded-For"};
    r->client = r->conn->client;
    if (!peer_is_trusted(proxies, &r->client))
        return;
    MHD_get_connection_values_n(r->mhd, MHD_HEADER_KIND, keep_field, &fields);
    size_t n = fields.n < LAST ? fields.n : LAST;
    for (bool more = n > 0; more; more = more && n > 0) {
        size_t i = --fields.n % LAST;
        more = peer_forwarded(&r->client, proxies, fields.values[i].text, fields.values[i].n);
        n--;
    }
}

/* Without what it quotes: that may be of a prompt. */
static void copy_reason(const char *text, char *out, size_t room)
{
    size_t n = 0;
    char quote = '\0';
    for (char last = ' '; *text != '\0' && n + 5 < room; last = *text++) {
        if (quote != '\0' && *text != quote)
            continue;
        if (quote == '\0' && (*text == '"' || (*text == '\'' && strchr(" (:", last) != NULL))) {
            quote = *text;
            memcpy(out + n, (char[]){quote, '.', '.', '.'}, 4);
            n += 4;
            continue;
        }
        quote = '\0';
        out[n++] = *text;
    }
    out[n] = '\0';
}

/* Probes, scrapes and a balancer's OPTIONS, as long as they get what they ask for or a state. */
static bool is_quiet(const struct request *r)
{
    if (r->route == NULL || strcmp(r->method, "OPTIONS") == 0)
        return r->status == MHD_HTTP_NO_CONTENT;
    return (r->route->flags & ROUTE_QUIET) &&
           (r->status < MHD_HTTP_BAD_REQUEST || r->status == MHD_HTTP_SERVICE_UNAVAILABLE);
}

void access_describe(const struct request *r, struct log_request *line)
{
    line->quiet = is_quiet(r);
    line->trace = r->trace;
    peer_text(&r->client, line->client);
    memcpy(line->path, r->path, sizeof line->path);
    if (r->refused)
        snprintf(line->reason, sizeof line->reason, "%.255s", r->why.text);
    else if (r->status >= MHD_HTTP_BAD_REQUEST)
        copy_reason(r->why.text, line->reason, sizeof line->reason);
}
