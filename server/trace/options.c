/* options.c - OpenTelemetry's variables are read as its specification says: signal's before general
 * ones, an empty one as absent, lists with percent signs. Main thread. */
#include "server/trace/options.h"

#include "net/net.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <unistd.h>

static const char path_of_traces[] = "/v1/traces";

/* The first variable that is set. *name: its name. NULL: none is. */
static const char *first_of(trace_lookup_fn *lookup, const char *const names[2], const char **name)
{
    for (size_t i = 0; i < 2; i++) {
        const char *text = lookup(names[i]);
        *name = names[i];
        if (text != NULL && text[0] != '\0')
            return text;
    }
    return NULL;
}

/* --- the URL --- */

/* Where the path of all signals is given, the one of traces is put after it. */
static CURLUcode add_path(CURLU *url)
{
    char *path = NULL, longer[1024];
    CURLUcode code = curl_url_get(url, CURLUPART_PATH, &path, 0);
    if (code != CURLUE_OK)
        return code;
    size_t n = strlen(path), n_end = sizeof path_of_traces - 1;
    bool there = n >= n_end && strcmp(path + n - n_end, path_of_traces) == 0;
    while (n > 0 && path[n - 1] == '/')
        n--;
    if (!there && n + n_end < sizeof longer) {
        snprintf(longer, sizeof longer, "%.*s%s", (int)n, path, path_of_traces);
        code = curl_url_set(url, CURLUPART_PATH, longer, 0);
    } else if (!there) {
        code = CURLUE_BAD_PATH;
    }
    curl_free(path);
    return code;
}

static bool has_part(CURLU *url, CURLUPart part)
{
    char *text = NULL;
    bool has = curl_url_get(url, part, &text, 0) == CURLUE_OK;
    curl_free(text);
    return has;
}

static enum status read_url(struct trace_options *out, const char *text, const char *name,
                            bool is_base, struct error *err)
{
    CURLU *url = curl_url();
    if (url == NULL)
        return error_no_memory(err, strlen(text), "a URL");
    bool good = (strncasecmp(text, "http://", 7) == 0 || strncasecmp(text, "https://", 8) == 0) &&
                curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK;
    good = good && !has_part(url, CURLUPART_USER) && !has_part(url, CURLUPART_PASSWORD) &&
           !has_part(url, CURLUPART_FRAGMENT);
    good = good && (!is_base || (!has_part(url, CURLUPART_QUERY) && add_path(url) == CURLUE_OK));
    char *whole = NULL;
    good = good && curl_url_get(url, CURLUPART_URL, &whole, 0) == CURLUE_OK;
    out->url = good ? strdup(whole) : NULL;
    curl_free(whole);
    char *host = NULL;
    out->is_local =
        curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK && net_names_loopback(host);
    curl_free(host);
    curl_url_cleanup(url);
    if (!good) /* without the text: a key may have been put there */
        return error_set_param(err, STATUS_INVALID, name,
                               "%s must be a URL such as http://localhost:4318, without a user's "
                               "name%s; keys go into headers",
                               name, is_base ? ", query or fragment" : " or fragment");
    return out->url != NULL ? STATUS_OK : error_no_memory(err, strlen(text), "a URL");
}

/* --- lists: NAME=VALUE,NAME=VALUE --- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* A percent sign that two digits do not follow stands for itself. */
static void decode(char *text)
{
    char *out = text;
    for (; *text != '\0'; text++) {
        int high = *text == '%' ? hex_digit(text[1]) : -1;
        int low = high >= 0 ? hex_digit(text[2]) : -1;
        if (low >= 0)
            text += 2;
        *out++ = low >= 0 ? (char)(16 * high + low) : *text;
    }
    *out = '\0';
}

static char *trim(char *text)
{
    text += strspn(text, " \t");
    size_t n = strlen(text);
    while (n > 0 && strchr(" \t", text[n - 1]) != NULL)
        n--;
    text[n] = '\0';
    return text;
}

/* Takes one pair, both parts not to be kept. False: it is wrong. */
typedef bool take_pair_fn(struct trace_options *out, const char *name, const char *value);

