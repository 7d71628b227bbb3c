/* probe.c - the GET, over libcurl. One thread. */
#include "store/probe.h"

#include "base/append.h"

#include <curl/curl.h>
#include <stddef.h>
#include <string.h>

enum { TIMEOUT_MS = 10000 };

struct probing {
    struct probe_answer *answer;
    size_t n;
};

static size_t on_body(char *bytes, size_t size, size_t n, void *ctx)
{
    struct probing *probing = ctx;
    append_text(probing->answer->line, sizeof probing->answer->line, &probing->n, "%.*s",
                (int)(size * n), bytes);
    return size * n;
}

static void set_options(CURL *curl, const char *url, const char *unix_path, struct probing *probing)
{
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_DEFAULT_PROTOCOL, "http");
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, probing);
    if (unix_path != NULL)
        curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, unix_path);
}

enum status probe_get(struct probe_answer *out, const char *url, const char *unix_path,
                      struct error *err)
{
    struct probe_answer answer = {.code = 0};
    struct probing probing = {.answer = &answer};
    CURL *curl = curl_easy_init();
    if (curl == NULL)
        return error_no_memory(err, sizeof answer, "the request");
    set_options(curl, url, unix_path, &probing);
    CURLcode result = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer.code);
    curl_easy_cleanup(curl);
    if (result != CURLE_OK)
        return error_set(err, STATUS_IO, "%.256s: %s", unix_path != NULL ? unix_path : url,
                         curl_easy_strerror(result));
    answer.line[strcspn(answer.line, "\r\n")] = '\0';
    *out = answer;
    return STATUS_OK;
}
