/* digest.h - SHA-256 as hexadecimal text, by nettle. Any thread. */
#pragma once

#include <nettle/sha2.h>
#include <stddef.h>

struct digest {
    struct sha256_ctx context;
};

void digest_begin(struct digest *digest);
void digest_add(struct digest *digest, const void *bytes, size_t n);
/* The digest of what was added, which begins anew. */
void digest_end(struct digest *digest, char out[65]);
void digest_of_text(char out[65], const char *text);
