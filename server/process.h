/* process.h - what the system says of this process: open files, their limit, resident memory.
 *
 * Asked through descriptors that are held open from the start, so that it can be told just when no
 * more can be had. What cannot be read is not known, never 0. Loop thread.
 */
#pragma once

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>

struct process { /* zeroed: nothing is known */
    DIR *files;  /* /proc/self/fd; NULL: not there */
    int memory;  /* /proc/self/statm plus 1; 0: not there */
};

void process_open(struct process *process);
void process_close(struct process *process);

/* False, with *out untouched: not known. */
bool process_open_files(const struct process *process, uint64_t *out); /* the held ones too */
bool process_max_files(uint64_t *out);
bool process_resident_bytes(const struct process *process, uint64_t *out);
