/* model.c - loads a model: walks the table of tensor roles twice, once to count the arena's bytes,
 * once to fill it.
 *
 * Start-up thread only; the model is read-only after. Knows no architecture by name: arch.c
 * has the tables.
 */
#include "model/model.h"

#include "base/cpu.h"
#include "base/utf8.h"
#include "model/loader.h"
#include "model/pack.h"
#include "model/rope.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum status load_role(struct loader *l, const struct tensor_role *role, size_t layer)
{
    const struct gguf_tensor *t = role_find(l->gguf, role, layer);
    if (t == NULL || !role_is_allowed(l->shape, role, layer))
        return STATUS_OK;        /* an optional one: roles_check has seen the others */
    struct model no_model = {0}; /* counting: places are formed, never written */
    struct layer no_layer = {0};
    struct model *model = l->model != NULL ? l->model : &no_model;
    struct layer *layers = l->model != NULL ? model->layers + layer : &no_layer;
    uint8_t *base = role->per_layer ? (uint8_t *)layers : (uint8_t *)model;
    const bool fetches = l->model != NULL && !l->filled;
    enum status status = fetches ? gguf_fetch(l->gguf, t, l->err) : STATUS_OK;
    if (status == STATUS_OK)
        status = loader_take(l, role, layer, t, base);
    if (fetches)
        gguf_release(l->gguf, t);
    return status;
}

/* Whether any layer turns by a rotation. */
static bool is_used(const struct shape *shape, size_t rotation)
{
    bool used = false;
    for (size_t i = 0; i < shape->n_layers; i++)
        used = used || shape->layers[i].rotation == rotation;
    return used;
}

/* The table of a rotation, and its place in the layers that turn by it. The file's factors are of
 * the main one. */
static enum status make_table(struct loader *l, size_t which)
{
    const struct rotation *rotation = &l->shape->rotations[which];
    const size_t n = l->n_context * (rotation->dim / 2);
    float *cos = loader_carve(l, n, sizeof *cos), *sin = loader_carve(l, n, sizeof *sin);
    if (l->model == NULL)
        return STATUS_OK;
    if (cos == NULL || sin == NULL)
        return loader_no_room(l, "the RoPE tables");
    if (!l->filled)
        rope_tables(rotation, which == ROTATION_MAIN ? l->freq_factors : NULL, l->n_context, cos,
                    sin);
    l->model->rope[which] = (struct rope_table){cos, sin, rotation->dim};
    for (size_t i = 0; i < l->shape->n_layers; i++) {
        if (l->shape->layers[i].rotation == which)
            l->model->layers[i].rope = &l->model->rope[which];
    }
    return STATUS_OK;
}

/* Layer by layer, so that what is read together lies together. */
static enum status walk(struct loader *l)
{
    enum status status = STATUS_OK;
    struct layer *layers = loader_carve(l, l->shape->n_layers, sizeof *layers);
    if (l->model != NULL) {
        if (layers == NULL)
            return loader_no_room(l, "the layers");
        l->model->layers = layers;
    }
    for (size_t i = 0; i < n_tensor_roles && status == STATUS_OK; i++) {
        if (!tensor_roles[i].per_layer)
            status = load_role(l, &tensor_roles[i], 0);
    }
    for (size_t layer = 0; layer < l->shape->n_layers; layer++) {
        for (size_t i = 0; i < n_tensor_roles && status == STATUS_OK; i++) {
            if (tensor_roles[i].per_layer)
                status = load_role(l, &tensor_roles[i], layer);
        }
    }
    for (size_t i = 0; i < ROTATIONS && status == STATUS_OK; i++) {
        if (is_used(l->shape, i))
            status = make_table(l, i);
    }
    return status;
}

/* The matrices of a text's vector: both or none, and as wide as the keys say, where they do. */
static enum status read_vector_dense(struct shape *s, const struct gguf *gguf, struct error *err)
{
    static const char *const names[2] = {"dense_2", "dense_3"}, *const ends[2] = {"in", "out"};
    const struct gguf_tensor *t[2];
    char text[96];
    for (size_t i = 0; i < 2; i++) {
        snprintf(text, sizeof text, "%s.weight", names[i]);
        t[i] = gguf_find_tensor(gguf, text);
    }
    if ((t[0] == NULL) != (t[1] == NULL))
        return error_set_param(err, STATUS_FORMAT, t[0] == NULL ? "dense_2.weight" : text,
                               "of the tensors dense_2.weight and dense_3.weight the file has one; "
                               "a vector goes through both, or none");
    s->n_vector_dense = t[0] != NULL ? (size_t)t[0]->ne[1] : 0;
    for (size_t i = 0; i < 4 && t[0] != NULL; i++) {
        const size_t width = i == 0 || i == 3 ? s->n_embd : s->n_vector_dense;
        uint64_t n = width;
        bool found;
        snprintf(text, sizeof text, "%s.%s_feat_%s", s->arch, names[i / 2], ends[i % 2]);
        enum status status = gguf_get_u64(gguf, text, &n, &found, err);
        if (status != STATUS_OK)
            return status;
        if (n != width)
            return error_set_param(err, STATUS_FORMAT, text,
                                   "key '%s' is %llu; by the tensors it must be %zu", text,
                                   (unsigned long long)n, width);
    }
    return STATUS_OK;
}

