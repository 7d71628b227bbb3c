/* alloc_count.h - counts calls of the malloc family and mmap made by compute threads, to prove that
 * there are none.
 *
 * The linker sends every such call of ours through a wrapper (-Wl,--wrap=malloc and so on); a
 * thread that has said alloc_count_enter() adds to the counter, all others pass for free. Any
 * thread may read.
 */
#pragma once

#include <stdint.h>

void alloc_count_enter(void); /* from here on this thread's calls are counted */
void alloc_count_leave(void);
uint64_t alloc_count(void); /* calls counted so far, all threads */
uint64_t alloc_bytes(void); /* and the bytes that they asked for */
