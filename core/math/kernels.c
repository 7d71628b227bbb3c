/* kernels.c - chooses the table of kernels for a machine, and the sizes that all tables share. */
#include "math/kernels.h"

#include "math/kernels_tables.h"

size_t kv_block_bytes(enum kv_type type, size_t head_dim)
{
    size_t value_bytes = type == KV_F32 ? sizeof(float) : type == KV_F16 ? sizeof(uint16_t) : 0;
    return (head_dim + (head_dim + 7) / 8 * 8) * KV_PAGE * value_bytes;
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

static const struct kernels *best(const struct cpu *cpu)
{
#if defined(__x86_64__)
    if (cpu->avx2)
        return &kernels_avx2;
#endif
    return reference(cpu);
}

enum status kernels_select(const struct kernels **out, enum kernel_level level,
                           const struct cpu *cpu, struct error *err)
{
    static const char *const names[KERNEL_LEVELS] = {"auto",    "ref",    "avx2",
                                                     "avxvnni", "avx512", "neon"};
    const struct kernels *found = NULL;
    if (level == KERNELS_AUTO)
        found = best(cpu);
    else if (level == KERNELS_REF)
        found = reference(cpu);
#if defined(__x86_64__)
    else if (level == KERNELS_AVX2 && cpu->avx2)
        found = &kernels_avx2;
#endif
    if (found == NULL) {
        const char *name = (unsigned)level < KERNEL_LEVELS ? names[level] : "unknown";
        bool lacking = level == KERNELS_AVX2;
        return error_set_param(err, STATUS_UNSUPPORTED, "cpu",
                               "kernels \"%s\" are not %s; \"auto\" takes the best there is", name,
                               lacking ? "supported by this processor" : "built yet");
    }
    *out = found;
    return STATUS_OK;
}
