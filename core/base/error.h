/* error.h - how every function of the program reports failure.
 *
 * A fallible function returns enum status and, when it is not STATUS_OK, has filled the struct
 * error it was handed with one sentence: what was wrong, and what would be right. Outputs are
 * untouched on failure. No thread rule: an error is the caller's storage. Knows nothing of HTTP,
 * logs or exits.
 */
#pragma once

enum status {
    STATUS_OK = 0,
    STATUS_INVALID,   /* the caller's value is wrong (a request field, an option, a text that is not
                         UTF-8) */
    STATUS_TOO_LARGE, /* beyond a limit of size */
    STATUS_CONTEXT,   /* more tokens than the context holds, or than the service takes */
    STATUS_FORMAT,    /* a file's bytes are not what they must be */
    STATUS_UNSUPPORTED, /* well-formed, and not built here */
    STATUS_UNABLE,      /* nothing the caller sends can be served: the model lacks it */
    STATUS_IO,          /* the operating system refused: errno's text is in the error */
    STATUS_NO_MEMORY,
    STATUS_FULL,      /* a bounded place is taken: later may work */
    STATUS_TOO_LATE,  /* it could not begin in time: later may work */
    STATUS_STOPPING,  /* the service ends and finishes no more work */
    STATUS_CANCELLED, /* called off by the one who asked for it */
    STATUS_INTERNAL,  /* our own bug, or the machine's */
};

struct error {
    enum status status;
    char param[64];                /* the field, option, key or tensor at fault; "" when none */
    char text[384];                /* one sentence, UTF-8, no newline */
    unsigned long long have, most; /* STATUS_CONTEXT: tokens, and how many fit; else 0 */
};

/* Each of these fills err (which may be NULL) and gives the status, so that a function can end with
 * `return error_set(...)`. Text that does not fit is cut at a character's border; control
 * characters (a file's own strings are quoted here) become '?'. They are macros so that compilers
 * and analyzers see at the call that the status is not STATUS_OK.
 *
 * - error_set(err, status, format, ...)
 * - error_set_param(err, status, param, format, ...): the same, naming what is at fault.
 * - error_errno(err, number, format, ...): STATUS_IO with errno's text: "WHAT: No such file".
 * - error_no_memory(err, bytes, what): "out of memory: BYTES bytes for WHAT". */
#define error_set(err, status, ...)                                                                \
    error_result((error_fill(err, status, "", __VA_ARGS__), (status)))
#define error_set_param(err, status, param, ...)                                                   \
    error_result((error_fill(err, status, param, __VA_ARGS__), (status)))
#define error_errno(err, number, ...)                                                              \
    error_result((error_fill_errno(err, number, __VA_ARGS__), STATUS_IO))

/* The macros' function. */
void error_fill(struct error *err, enum status status, const char *param, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void error_fill_errno(struct error *err, int number, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static inline enum status error_result(enum status status)
{
    return status;
}

static inline enum status error_no_memory(struct error *err, unsigned long long bytes,
                                          const char *what)
{
    error_fill(err, STATUS_NO_MEMORY, "", "out of memory: %llu bytes for %s", bytes, what);
    return STATUS_NO_MEMORY;
}
