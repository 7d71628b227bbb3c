/* guard.h - HTTP/1's message borders, read strictly, before the library's parser sees a byte.
 *
 * libmicrohttpd forgives what RFC 9112 lets a recipient refuse, and hides it: a line that begins
 * with a colon ends its header section, a NUL ends a value, a folded line joins a name, lone CRs
 * and LFs end lines. Two readers that disagree about where a message ends can be made to see
 * different requests. So every byte passes through here first, head, body, chunks and trailers,
 * split and pipelined in any way; at the first that is not as the grammar has it the message is
 * refused, and nothing after it is read. It refuses too whatever the library would answer by
 * itself. Pure: no sockets, no memory of its own. Loop thread.
 */
#pragma once

#include "api/errors.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    GUARD_FIELDS_MAX = 128,  /* header fields and trailers of a message */
    GUARD_RECORDS_MAX = 192, /* with its query's arguments and its cookies */
    GUARD_RECORD_BYTES = 80, /* what the library's memory holds of each, at most */
};

enum guard_state {
    GUARD_START, /* between messages */
    GUARD_START_LF,
    GUARD_METHOD,
    GUARD_TARGET,
    GUARD_VERSION,
    GUARD_LINE, /* a field line's first byte, or the empty line's */
    GUARD_NAME,
    GUARD_VALUE,
    GUARD_LINE_LF, /* after the CR that ends a line */
    GUARD_HEAD_LF, /* after the CR of the empty line */
    GUARD_BODY,    /* of a known length */
    GUARD_SIZE,    /* of a chunk */
    GUARD_EXTENSION,
    GUARD_SIZE_LF,
    GUARD_DATA,
    GUARD_DATA_CR,
    GUARD_DATA_LF,
    GUARD_ENDED, /* the connection ends with this message: what follows is not for us */
    GUARD_FAULT,
};

struct guard {
    enum guard_state state;
    size_t max_head;  /* bytes of a request line and its fields */
    uint64_t n_heads; /* complete ones that were passed on */

    /* of the message under way */
    size_t n_head;        /* bytes of its head, or of its trailers */
    size_t n_fields;      /* header fields and trailers */
    size_t n_records;     /* with arguments and cookies */
    bool began;           /* its first byte has come */
    bool blank;           /* an empty line before it has been forgiven */
    bool old;             /* HTTP/1.0 */
    bool trailers;        /* its fields come after its chunks */
    bool query;           /* its target's path has ended */
    bool closes, stays;   /* Connection: close, keep-alive */
    bool doubtful;        /* its framing is for headers_check to refuse: no body is read */
    bool chunked, length; /* it has the field */
    uint64_t n_left;      /* bytes of the body, or of the chunk */
    char name[20];        /* in small letters, of the field under way; cut */
    char text[128];       /* a value that decides about framing, the version or a chunk's size */
    size_t n_name, n_text;

    enum refusal refusal; /* of GUARD_FAULT */
    const char *why;      /* static */
    char method[9];       /* of the message under way, for the log; cut */
};

void guard_init(struct guard *guard, size_t max_head);

/* Looks at the next bytes of a connection; returns how many may be passed on. Less than n when the
 * state is GUARD_FAULT: those of messages that were complete before; or GUARD_ENDED: those up to
 * the last message's end. */
size_t guard_look(struct guard *guard, const char *bytes, size_t n);
/* Nothing is read after the message under way, which has been passed on whole. */
void guard_end(struct guard *guard);
