/* token_logits.c - what a model gives for a text of token ids, for comparisons with other programs.
 *
 * usage: token_logits MODEL.gguf CONTEXT [CHUNK THREADS KERNELS] < ids, as text. Writes floats:
 * after each token the logits [n_vocab]; of an encoder the hidden states [n_embd] after its last
 * norm. CHUNK: tokens of a step, but an encoder's go together; 0: all. KERNELS: 1 is the reference,
 * 0 the machine's best. Keys and values in F32.
 */
#include "forward/forward.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAX_TOKENS = 4096 };

struct way {
    size_t chunk;
    unsigned n_threads;
    enum kernel_level level;
};

struct rig {
    struct gguf *gguf;
    struct model *model;
    struct kv *kv;
    struct team *team;
    struct forward *forward;
};

static enum status rig_open(struct rig *r, const char *path, size_t n_context, size_t n_tokens,
                            const struct way *way, struct error *err)
{
    static struct cpu cpu;
    const struct kernels *kernels;
    enum status status;
    cpu_detect(&cpu);
    cpu_set_float_mode();
    if ((status = gguf_map(&r->gguf, path, err)) != STATUS_OK ||
        (status = model_load(&r->model, r->gguf, n_context, 1, err)) != STATUS_OK ||
        (status = kernels_select(&kernels, way->level, &cpu, err)) != STATUS_OK)
        return status;
    const size_t budget = kv_bytes_for(&r->model->shape, KV_F32, n_tokens, 2);
    if ((status = kv_create(&r->kv, r->model, KV_F32, budget, 1, false, err)) != STATUS_OK ||
        (status = team_create(&r->team, way->n_threads, forward_max_phases(r->model),
                              cpu_set_float_mode, err)) != STATUS_OK)
        return status;
    return forward_create(&r->forward, r->model, kernels, r->kv, r->team, n_tokens, n_tokens, err);
}

static void rig_close(struct rig *r)
{
    forward_destroy(r->forward);
    team_destroy(r->team);
    kv_destroy(r->kv);
    model_destroy(r->model);
    gguf_close(r->gguf);
}

/* In steps as large as windows and states allow, and the chunk. */
static bool write_all(struct rig *r, const int32_t *tokens, size_t n, size_t chunk)
{
    static struct row rows[MAX_TOKENS];
    const struct shape *s = &r->model->shape;
    struct kv_seq seq = {0};
    size_t n_cached, width = s->encoder ? s->n_embd : s->n_vocab;
    bool good = kv_begin(r->kv, &seq, 0, 0, tokens, n, n, &n_cached);
    for (size_t at = 0, room; good && at < n; at += room) {
        room = s->encoder ? n : kv_room(r->kv, &seq, n - at < chunk ? n - at : chunk);
        good = kv_extend(r->kv, &seq, room);
        for (size_t i = 0; i < room; i++)
            rows[i] = (struct row){.token = tokens[at + i],
                                   .position = (uint32_t)(at + i),
                                   .seq = &seq,
                                   .length = s->encoder ? (uint32_t)n : 0,
                                   .wants_vector = s->encoder,
                                   .wants_logits = !s->encoder};
        if (good)
            forward_run(r->forward, rows, room);
        for (size_t i = 0; good && i < room; i++) {
            const float *x =
                s->encoder ? forward_vector(r->forward, i) : forward_logits(r->forward, i);
            good = fwrite(x, sizeof *x, width, stdout) == width;
        }
        if (good)
            kv_commit(r->kv, &seq, tokens, at + room);
    }
    kv_end(r->kv, &seq);
    return good;
}

int main(int argc, char **argv)
{
    static int32_t tokens[MAX_TOKENS];
    struct rig rig = {0};
    struct error err = {0};
    size_t n = 0;
    if (argc != 3 && argc != 6) {
        fputs("usage: token_logits MODEL.gguf CONTEXT [CHUNK THREADS KERNELS] < ids\n", stderr);
        return 2;
    }
    struct way way = {0, 1, KERNELS_AUTO};
    if (argc == 6)
        way = (struct way){strtoul(argv[3], NULL, 10), (unsigned)strtoul(argv[4], NULL, 10),
                           strtoul(argv[5], NULL, 10) == 1 ? KERNELS_REF : KERNELS_AUTO};
    if (way.chunk == 0)
        way.chunk = MAX_TOKENS;
    while (n < MAX_TOKENS && scanf("%d", &tokens[n]) == 1)
        n++;
    bool good =
        n > 0 && rig_open(&rig, argv[1], strtoul(argv[2], NULL, 10), n, &way, &err) == STATUS_OK;
    for (size_t i = 0; good && i < n; i++)
        good = tokens[i] >= 0 && (size_t)tokens[i] < rig.model->shape.n_vocab;
    if (good)
        good = write_all(&rig, tokens, n, way.chunk);
    if (!good)
        fprintf(stderr, "%s\n", err.text[0] != '\0' ? err.text : "these tokens cannot be computed");
    rig_close(&rig);
    return good ? 0 : 1;
}
