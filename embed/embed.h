/* embed.h - what the program carries inside itself: the built-in model and its own API's
 * description.
 *
 * Read-only bytes in the executable, laid there by cmake/embed.cmake, each on a border of 64 bytes.
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
