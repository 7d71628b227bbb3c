/* kernels.c - chooses the table of kernels for a machine, and the sizes that all tables share. */
#include "math/kernels.h"

#include "math/kernels_tables.h"
#include "math/kv_layout.h"

#include <stdio.h>
#include <string.h>

size_t page_head_bytes(enum kv_type type, size_t head_dim)
{
    size_t n_values = page_value_at(head_dim, KV_PAGE);
    size_t bytes = type == KV_F32   ? n_values * sizeof(float)
                   : type == KV_F16 ? n_values * sizeof(uint16_t)
                                    : page_value_scales_at(head_dim, page_groups(head_dim));
    return (bytes + 63) / 64 * 64;
}

static const struct kernels *reference(const struct cpu *cpu)
{
#if defined(__x86_64__)
    if (cpu->avx2) /* implies FMA */
        return &kernels_ref_fma;
#else
    (void)cpu;
#endif
    return &kernels_ref;
}

/* The table of a level other than AUTO and REF; NULL: the processor lacks its instructions, or it
 * is not built. */
static const struct kernels *table_of(enum kernel_level level, const struct cpu *cpu)
{
#if defined(__x86_64__)
    if (level == KERNELS_AVX2 && cpu->avx2)
        return &kernels_avx2;
    if (level == KERNELS_AVXVNNI && cpu->avxvnni)
        return &kernels_avxvnni;
    if (level == KERNELS_AVX512 && cpu->avx512)
        return &kernels_avx512;
    if (level == KERNELS_AMX && cpu->amx)
        return &kernels_amx;
#else
    (void)level, (void)cpu;
#endif
    return NULL;
}

static const struct kernels *best(const struct cpu *cpu)
{
    static const enum kernel_level best_first[] = {KERNELS_AMX, KERNELS_AVX512, KERNELS_AVXVNNI,
                                                   KERNELS_AVX2};
    for (size_t i = 0; i < sizeof best_first / sizeof *best_first; i++) {
        const struct kernels *found = table_of(best_first[i], cpu);
        if (found != NULL)
            return found;
    }
    return reference(cpu);
}

static const char *const level_names[KERNEL_LEVELS] = {"auto",   "ref", "avx2", "avxvnni",
                                                       "avx512", "amx", "neon"};

/* Why a level cannot be had here, and which can. */
static enum status refuse_level(enum kernel_level level, const struct cpu *cpu, struct error *err)
{
    const char *name = (unsigned)level < KERNEL_LEVELS ? level_names[level] : "unknown";
    char list[96] = "ref";
    for (int other = KERNELS_REF + 1; other < KERNEL_LEVELS; other++)
        if (table_of((enum kernel_level)other, cpu) != NULL)
            snprintf(list + strlen(list), sizeof list - strlen(list), ", %s", level_names[other]);
#if defined(__x86_64__)
    const char *why = level == KERNELS_NEON ? "are for aarch64 processors"
                                            : "need instructions that this processor lacks";
#else
    const char *why =
        level == KERNELS_NEON ? "are not part of this program" : "are for x86-64 processors";
#endif
    return error_set_param(err, STATUS_UNSUPPORTED, "cpu",
                           "\"%s\" kernels %s; this machine can use: %s (auto takes the fastest)",
                           name, why, list);
}

enum status kernels_select(const struct kernels **out, enum kernel_level level,
                           const struct cpu *cpu, struct error *err)
{
    const struct kernels *found = level == KERNELS_AUTO  ? best(cpu)
                                  : level == KERNELS_REF ? reference(cpu)
                                                         : table_of(level, cpu);
    if (found == NULL)
        return refuse_level(level, cpu, err);
    *out = found;
    return STATUS_OK;
}