/* The vocabulary's size is the embedding's number of rows; every other mention of it must agree. */
static enum status read_vocabulary(struct shape *s, const struct gguf *gguf, struct error *err)
{
    static const char embed_name[] = "token_embd.weight", tokens_key[] = "tokenizer.ggml.tokens";
    const struct gguf_tensor *embed = gguf_find_tensor(gguf, embed_name);
    if (embed == NULL)
        return error_set_param(err, STATUS_FORMAT, embed_name,
                               "tensor '%s' is missing; every model needs it", embed_name);
    s->n_vocab = (size_t)embed->ne[1];
    s->tied_head = gguf_find_tensor(gguf, "output.weight") == NULL;
    const struct gguf_tensor *scores = gguf_find_tensor(gguf, "cls.output.weight");
    s->n_scores = scores != NULL ? (size_t)scores->ne[1] : 0;
    if (s->n_scores > s->n_embd)
        return error_set_param(err, STATUS_FORMAT, scores->name,
                               "tensor '%s' gives %zu scores of %zu numbers", scores->name,
                               s->n_scores, s->n_embd);

    char key[96];
    uint64_t n = s->n_vocab;
    bool found;
    snprintf(key, sizeof key, "%s.vocab_size", s->arch);
    enum status status = gguf_get_u64(gguf, key, &n, &found, err);
    if (status != STATUS_OK)
        return status;
    if (n != s->n_vocab)
        return error_set_param(err, STATUS_FORMAT, key,
                               "key '%s' is %llu; the embedding has %zu rows", key,
                               (unsigned long long)n, s->n_vocab);
    const struct gguf_value *tokens;
    if ((status = gguf_get_array(gguf, tokens_key, GGUF_STRING, &tokens, &found, err)) != STATUS_OK)
        return status;
    if (found && tokens->n != s->n_vocab)
        return error_set_param(err, STATUS_FORMAT, tokens_key,
                               "the vocabulary has %zu tokens; the embedding has %zu rows",
                               tokens->n, s->n_vocab);
    return STATUS_OK;
}

enum status model_read_shape(struct shape *out, const struct gguf *gguf, struct error *err)
{
    const struct arch *arch;
    struct shape shape;
    enum status status;
    if ((status = arch_of(gguf, &arch, err)) != STATUS_OK ||
        (status = arch_read_keys(&shape, gguf, arch, err)) != STATUS_OK ||
        (status = read_vocabulary(&shape, gguf, err)) != STATUS_OK ||
        (status = read_vector_dense(&shape, gguf, err)) != STATUS_OK ||
        (status = roles_check(gguf, &shape, err)) != STATUS_OK)
        return status;
    *out = shape;
    return STATUS_OK;
}

static enum status context_too_long(const struct shape *shape, size_t n_context, struct error *err)
{
    return error_set_param(err, STATUS_INVALID, "context",
                           "a context of %zu is more than the model's %zu positions", n_context,
                           shape->n_context_train);
}

enum status model_memory(const struct gguf *gguf, const struct shape *shape, size_t n_context,
                         size_t *out, struct error *err)
{
    struct loader l = {.gguf = gguf, .shape = shape, .n_context = n_context, .err = err};
    if (n_context > shape->n_context_train)
        return context_too_long(shape, n_context, err);
    enum status status = walk(&l);
    if (status == STATUS_OK && l.overflow)
        status = error_set(err, STATUS_TOO_LARGE,
                           "the model's size in bytes is beyond what fits an address");
    if (status == STATUS_OK)
        *out = l.n_bytes;
    return status;
}

static void fill_name(struct model *model, const struct gguf *gguf)
{
    struct gguf_string name = {model->shape.arch, strlen(model->shape.arch)};
    bool found;
    gguf_get_string(gguf, "general.name", &name, &found, NULL);
    utf8_printable(model->name, sizeof model->name, name.bytes, name.n);
    if (model->name[0] == '\0')
        snprintf(model->name, sizeof model->name, "%s", model->shape.arch);
}

/* Counts the parameters, and names the type that most of them have. */
static void count_params(struct model *model, const struct gguf *gguf)
{
    size_t n_of[WEIGHT_TYPES] = {0}, most = 0;
    for (size_t i = 0; i < gguf_n_tensors(gguf); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(gguf, i);
        const struct weight_info *info = &weight_infos[weight_type_of_ggml(t->type)];
        size_t n = t->n_bytes / info->block_bytes * info->block_values;
        model->n_params += n;
        n_of[weight_type_of_ggml(t->type)] += n;
    }
    for (size_t i = 1; i < WEIGHT_TYPES; i++)
        most = n_of[i] > n_of[most] ? i : most;
    snprintf(model->weights, sizeof model->weights, "%s", weight_infos[most].name);
}

