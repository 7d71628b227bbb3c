/* registry.c - a model at Ollama's registry (registry.ollama.ai, or OLLAMA_ENDPOINT).
 *
 * GET /v2/NAMESPACE/NAME/manifests/TAG lists layers with digest and size; the model's is one GGUF
 * file, got by GET /v2/NAMESPACE/NAME/blobs/DIGEST. Holds no state.
 */
#include "store/sources.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

static const char accept_manifest[] =
    "Accept: application/vnd.docker.distribution.manifest.v2+json";
static const char model_layer[] = "application/vnd.ollama.image.model";

static const cJSON *find_layer(const cJSON *root, size_t *n)
{
    const cJSON *layers = cJSON_GetObjectItemCaseSensitive(root, "layers"), *layer, *found = NULL;
    *n = 0;
    cJSON_ArrayForEach(layer, layers)
    {
        const cJSON *type = cJSON_GetObjectItemCaseSensitive(layer, "mediaType");
        if (!cJSON_IsString(type) || strcmp(type->valuestring, model_layer) != 0)
            continue;
        found = layer;
        ++*n;
    }
    return found;
}

static enum status take_layer(struct source *out, const cJSON *root, const struct reference *r,
                              const char *endpoint, struct error *err)
{
    size_t n;
    const cJSON *layer = find_layer(root, &n);
    const cJSON *digest = cJSON_GetObjectItemCaseSensitive(layer, "digest");
    const cJSON *size = cJSON_GetObjectItemCaseSensitive(layer, "size");
    if (n != 1)
        return error_set(err, STATUS_IO, "%s: its manifest has %zu models in GGUF; one is needed",
                         r->text, n);
    if (!cJSON_IsString(digest) || strncmp(digest->valuestring, "sha256:", 7) != 0 ||
        !sources_is_sha256(digest->valuestring + 7))
        return error_set(err, STATUS_IO, "%s: its manifest gives no SHA-256 for the model",
                         r->text);
    if (!cJSON_IsNumber(size) || size->valuedouble < 1 || size->valuedouble > 9e15)
        return error_set(err, STATUS_IO, "%s: its manifest does not say how large the model is",
                         r->text);
    memcpy(out->sha256, digest->valuestring + 7, strlen(digest->valuestring + 7) + 1);
    out->n_bytes = (uint64_t)size->valuedouble;
    snprintf(out->path, sizeof out->path, "%s-%s.gguf", r->name, r->tag);
    snprintf(out->url, sizeof out->url, "%s/v2/%s/%s/blobs/sha256:%s", endpoint, r->owner, r->name,
             out->sha256);
    return STATUS_OK;
}

enum status registry_find(struct sources *out, const struct reference *reference,
                          const char *endpoint, struct web *web, struct patience *patience,
                          struct error *err)
{
    const struct reference *r = reference;
    char url[WEB_URL_MAX];
    struct web_answer answer;
    cJSON *root;
    snprintf(url, sizeof url, "%s/v2/%s/%s/manifests/%s", endpoint, r->owner, r->name, r->tag);
    enum status status = sources_ask(&root, url, accept_manifest, web, patience, &answer, err);
    if (status != STATUS_OK)
        return status;
    if ((status = sources_make(out, 1, err)) == STATUS_OK)
        status = take_layer(out->files, root, r, endpoint, err);
    cJSON_Delete(root);
    return status;
}
