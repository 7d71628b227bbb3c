/* proc_file.h - the small text files in which Linux says what there is: under /proc and /sys.
 *
 * A file that is missing or malformed counts as "nothing known", never as an error. No state; any
 * thread. Internal to core/base.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The first room - 1 bytes of a file, NUL-terminated; false when it cannot be read or is empty. */
__attribute__((format(printf, 3, 4))) bool proc_read(char *out, size_t room, const char *format,
                                                     ...);

/* A decimal number at the text's beginning; false for "max", "-1" and anything else. rest: the text
 * after it; may be NULL. */
bool proc_number(const char *text, uint64_t *out, const char **rest);

/* The number after `key` and a space at a line's beginning: "nr_throttled 12". False: there is no
 * such line. */
bool proc_field(const char *text, const char *key, uint64_t *out);
