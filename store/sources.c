/* sources.c - what the asking of hubs shares: endpoints, answers in JSON, lists of files. Holds no
 * state. */
#include "store/sources.h"

#include "api/json/json.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ANSWER = 8 << 20, MAX_DEPTH = 16, MAX_NODES = 400000 };

static enum status take_endpoint(char *out, size_t room, const char *variable,
                                 const char *otherwise, struct error *err)
{
    const char *text = getenv(variable);
    struct error cause;
    if (text == NULL || text[0] == '\0')
        text = otherwise;
    size_t n = strlen(text);
    while (n > 0 && text[n - 1] == '/')
        n--;
    if (n >= room)
        return error_set_param(err, STATUS_INVALID, variable, "%s is too long", variable);
    memcpy(out, text, n);
    out[n] = '\0';
    if (web_check_url(out, &cause) != STATUS_OK)
        return error_set_param(err, STATUS_INVALID, variable, "%s: %s", variable, cause.text);
    return STATUS_OK;
}

enum status sources_place_read(struct sources_place *out, struct error *err)
{
    enum status status;
    struct sources_place place = {.token = ""};
    if ((status = take_endpoint(place.hub, sizeof place.hub, "HF_ENDPOINT",
                                "https://huggingface.co", err)) != STATUS_OK ||
        (status = take_endpoint(place.ollama, sizeof place.ollama, "OLLAMA_ENDPOINT",
                                "https://registry.ollama.ai", err)) != STATUS_OK)
        return status;
    const char *token = getenv("HF_TOKEN");
    for (const char *c = token; c != NULL && *c != '\0'; c++)
        if (*c <= ' ' || *c > '~')
            return error_set_param(err, STATUS_INVALID, "HF_TOKEN",
                                   "HF_TOKEN contains a character that a token must not");
    if (token != NULL && strlen(token) >= sizeof place.token)
        return error_set_param(err, STATUS_INVALID, "HF_TOKEN", "HF_TOKEN is too long");
    if (token != NULL)
        memcpy(place.token, token, strlen(token) + 1);
    *out = place;
    return STATUS_OK;
}

enum status sources_make(struct sources *out, size_t n, struct error *err)
{
    out->files = calloc(n, sizeof *out->files);
    if (out->files == NULL)
        return error_no_memory(err, n * sizeof *out->files, "a model's files");
    out->n = n;
    return STATUS_OK;
}

void sources_free(struct sources *sources)
{
    free(sources->files);
    *sources = (struct sources){0};
}

bool sources_is_sha256(const char *text)
{
    return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

static enum status parse(cJSON **out, const char *url, const char *text, size_t n,
                         struct error *err)
{
    struct error cause;
    if (json_check(text, n, MAX_DEPTH, MAX_NODES, &cause) != STATUS_OK)
        return error_set(err, STATUS_IO, "%.*s: the answer is not as it should be: %s",
                         web_shown_length(url), url, cause.text);
    *out = cJSON_ParseWithLength(text, n);
    if (*out == NULL)
        return error_no_memory(err, n, "an answer");
    return STATUS_OK;
}

enum status sources_ask(struct cJSON **out, const char *url, const char *accept, struct web *web,
                        struct patience *patience, struct web_answer *answer, struct error *err)
{
    const char *const headers[] = {accept, NULL};
    char *text = NULL;
    size_t n = 0;
    enum status status;
    for (;;) {
        status = web_get_text(web, url, headers, MAX_ANSWER, &text, &n, answer, err);
        if (status != STATUS_IO || !(answer->retry || patience_is_passing(answer->code)))
            break;
        if ((status = patience_wait(patience, answer, err)) != STATUS_OK)
            return status;
    }
    if (status != STATUS_OK)
        return status;
    status = parse(out, url, text, n, err);
    free(text);
    return status;
}
