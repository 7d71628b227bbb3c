/* pack.h - a loaded model's packed weights kept in a file, so that the next start need not pack
 * them again.
 *
 * A folder holds such files, one for each model and context, named by what they were made from: the
 * model's files (device, number, size, times), their headers, the context and PACK_VERSION. A file
 * is read, not mapped, into the model's arena by all threads, and each part of it checked
 * (XXH3, xxhash.com): one that is damaged, foreign or another's is as good as none. Files are
 * written beside their place and renamed. Start-up thread, or any one thread for pack_write.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "base/team.h"
#include "gguf/gguf.h"

#include <stdatomic.h>
#include <stdbool.h>

enum { PACK_FOLDER_MAX = 4000 };

struct pack {
    char folder[PACK_FOLDER_MAX];
    uint64_t id[2];
    size_t first, n_bytes; /* of the arena: what lies before holds addresses and is not kept */
};

/* False: the model came from no file, or the folder's name is too long. */
bool pack_of(struct pack *out, const char *folder, const struct gguf *gguf, size_t n_context,
             size_t first, size_t n_bytes);
/* The arena's bytes from `first` on. STATUS_UNABLE: there is no such file; else why it was not
 * taken (STATUS_IO, STATUS_FORMAT), and the arena is zeroed. */
enum status pack_read(const struct pack *pack, struct arena *arena, struct team *team,
                      struct error *err);
/* Keeps them. Files used least recently are removed where all would be more than most_bytes.
 * stop: where it becomes true the file is left out (STATUS_STOPPING). STATUS_TOO_LARGE: it is more
 * than most_bytes, or the file system would have less than a twentieth left; STATUS_IO. */
enum status pack_write(const struct pack *pack, const struct arena *arena, uint64_t most_bytes,
                       const _Atomic bool *stop, struct error *err);
