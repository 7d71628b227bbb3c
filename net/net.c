/* net.c - the start of libcurl, and the options that all its handles share. Any thread. */
#include "net/net.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void start(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

CURL *net_handle_create(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start);
    return curl_easy_init();
}

bool net_names_loopback(const char *host)
{
    static const char name[] = "localhost";
    struct in_addr in;
    size_t n = strlen(host);
    if (n > 0 && host[n - 1] == '.')
        n--;
    if (n == sizeof name - 1 && strncasecmp(host, name, n) == 0)
        return true;
    if (n > sizeof name && host[n - sizeof name] == '.' &&
        strncasecmp(host + n - (sizeof name - 1), name, sizeof name - 1) == 0)
        return true;
    if (inet_pton(AF_INET, host, &in) == 1)
        return ntohl(in.s_addr) >> 24 == 127;
    return strcmp(host, "[::1]") == 0;
}

static void set_protocols(CURL *handle)
{
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(handle, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
}

/* Another authority than the system's, as curl itself and OpenSSL's programs take it. */
static const char *authorities(void)
{
    const char *file = getenv("CURL_CA_BUNDLE");
    if (file == NULL || file[0] == '\0')
        file = getenv("SSL_CERT_FILE");
    return file != NULL && file[0] != '\0' ? file : NULL;
}

void net_handle_reset(CURL *handle)
{
    curl_easy_reset(handle);
    set_protocols(handle);
    curl_easy_setopt(handle, CURLOPT_USERAGENT, "smallmind/" SMALLMIND_VERSION);
    curl_easy_setopt(handle, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(handle, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    if (authorities() != NULL)
        curl_easy_setopt(handle, CURLOPT_CAINFO, authorities());
}
