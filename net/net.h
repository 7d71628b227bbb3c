/* net.h - libcurl, taken up once for the whole process, and what every connection to elsewhere has
 * in common: which protocols, whose certificates, no signals, who asks.
 *
 * A handle belongs to one thread at a time. Knows neither models nor traces; what may be asked at
 * all is its callers' affair.
 */
#pragma once

#include <curl/curl.h>
#include <stdbool.h>

/* A handle with nothing set; the first one takes libcurl up. NULL: no memory. */
CURL *net_handle_create(void);
/* Does a URL's host, by its name or number, mean this very machine? */
bool net_names_loopback(const char *host);
/* Back to nothing but what all have in common; keeps its connections. */
void net_handle_reset(CURL *handle);
