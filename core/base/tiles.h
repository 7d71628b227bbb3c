/* tiles.h - the shapes of AMX tiles (Intel SDM volume 1, chapter 18). Of the calling thread. */
#pragma once

#include <stdint.h>

struct tile_config {
    uint8_t palette, start_row, reserved[14]; /* palette: 1 */
    uint16_t row_bytes[16];
    uint8_t n_rows[16];
};

/* Every tile becomes zero. For processors with AMX whose system grants it (cpu.h). */
static inline void tiles_configure(const struct tile_config *config)
{
#if defined(__x86_64__)
    __asm__ volatile("ldtilecfg %0" : : "m"(*config));
#else
    (void)config;
#endif
}
