/* own_file.h - files that stand for a running process: a socket's, and the one with the port.
 *
 * Another process may have put its own in their place meanwhile; so what is removed at the end is
 * looked at first: it must be the very file that was made here, with what was written to it.
 * Looking and acting is one step for all processes of this program, which lock the folder. Loop
 * thread, before and after serving.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <sys/types.h>

enum { OWN_FILE_TEXT_MAX = 64 };

struct own_file {     /* zeroed: none */
    const char *path; /* borrowed; NULL: none */
    int fd;           /* of one that was written: keeps its inode from being used again */
    dev_t device;
    ino_t inode;
    char text[OWN_FILE_TEXT_MAX]; /* its content; "" for a socket */
};

/* Locks the folder of a path against others that do so, waiting for a second at most; -1: it cannot
 * be locked, and the caller goes on without. */
int own_file_lock(const char *path);
void own_file_unlock(int lock); /* takes -1 */

/* Writes the text, whole or not at all: a file beside it, renamed. */
enum status own_file_write(struct own_file *out, const char *path, const char *text,
                           struct error *err);
/* Takes what is at the path, just made by the caller, as its own. False: nothing is there. */
bool own_file_adopt(struct own_file *out, const char *path);

/* Whether what is at the path is still ours. */
bool own_file_is_ours(const struct own_file *file);
/* Removes it where it is still ours, and forgets it. A socket must still be open: its inode is not
 * used again until it is closed. */
void own_file_remove(struct own_file *file);