static enum status read_list(struct trace_options *out, const char *text, const char *setting,
                             take_pair_fn *take, struct error *err)
{
    char *copy = strdup(text), *rest = copy;
    bool good = true;
    if (copy == NULL)
        return error_no_memory(err, strlen(text), "a list");
    for (char *pair; good && (pair = strsep(&rest, ",")) != NULL;) {
        char *equals = strchr(pair, '=');
        if (*trim(pair) == '\0') /* as in "a=b," */
            continue;
        good = equals != NULL;
        if (!good)
            break;
        *equals = '\0';
        char *name = trim(pair), *value = trim(equals + 1);
        decode(name);
        decode(value);
        good = take(out, name, value);
    }
    explicit_bzero(copy, strlen(text));
    free(copy);
    return good ? STATUS_OK
                : error_set_param(err, STATUS_INVALID, setting,
                                  "%s must be NAME=VALUE pairs with commas between them, at most "
                                  "%d; in values a comma is %%2C",
                                  setting, TRACE_LIST_MAX);
}

/* Those that say what the body is are set elsewhere. */
static bool is_header_name(const char *name)
{
    static const char *const ours[] = {"content-type",      "content-length", "host",
                                       "transfer-encoding", "connection",     "expect"};
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (strcasecmp(name, ours[i]) == 0)
            return false;
    size_t n = strlen(name);
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)name[i]) && strchr("!#$%&'*+-.^_`|~", name[i]) == NULL)
            return false;
    return n > 0;
}

