/* digest.c - SHA-256 in hexadecimal. No state of its own. */
#include "base/digest.h"

#include <string.h>

void digest_begin(struct digest *digest)
{
    sha256_init(&digest->context);
}

void digest_add(struct digest *digest, const void *bytes, size_t n)
{
    sha256_update(&digest->context, n, bytes);
}

void digest_end(struct digest *digest, char out[65])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t bytes[SHA256_DIGEST_SIZE];
    sha256_digest(&digest->context, sizeof bytes, bytes);
    for (size_t i = 0; i < sizeof bytes; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[64] = '\0';
}

void digest_of_text(char out[65], const char *text)
{
    struct digest digest;
    digest_begin(&digest);
    digest_add(&digest, text, strlen(text));
    digest_end(&digest, out);
}
