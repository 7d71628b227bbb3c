/* guided.c - what keeping to a grammar costs: streams of one engine, free and inside grammars, in
 * turns.
 *
 * Every stream has its own prompt of random tokens and makes as many tokens as the others at
 * temperature 1; a grammar's texts may always go on. Prints tokens a second of all streams
 * together, the median and the best of the rounds, and the processor time of a token, which a
 * crowded machine disturbs less. A tool: run by hand on a quiet machine.
 *
 * Usage: bench_guided MODEL.gguf [--streams 8] [--tokens 192] [--rounds 7] [--threads 0]
 */
#include "base/clock.h"
#include "base/cpu.h"
#include "engine/engine.h"
#include "engine/stats.h"
#include "gguf/gguf.h"
#include "grammar/grammar.h"
#include "model/model.h"
#include "text/tokenizer/tokenizer.h"
#include "tool.h"

#include <assert.h>
enum { STREAMS_MOST = 64, ROUNDS_MOST = 64 };

static const struct shape_text {
    const char *name, *gbnf; /* NULL: free */
} shapes[] = {
    {"free", NULL},
    {"a string of any characters", "root ::= \"\\\"\" [^\"\\\\\\x00-\\x1F]*"},
    {"any JSON, a long list",
     "root ::= \"[\" value (\",\" value)*\n"
     "value ::= object | array | string | number | \"true\" | \"false\" | \"null\"\n"
     "object ::= \"{\" (string \":\" value (\",\" string \":\" value)*)? \"}\"\n"
     "array ::= \"[\" (value (\",\" value)*)? \"]\"\n"
     "string ::= \"\\\"\" ([^\"\\\\\\x00-\\x1F] | \"\\\\\" [\"\\\\bfnrt/])* \"\\\"\"\n"
     "number ::= \"-\"? (\"0\" | [1-9][0-9]*) (\".\" [0-9]+)?"},
    {"records, drawn and forced",
     "root ::= \"[\" record (\", \" record)*\n"
     "record ::= \"{\\\"name\\\": \" string \", \\\"age\\\": \" [1-9][0-9]? \", \\\"email\\\": \" "
     "string \", \\\"is_active\\\": \" (\"true\" | \"false\") \"}\"\n"
     "string ::= \"\\\"\" [^\"\\\\\\x00-\\x1F]{1,20} \"\\\"\""},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

struct bench {
    struct model *model;
    struct tokenizer *tokenizer;
    struct engine *engine;
    size_t n_streams, n_tokens, n_rounds;
    unsigned n_threads;
    struct grammar *grammars[SHAPES];
    double rates[SHAPES][ROUNDS_MOST];
    double cpu[SHAPES][ROUNDS_MOST]; /* ms of processor time a token */
    uint64_t n_forced[SHAPES];
};

static void check(enum status status, const struct error *err)
{
    if (status == STATUS_OK)
        return;
    fprintf(stderr, "bench_guided: %s\n", err->text);
    exit(1);
}

static void open_engine(struct bench *b, const char *path)
{
    struct error err;
    struct gguf *gguf;
    struct cpu cpu;
    cpu_detect(&cpu);
    check(gguf_map(&gguf, path, &err), &err);
    check(model_load(&b->model, gguf, 1024, 1, &err), &err);
    check(tokenizer_create(&b->tokenizer, gguf, &err), &err);
    gguf_close(gguf);
    struct engine_options options = {.n_threads = b->n_threads,
                                     .kv_type = KV_F16,
                                     .kv_contexts = b->n_streams,
                                     .step_tokens = 512,
                                     .max_batch = b->n_streams,
                                     .max_queue = b->n_streams};
    check(kernels_select(&options.kernels, KERNELS_AUTO, &cpu, &err), &err);
    check(engine_create(&b->engine, b->model, b->tokenizer, &cpu, &options, &err), &err);
    const struct vocabulary *v;
    check(engine_vocabulary(b->engine, &v, &err), &err);
    for (int i = 0; i < SHAPES; i++)
        if (shapes[i].gbnf != NULL)
            check(grammar_compile(&b->grammars[i], GRAMMAR_GBNF, shapes[i].gbnf,
                                  strlen(shapes[i].gbnf), v, &grammar_limits_default, &err),
                  &err);
}

static struct job *make_job(const struct bench *b, struct grammar *grammar, uint64_t seed)
{
    enum { PROMPT = 16 };
    const struct job_size size = {.n_prompt = PROMPT,
                                  .max_tokens = b->n_tokens,
                                  .max_piece = tokenizer_max_piece(b->tokenizer),
                                  .grammar = grammar};
    struct job *job;
    struct error err;
    check(job_create(&job, &size, &err), &err);
    assert(b->model != NULL);
    for (int i = 0; i < PROMPT; i++)
        job_prompt(job)[i] = (int32_t)(noise() % b->model->shape.n_vocab);
    job->ignore_eos = true;
    job->sampling.temperature = job->sampling.top_p = job->sampling.typical_p = 1;
    job->sampling.repetition_penalty = 1;
    job->sampling.seed = seed;
    return job;
}

/* Of all threads; with --threads 1 none of it is waiting. */
static double cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

/* All streams at once; tokens a second from the first token of any to the last of all. */
static double run(struct bench *b, struct grammar *grammar, uint64_t seed)
{
    struct job *jobs[STREAMS_MOST];
    struct error err;
    uint64_t retry_ms, first = UINT64_MAX, last = 0;
    double n = 0;
    for (size_t i = 0; i < b->n_streams; i++) {
        jobs[i] = make_job(b, grammar, seed * STREAMS_MOST + i);
        jobs[i]->arrived_ns = clock_now_ns();
        check(engine_submit(b->engine, jobs[i], &retry_ms, &err), &err);
    }
    for (size_t i = 0; i < b->n_streams; i++) {
        engine_wait(b->engine, jobs[i], UINT32_MAX - 1);
        if (jobs[i]->finish == FINISH_ERROR)
            check(jobs[i]->error.status, &jobs[i]->error);
        first = jobs[i]->read_ns < first ? jobs[i]->read_ns : first;
        last = jobs[i]->last_token_ns > last ? jobs[i]->last_token_ns : last;
        n += (double)jobs[i]->n_tokens;
        job_destroy(jobs[i]);
    }
    return n / ((double)(last - first) * 1e-9);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void print(struct bench *b)
{
    const double n_tokens = (double)(b->n_rounds * b->n_streams * b->n_tokens);
    double free_rate = 0, free_cpu = 0;
    for (int i = 0; i < SHAPES; i++) {
        double *rates = b->rates[i];
        qsort(rates, b->n_rounds, sizeof *rates, by_value);
        qsort(b->cpu[i], b->n_rounds, sizeof *b->cpu[i], by_value);
        const double median = rates[b->n_rounds / 2], cpu = b->cpu[i][b->n_rounds / 2];
        free_rate = i == 0 ? median : free_rate;
        free_cpu = i == 0 ? cpu : free_cpu;
        printf("%-28s %8.1f (%.1f) tokens/s  %5.1f %% of free  %6.3f ms of processors a token  "
               "%5.1f %%  forced %4.1f %%\n",
               shapes[i].name, median, rates[b->n_rounds - 1], 100 * median / free_rate, cpu,
               100 * free_cpu / cpu, 100 * (double)b->n_forced[i] / n_tokens);
    }
}

int main(int argc, char **argv)
{
    static struct bench b = {.n_streams = 8, .n_tokens = 192, .n_rounds = 7};
    const char *path = NULL;
    for (int i = 1; i < argc; i++) {
        size_t n = i + 1 < argc ? strtoul(argv[i + 1], NULL, 10) : 0;
        if (argv[i][0] != '-')
            path = argv[i];
        else if (strcmp(argv[i], "--streams") == 0)
            b.n_streams = n, i++;
        else if (strcmp(argv[i], "--tokens") == 0)
            b.n_tokens = n, i++;
        else if (strcmp(argv[i], "--rounds") == 0)
            b.n_rounds = n, i++;
        else if (strcmp(argv[i], "--threads") == 0)
            b.n_threads = (unsigned)n, i++;
    }
    if (path == NULL || b.n_streams - 1 >= STREAMS_MOST || b.n_rounds - 1 >= ROUNDS_MOST ||
        b.n_tokens == 0) {
        fprintf(stderr, "Usage: bench_guided MODEL.gguf [--streams 8] [--tokens 192] [--rounds 7] "
                        "[--threads 0]\n");
        return 2;
    }
    open_engine(&b, path);
    printf("%s\n%zu streams of %zu tokens, %zu rounds\n", engine_plan(b.engine)->threads_why,
           b.n_streams, b.n_tokens, b.n_rounds);
    for (size_t round = 0; round < b.n_rounds; round++)
        for (int i = 0; i < SHAPES; i++) {
            struct engine_stats before, after;
            engine_stats(b.engine, &before);
            const double begin = cpu_ms();
            b.rates[i][round] = run(&b, b.grammars[i], round);
            b.cpu[i][round] = (cpu_ms() - begin) / (double)(b.n_streams * b.n_tokens);
            engine_stats(b.engine, &after);
            b.n_forced[i] += after.forced_tokens - before.forced_tokens;
        }
    print(&b);
    for (int i = 0; i < SHAPES; i++)
        grammar_release(b.grammars[i]);
    engine_destroy(b.engine);
    tokenizer_destroy(b.tokenizer);
    model_destroy(b.model);
    return 0;
}