static bool take_header(struct trace_options *out, const char *name, const char *value)
{
    char *line = NULL;
    for (const char *c = value; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return false;
    /* libcurl takes a name with a semicolon for one without a value. */
    if (!is_header_name(name) || out->n_headers == TRACE_LIST_MAX ||
        asprintf(&line, value[0] != '\0' ? "%s: %s" : "%s;", name, value) < 0)
        return false;
    out->headers[out->n_headers++] = line;
    return true;
}

static struct trace_attribute *find_attribute(struct trace_options *out, const char *name)
{
    for (size_t i = 0; i < out->n_resource; i++)
        if (strcmp(out->resource[i].name, name) == 0)
            return &out->resource[i];
    return NULL;
}

/* Adds it, or gives it another value. */
static bool set_attribute(struct trace_options *out, const char *name, const char *value)
{
    struct trace_attribute *there = find_attribute(out, name);
    char *copy = strdup(value);
    if (there != NULL && copy != NULL) {
        free(there->value);
        there->value = copy;
        return true;
    }
    char *name_copy = strdup(name);
    if (copy == NULL || name_copy == NULL) {
        free(copy);
        free(name_copy);
        return false;
    }
    struct trace_attribute *added = &out->resource[out->n_resource++];
    added->name = name_copy;
    added->value = copy;
    return true;
}

static bool take_attribute(struct trace_options *out, const char *name, const char *value)
{
    return name[0] != '\0' && out->n_resource < TRACE_LIST_MAX && set_attribute(out, name, value);
}

/* --- what the process says of itself --- */

static void draw_uuid(char out[37])
{
    unsigned char b[16] = {0};
    if (getrandom(b, sizeof b, 0) < 0)
        memset(b, 0, sizeof b);
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    snprintf(out, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
             b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
             b[14], b[15]);
}

static bool complete_resource(struct trace_options *out, trace_lookup_fn *lookup)
{
    char uuid[37], host[256] = "";
    const char *name = lookup("OTEL_SERVICE_NAME");
    bool good = true;
    if (name != NULL && name[0] != '\0')
        good = set_attribute(out, "service.name", name);
    else if (find_attribute(out, "service.name") == NULL)
        good = set_attribute(out, "service.name", "smallmind");
    draw_uuid(uuid);
    if (gethostname(host, sizeof host) != 0)
        host[0] = '\0';
    host[sizeof host - 1] = '\0';
    const char *const own[][2] = {
        {"service.version", SMALLMIND_VERSION}, {"service.instance.id", uuid}, {"host.name", host}};
    for (size_t i = 0; good && i < sizeof own / sizeof own[0]; i++)
        if (own[i][1][0] != '\0' && find_attribute(out, own[i][0]) == NULL)
            good = set_attribute(out, own[i][0], own[i][1]);
    return good;
}

/* --- the whole --- */

static enum status read_endpoint(struct trace_options *out, const struct trace_wishes *wishes,
                                 trace_lookup_fn *lookup, struct error *err)
{
    static const char general[] = "OTEL_EXPORTER_OTLP_ENDPOINT";
    static const char *const names[2] = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", general};
    const char *name, *off = lookup("OTEL_SDK_DISABLED"), *kind = lookup("OTEL_TRACES_EXPORTER");
    if (wishes->endpoint != NULL)
        return read_url(out, wishes->endpoint, "--otlp-endpoint", true, err);
    if (off != NULL && strcasecmp(off, "true") == 0)
        return STATUS_OK;
    if (kind != NULL && kind[0] != '\0' && strcmp(kind, "otlp") != 0)
        return STATUS_OK;
    const char *text = first_of(lookup, names, &name);
    return text != NULL ? read_url(out, text, name, name == general, err) : STATUS_OK;
}

static enum status read_part(struct trace_options *out, const struct trace_wishes *wishes,
                             trace_lookup_fn *lookup, struct error *err)
{
    const char *kind = lookup("OTEL_TRACES_SAMPLER"), *arg = lookup("OTEL_TRACES_SAMPLER_ARG");
    out->part = wishes->part;
    if (wishes->part_given || kind == NULL)
        return STATUS_OK;
    if (strcmp(kind, "always_off") == 0 || strcmp(kind, "parentbased_always_off") == 0)
        out->part = 0;
    if (strcmp(kind, "traceidratio") != 0 && strcmp(kind, "parentbased_traceidratio") != 0)
        return STATUS_OK;
    char *end = NULL;
    double part = arg != NULL && arg[0] != '\0' ? strtod(arg, &end) : 1;
    if ((end != NULL && *end != '\0') || !(part >= 0 && part <= 1))
        return error_set_param(err, STATUS_INVALID, "OTEL_TRACES_SAMPLER_ARG",
                               "OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1");
    out->part = part;
    return STATUS_OK;
}

static enum status read_timeout(struct trace_options *out, trace_lookup_fn *lookup,
                                struct error *err)
{
    static const char *const names[2] = {"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
                                         "OTEL_EXPORTER_OTLP_TIMEOUT"};
    const char *name, *text = first_of(lookup, names, &name);
    out->timeout_ms = 10000;
    if (text == NULL)
        return STATUS_OK;
    char *end;
    unsigned long ms = strtoul(text, &end, 10);
    if (!isdigit((unsigned char)text[0]) || *end != '\0' || ms < 1 || ms > 600000)
        return error_set_param(err, STATUS_INVALID, name, "%s must be ms, from 1 to 600000", name);
    out->timeout_ms = (unsigned)ms;
    return STATUS_OK;
}

static enum status read_headers(struct trace_options *out, const struct trace_wishes *wishes,
                                trace_lookup_fn *lookup, struct error *err)
{
    static const char *const names[2] = {"OTEL_EXPORTER_OTLP_TRACES_HEADERS",
                                         "OTEL_EXPORTER_OTLP_HEADERS"};
    const char *name = "--otlp-headers", *text = wishes->headers;
    if (text == NULL)
        text = first_of(lookup, names, &name);
    return text != NULL ? read_list(out, text, name, take_header, err) : STATUS_OK;
}

enum status trace_options_read(struct trace_options *out, const struct trace_wishes *wishes,
                               trace_lookup_fn *lookup, struct error *err)
{
    static const char attributes[] = "OTEL_RESOURCE_ATTRIBUTES";
    *out = (struct trace_options){.url = NULL};
    enum status status = read_endpoint(out, wishes, lookup, err);
    if (status != STATUS_OK || out->url == NULL)
        return status;
    status = read_part(out, wishes, lookup, err);
    if (status == STATUS_OK)
        status = read_timeout(out, lookup, err);
    if (status == STATUS_OK)
        status = read_headers(out, wishes, lookup, err);
    const char *text = lookup(attributes);
    if (status == STATUS_OK && text != NULL)
        status = read_list(out, text, attributes, take_attribute, err);
    if (status == STATUS_OK && !complete_resource(out, lookup))
        status = error_no_memory(err, sizeof *out, "the resource's attributes");
    if (status != STATUS_OK)
        trace_options_free(out);
    return status;
}

void trace_options_free(struct trace_options *options)
{
    for (size_t i = 0; i < options->n_headers; i++) {
        explicit_bzero(options->headers[i], strlen(options->headers[i]));
        free(options->headers[i]);
    }
    for (size_t i = 0; i < options->n_resource; i++) {
        free(options->resource[i].name);
        free(options->resource[i].value);
    }
    free(options->url);
    *options = (struct trace_options){.url = NULL};
}
