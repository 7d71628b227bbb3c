/* page.c - GET /: the page with its policy. Loop thread.
 *
 * What a model writes is shown in it, so the policy lets nothing run but the page's own script, and
 * nothing be fetched but from this server. Knows nothing of what the page does. */
#include "server/handlers/page.h"

#include "embed/embed.h"

#include <stdio.h>

/* Beside the policy. The address of a link that a model wrote is not even looked up by name. */
static const struct {
    const char *name, *value;
} page_headers[] = {
    {MHD_HTTP_HEADER_CONTENT_TYPE, "text/html; charset=utf-8"},
    {MHD_HTTP_HEADER_CACHE_CONTROL, "no-cache"}, /* kept, and asked for by its ETag */
    {"X-Content-Type-Options", "nosniff"},
    {"X-Frame-Options", "DENY"},
    {"X-DNS-Prefetch-Control", "off"},
    {"Referrer-Policy", "no-referrer"},
    {"Cross-Origin-Opener-Policy", "same-origin"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
};

static bool add_headers(struct MHD_Response *response)
{
    char policy[512];
    snprintf(policy, sizeof policy,
             "default-src 'none'; connect-src 'self'; script-src '%s'; style-src '%s'; "
             "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
             "require-trusted-types-for 'script'; trusted-types 'none'",
             embed_page_script_hash, embed_page_style_hash);
    bool ok = response_header(response, "Content-Security-Policy", policy) &&
              response_header(response, MHD_HTTP_HEADER_ETAG, embed_page_etag);
    for (size_t i = 0; i < sizeof page_headers / sizeof page_headers[0]; i++)
        ok = ok && response_header(response, page_headers[i].name, page_headers[i].value);
    return ok;
}

static enum MHD_Result answer_page(struct request *r)
{
    union { /* the library takes what it only reads as not const */
        const void *in;
        void *out;
    } text = {.in = embed_page_html};
    bool same = headers_has_etag(r->headers.if_none_match, embed_page_etag);
    unsigned status = same ? MHD_HTTP_NOT_MODIFIED : MHD_HTTP_OK;
    struct MHD_Response *response = MHD_create_response_from_buffer(
        same ? 0 : embed_page_html_size, text.out, MHD_RESPMEM_PERSISTENT);
    if (response == NULL)
        return MHD_NO;
    if (!add_headers(response)) {
        MHD_destroy_response(response);
        return MHD_NO;
    }
    enum MHD_Result result = request_queue(r, status, response, NULL);
    if (result == MHD_YES)
        request_count(r, status);
    return result;
}

const struct handler page_handler = {.begin = answer_page};
