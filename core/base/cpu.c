/* cpu.c - asks the processor itself (CPUID, HWCAP) and the system what this process may use.
 * Start-up only; no state. */
#include "base/cpu.h"

#include "base/cpu_sysfs.h"

#include <assert.h>
#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#include <immintrin.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

#if defined(__x86_64__) || defined(__i386__)

/* Which register sets the system saves: an instruction set whose registers it does not save must
 * not be used. */
static uint64_t saved_state(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

/* Tiles are large: the system saves them for processes that ask, threads begun before included. */
static bool tiles_granted(void)
{
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 }; /* ARCH_REQ_XCOMP_PERM, asm/prctl.h */
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}

/* Bits: Intel SDM volume 2A, CPUID. */
static void detect_features(struct cpu *cpu)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & bit_OSXSAVE) == 0 || (c & bit_AVX) == 0)
        return;
    uint64_t saved = saved_state();
    if ((saved & 0x6) != 0x6) /* XMM and YMM */
        return;
    bool fma_f16c = (c & bit_FMA) != 0 && (c & bit_F16C) != 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return;
    unsigned n_subleaves = a;
    const unsigned tiles = 1u << 24 | 1u << 25; /* AMX-TILE, AMX-INT8 */
    const bool has_tiles = (d & tiles) == tiles;
    cpu->avx2 = fma_f16c && (b & bit_AVX2) != 0;
    const unsigned avx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; /* F, DQ, BW, VL */
    cpu->avx512 = cpu->avx2 && (saved & 0xe6) == 0xe6 && (b & avx512) == avx512 &&
                  (c & 1u << 11) != 0; /* VNNI */
    cpu->amx = cpu->avx512 && has_tiles && (saved & 0x60000) == 0x60000 && tiles_granted();
    if (n_subleaves >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d))
        cpu->avxvnni = cpu->avx2 && (a & 1u << 4) != 0;
}

static bool brand(char *out, size_t room)
{
    unsigned words[13] = {0};
    for (unsigned i = 0; i < 3; i++) {
        unsigned *w = words + (size_t)4 * i;
        if (!__get_cpuid(0x80000002u + i, &w[0], &w[1], &w[2], &w[3]))
            return false;
    }
    const char *text = (const char *)words;
    text += strspn(text, " ");
    size_t n = strlen(text);
    while (n > 0 && text[n - 1] == ' ')
        n--;
    snprintf(out, room, "%.*s", (int)n, text);
    return n > 0;
}

#else

static void detect_features(struct cpu *cpu)
{
#ifdef __aarch64__
    cpu->neon = (getauxval(AT_HWCAP) & 1ul << 20) !=
                0; /* HWCAP_ASIMDDP; NEON itself is part of the architecture */
#else
    (void)cpu;
#endif
}

static bool brand(char *out, size_t room)
{
    (void)out;
    (void)room;
    return false;
}

#endif

/* A mask is a cpu_set_t of another length: words of 64 processors, on machines of 64 bits. */
static_assert(sizeof(__cpu_mask) == sizeof(uint64_t), "the system's words");

static bool read_affinity(pid_t thread, struct cpu_mask *mask)
{
    *mask = (struct cpu_mask){0};
    return sched_getaffinity(thread, sizeof mask->bits, (cpu_set_t *)(void *)mask->bits) == 0;
}

void cpu_spread_affinity(const struct cpu_mask *before, const struct cpu_mask *now)
{
    struct cpu_mask own;
    DIR *threads = opendir("/proc/self/task");
    if (threads == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(threads)) != NULL;) {
        const pid_t thread = (pid_t)strtol(entry->d_name, NULL, 10);
        if (thread > 0 && read_affinity(thread, &own) && memcmp(&own, before, sizeof own) == 0)
            (void)sched_setaffinity(thread, sizeof now->bits,
                                    (const cpu_set_t *)(const void *)now->bits);
    }
    closedir(threads);
}

void cpu_describe(const struct cpu *cpu, char out[CPU_TEXT_MAX])
{
    char quota[48] = "";
    if (cpu->quota > 0)
        snprintf(quota, sizeof quota, ", a quota of %.2f", cpu->quota);
    snprintf(out, CPU_TEXT_MAX, "%u processor%s (%u core%s%s) and %zu MiB of memory",
             cpu->n_affinity, cpu->n_affinity == 1 ? "" : "s", cpu->n_physical,
             cpu->n_physical == 1 ? "" : "s", quota, cpu->memory_bytes >> 20);
}

static size_t physical_bytes(void)
{
    long n_pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    return n_pages > 0 && page > 0 ? (size_t)n_pages * (size_t)page : 0;
}

static void take_memory(struct cpu *cpu, const struct cgroup *group)
{
    const size_t limit = group->hard.limit < SIZE_MAX ? (size_t)group->hard.limit : SIZE_MAX;
    cpu->memory_bytes = physical_bytes();
    if (limit > 0 && (cpu->memory_bytes == 0 || limit < cpu->memory_bytes))
        cpu->memory_bytes = limit;
}

void cpu_take_limits(struct cpu *cpu, const struct cgroup *group)
{
    cpu->quota = group->quota;
    cpu->n_usable = cpu->n_physical;
    /* A part of a processor still counts when it is most of one: 1.5 gives 2 threads, 1.2 gives 1.
     */
    if (cpu->quota > 0 && cpu->quota + 0.5 < cpu->n_usable + 1.0)
        cpu->n_usable = (unsigned)(cpu->quota + 0.5);
    if (cpu->n_usable == 0)
        cpu->n_usable = 1;
    take_memory(cpu, group);
}

double cpu_cores(const struct cpu *cpu)
{
    return cpu->quota > 0 && cpu->quota < cpu->n_physical ? cpu->quota : (double)cpu->n_physical;
}

size_t cpu_memory_bytes(void)
{
    struct cgroup group;
    struct cpu cpu;
    cgroup_look(&group, "");
    take_memory(&cpu, &group);
    return cpu.memory_bytes;
}

bool cpu_follow_affinity(struct cpu *cpu)
{
    struct cpu_mask mask;
    if (!read_affinity(getpid(), &mask))
        mask.bits[0] = 1;
    if (memcmp(&mask, &cpu->affinity, sizeof mask) == 0)
        return false;
    cpu->affinity = mask;
    cpu_sysfs_topology("", &mask, cpu);
    return true;
}

void cpu_detect(struct cpu *cpu)
{
    struct cgroup group;
    *cpu = (struct cpu){0};
    if (!brand(cpu->name, sizeof cpu->name) && !cpu_sysfs_name("", cpu->name, sizeof cpu->name))
        snprintf(cpu->name, sizeof cpu->name, "unknown");
    detect_features(cpu);
    cpu_follow_affinity(cpu);
    cpu->n_machine = cpu_sysfs_cores("");
    if (cpu->n_machine < cpu->n_physical)
        cpu->n_machine = cpu->n_physical;
    cgroup_look(&group, "");
    cpu_take_limits(cpu, &group);
}

void cpu_set_float_mode(void)
{
#if defined(__x86_64__) || defined(__i386__)
    _mm_setcsr(0x1f80); /* round to nearest, all exceptions masked, neither FTZ nor DAZ */
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0"
                     :
                     : "r"((uint64_t)0)); /* the same: round to nearest, FZ, FZ16 and DN off */
#endif
}
