/* embed.h - what the program carries inside itself: the built-in model, its own API's description
 * and its pages.
 *
 * Read-only bytes in the executable, laid there by cmake/embed.cmake, each on a border of 64 bytes
 * and with a zero byte after its end.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

extern const uint8_t embed_model[]; /* [embed_model_size]: a GGUF file */
extern const size_t embed_model_size;
extern const uint8_t embed_openapi_yaml[]; /* [embed_openapi_yaml_size] */
extern const size_t embed_openapi_yaml_size;
extern const uint8_t embed_profile_html[]; /* [embed_profile_html_size]: a profile's page */
extern const size_t embed_profile_html_size;

/* The page of GET /, joined by cmake/page.cmake, and what its answer's headers say of it. */
extern const uint8_t embed_page_html[]; /* [embed_page_html_size] */
extern const size_t embed_page_html_size;
extern const char embed_page_etag[];        /* with its quotes */
extern const char embed_page_script_hash[]; /* sha256-... of what stands in its script tag */
extern const char embed_page_style_hash[];  /* and in its style tag */