static enum status make_arena(struct model *model, const struct gguf *gguf, struct error *err)
{
    size_t n_bytes;
    enum status status = model_memory(gguf, &model->shape, model->n_context, &n_bytes, err);
    if (status != STATUS_OK)
        return status;
    /* The system would promise more than it has and end the process when the promise falls due. */
    size_t allowed = cpu_memory_bytes();
    if (allowed != 0 && n_bytes > allowed)
        return error_set(err, STATUS_NO_MEMORY,
                         "the model needs %zu bytes of memory; this process may use %zu", n_bytes,
                         allowed);
    return arena_init(&model->arena, n_bytes, "the model's weights", err);
}

/* The head when it is the embedding; then what a decode step reads besides the matrices. */
static void finish(struct model *model)
{
    const struct matrix *embed = &model->embed;
    if (model->shape.tied_head)
        model->output.w = *embed;
    else { /* the embedding was counted whole */
        const size_t n_bytes = matrix_packed_bytes(embed->type, embed->n_rows, embed->n_cols);
        model->weight_bytes -= n_bytes;
        model->bytes_per_token -= n_bytes;
    }
    model->bytes_per_token += weight_bytes(embed->type, embed->n_cols); /* the token's row of it */
}

/* From an earlier start; where that cannot be, model->pack_text says why. */
static bool read_packed(struct model *model, struct team *team)
{
    struct error err;
    const enum status status = pack_read(model->pack, &model->arena, team, &err);
    if (status != STATUS_OK && status != STATUS_UNABLE)
        snprintf(model->pack_text, sizeof model->pack_text, "%s", err.text);
    return status == STATUS_OK;
}

/* Fills the arena. */
static enum status load_tensors(struct model *model, const struct gguf *gguf, unsigned n_threads,
                                struct error *err)
{
    struct loader l = {.gguf = gguf,
                       .shape = &model->shape,
                       .n_context = model->n_context,
                       .model = model,
                       .err = err};
    enum status status = team_create(&l.team, n_threads, 1, NULL, err);
    if (status == STATUS_OK && model->pack != NULL)
        l.filled = model->from_pack = read_packed(model, l.team);
    if (status == STATUS_OK)
        status = walk(&l);
    team_destroy(l.team);
    return status;
}

/* The layers stand first in the arena: they hold addresses. */
static enum status choose_pack(struct model *model, const char *folder, const struct gguf *gguf,
                               struct error *err)
{
    const size_t first = (model->shape.n_layers * sizeof(struct layer) + ARENA_ALIGN - 1) /
                         ARENA_ALIGN * ARENA_ALIGN;
    model->pack = malloc(sizeof *model->pack);
    if (model->pack == NULL)
        return error_no_memory(err, sizeof *model->pack, "the place of packed weights");
    if (!pack_of(model->pack, folder, gguf, model->n_context, first, model->arena.n_bytes)) {
        free(model->pack);
        model->pack = NULL;
    }
    return STATUS_OK;
}

enum status model_load(struct model **out, const struct gguf *gguf, size_t n_context,
                       unsigned n_threads, struct error *err)
{
    return model_load_packed(out, gguf, n_context, n_threads, NULL, err);
}

enum status model_load_packed(struct model **out, const struct gguf *gguf, size_t n_context,
                              unsigned n_threads, const char *pack_folder, struct error *err)
{
    struct shape shape;
    enum status status = model_read_shape(&shape, gguf, err);
    if (status != STATUS_OK)
        return status;
    if (n_context > shape.n_context_train)
        return context_too_long(&shape, n_context, err);
    if (n_context == 0)
        n_context = shape.n_context_train < MODEL_DEFAULT_CONTEXT ? shape.n_context_train
                                                                  : MODEL_DEFAULT_CONTEXT;

    struct model *model = calloc(1, sizeof *model);
    if (model == NULL)
        return error_no_memory(err, sizeof *model, "the model");
    model->shape = shape;
    model->n_context = n_context;
    model->file_bytes = gguf_size(gguf);
    fill_name(model, gguf);
    count_params(model, gguf);
    if ((status = make_arena(model, gguf, err)) != STATUS_OK)
        goto fail;
    if (pack_folder != NULL && (status = choose_pack(model, pack_folder, gguf, err)) != STATUS_OK)
        goto fail;
    if ((status = load_tensors(model, gguf, n_threads, err)) != STATUS_OK)
        goto fail;
    finish(model);
    *out = model;
    return STATUS_OK;
fail:
    model_destroy(model);
    return status;
}

void model_destroy(struct model *model)
{
    if (model == NULL)
        return;
    arena_free(&model->arena);
    free(model->pack);
    free(model);
}

enum status model_keep(const struct model *model, uint64_t most_bytes, const _Atomic bool *stop,
                       struct error *err)
{
    return pack_write(model->pack, &model->arena, most_bytes, stop, err);
}
