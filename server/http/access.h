/* access.h - what a request's line in the log says of it: whom it came from, what it asked for in
 * vain, why it was refused, and whether the line matters to people. Loop thread.
 */
#pragma once

struct log_request;
struct request;

/* Once its headers are here: the peer's address, or whom trusted proxies name. */
void access_find_client(struct request *r);
/* At its end. */
void access_describe(const struct request *r, struct log_request *line);
