/* post.c - the POST over libcurl. State: struct trace_post, one thread's. */
#include "server/trace/post.h"

#include "base/clock.h"
#include "base/utf8.h"
#include "net/net.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ANSWER_MAX = 16 * 1024, RETRY_AFTER_MAX_S = 3600 };

struct trace_post {
    const struct trace_options *options;
    const _Atomic uint64_t *end_ns;
    CURL *curl;                 /* owned */
    struct curl_slist *headers; /* owned */
    char answer[ANSWER_MAX + 1];
    size_t n_answer;
};

static bool add_header(struct trace_post *post, const char *line)
{
    struct curl_slist *longer = curl_slist_append(post->headers, line);
    if (longer != NULL)
        post->headers = longer;
    return longer != NULL;
}

struct trace_post *trace_post_create(const struct trace_options *options,
                                     const _Atomic uint64_t *end_ns)
{
    struct trace_post *post = calloc(1, sizeof *post);
    if (post == NULL)
        return NULL;
    post->options = options;
    post->end_ns = end_ns;
    post->curl = net_handle_create();
    bool good = post->curl != NULL && add_header(post, "Content-Type: application/json") &&
                add_header(post, "Expect:");
    for (size_t i = 0; i < options->n_headers; i++)
        good = good && add_header(post, options->headers[i]);
    if (good)
        return post;
    trace_post_destroy(post);
    return NULL;
}

void trace_post_destroy(struct trace_post *post)
{
    if (post == NULL)
        return;
    curl_easy_cleanup(post->curl);
    for (struct curl_slist *line = post->headers; line != NULL; line = line->next)
        explicit_bzero(line->data, strlen(line->data));
    curl_slist_free_all(post->headers);
    free(post);
}

/* What is beyond the room is let go. */
static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
    struct trace_post *post = arg;
    n *= size;
    size_t n_kept = ANSWER_MAX - post->n_answer < n ? ANSWER_MAX - post->n_answer : n;
    memcpy(post->answer + post->n_answer, bytes, n_kept);
    post->n_answer += n_kept;
    return n;
}

static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const struct trace_post *post = arg;
    (void)a, (void)b, (void)c, (void)d;
    return clock_now_ns() >= atomic_load(post->end_ns);
}

static void set_options(struct trace_post *post, const char *body, size_t n)
{
    CURL *curl = post->curl;
    net_handle_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, post->options->url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, post->headers);
    curl_easy_setopt(curl, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE); /* none for proxies */
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)n);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)post->options->timeout_ms);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, post);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, post);
    if (post->options->is_local) /* no proxy is asked the way to this very machine */
        curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
}

/* {"partialSuccess": {"rejectedSpans": "3", "errorMessage": "..."}} */
static void read_partial(struct trace_post *post, struct trace_answer *answer)
{
    cJSON *whole = cJSON_ParseWithLength(post->answer, post->n_answer);
    const cJSON *partial = cJSON_GetObjectItemCaseSensitive(whole, "partialSuccess");
    const cJSON *n = cJSON_GetObjectItemCaseSensitive(partial, "rejectedSpans");
    const cJSON *why = cJSON_GetObjectItemCaseSensitive(partial, "errorMessage");
    double count = cJSON_IsNumber(n)   ? n->valuedouble
                   : cJSON_IsString(n) ? strtod(n->valuestring, NULL)
                                       : 0;
    if (count > 0 && count < 1e9)
        answer->n_rejected = (size_t)count;
    if (answer->n_rejected > 0) {
        const char *text = cJSON_IsString(why) ? why->valuestring : "";
        char shown[160];
        utf8_printable(shown, sizeof shown, text, strlen(text));
        snprintf(answer->why, sizeof answer->why, "%zu spans were rejected%s%s", answer->n_rejected,
                 shown[0] != '\0' ? ": " : "", shown);
    }
    cJSON_Delete(whole);
}

static bool may_be_tried_again(CURLcode code)
{
    return code != CURLE_PEER_FAILED_VERIFICATION && code != CURLE_SSL_CACERT_BADFILE &&
           code != CURLE_URL_MALFORMAT && code != CURLE_UNSUPPORTED_PROTOCOL;
}

static void read_answer(struct trace_post *post, struct trace_answer *answer)
{
    long code = 0;
    curl_off_t seconds = 0;
    curl_easy_getinfo(post->curl, CURLINFO_RESPONSE_CODE, &code);
    if (code >= 200 && code < 300) {
        answer->outcome = TRACE_TAKEN;
        read_partial(post, answer);
        return;
    }
    bool later = code == 429 || code == 502 || code == 503 || code == 504;
    answer->outcome = later ? TRACE_LATER : TRACE_REFUSED;
    snprintf(answer->why, sizeof answer->why, "it answers %ld", code);
    if (later && curl_easy_getinfo(post->curl, CURLINFO_RETRY_AFTER, &seconds) == CURLE_OK &&
        seconds > 0)
        answer->retry_ms =
            1000 * (uint64_t)(seconds < RETRY_AFTER_MAX_S ? seconds : RETRY_AFTER_MAX_S);
}

void trace_post_send(struct trace_post *post, const char *body, size_t n,
                     struct trace_answer *answer)
{
    char why[CURL_ERROR_SIZE] = "";
    *answer = (struct trace_answer){.outcome = TRACE_LATER};
    post->n_answer = 0;
    set_options(post, body, n);
    curl_easy_setopt(post->curl, CURLOPT_ERRORBUFFER, why);
    CURLcode code = curl_easy_perform(post->curl);
    if (code == CURLE_OK) {
        read_answer(post, answer);
        return;
    }
    const char *text = code == CURLE_ABORTED_BY_CALLBACK ? "no answer before the end"
                       : why[0] != '\0'                  ? why
                                                         : curl_easy_strerror(code);
    answer->outcome = may_be_tried_again(code) ? TRACE_LATER : TRACE_REFUSED;
    utf8_printable(answer->why, sizeof answer->why, text, strlen(text));
}
