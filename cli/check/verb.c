/* verb.c - `check`: whether a service takes work, for probes of containers and scripts. Main
 * thread. Knows only the address and /readyz. */
#include "cli/verbs.h"

#include "store/probe.h"

#include <stdio.h>
#include <string.h>

enum { URL_MAX = 512 };

struct checked { /* what is asked */
    char url[URL_MAX];
    const char *unix_path; /* NULL: none */
};

/* Where a service with these settings can be reached from this machine. */
static const char *local_host(const char *host)
{
    if (strcmp(host, "0.0.0.0") == 0)
        return "127.0.0.1";
    return strcmp(host, "::") == 0 || strcmp(host, "[::]") == 0 ? "::1" : host;
}

static enum status place_of_settings(struct checked *out, const struct settings *s,
                                     struct error *err)
{
    const char *host = s->hosts.n > 0 ? local_host(s->hosts.items[0]) : "127.0.0.1";
    bool brackets = strchr(host, ':') != NULL && host[0] != '[';
    if (s->unix_alone) {
        out->unix_path = s->unix_path;
        snprintf(out->url, sizeof out->url, "http://localhost/readyz");
        return STATUS_OK;
    }
    if (s->port == 0)
        return error_set_param(err, STATUS_INVALID, "--port",
                               "--port 0: which port the service has taken is not known; give its "
                               "URL");
    snprintf(out->url, sizeof out->url, "http://%s%.256s%s:%u/readyz", brackets ? "[" : "", host,
             brackets ? "]" : "", s->port);
    return STATUS_OK;
}

/* A URL without a path is asked for /readyz. */
static enum status place_of_url(struct checked *out, const char *url, struct error *err)
{
    static const char local[] = "unix:";
    if (strncmp(url, local, sizeof local - 1) == 0) {
        out->unix_path = url + sizeof local - 1;
        url = "http://localhost";
    }
    const char *rest = strstr(url, "://");
    rest = rest != NULL ? rest + 3 : url;
    const char *path = strchr(rest, '/');
    bool bare = path == NULL || path[1] == '\0';
    int n = (int)(bare && path != NULL ? path - url : (long)strlen(url));
    if ((size_t)n >= sizeof out->url - sizeof "/readyz")
        return error_set_param(err, STATUS_INVALID, "URL", "URL: longer than %zu bytes",
                               sizeof out->url - sizeof "/readyz");
    snprintf(out->url, sizeof out->url, "%.*s%s", n, url, bare ? "/readyz" : "");
    return STATUS_OK;
}

int verb_check(const struct settings *settings)
{
    struct checked place = {.unix_path = NULL};
    struct probe_answer answer;
    struct error err = {0};
    enum status status = settings->argument != NULL ? place_of_url(&place, settings->argument, &err)
                                                    : place_of_settings(&place, settings, &err);
    if (status == STATUS_OK)
        status = probe_get(&answer, place.url, place.unix_path, &err);
    if (status == STATUS_OK && answer.code != 200)
        status = error_set(&err, STATUS_IO, "%.256s: %ld %s",
                           place.unix_path != NULL ? place.unix_path : place.url, answer.code,
                           answer.line);
    if (status != STATUS_OK)
        return verb_fail(&err);
    puts(answer.line);
    return EXIT_DONE;
}
