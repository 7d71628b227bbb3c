/* weights.c - looks for rows whose values are not all finite. See weights.h. */
#include "model/weights.h"

#include "base/team.h"
#include "math/quant.h"

#include <stdatomic.h>

enum { CHUNKS = 8 }; /* of a tensor for each thread */

/* One tensor's look, shared by the team. */
struct weights_look {
    const uint8_t *data;
    enum weight_type type;
    size_t n_cols, n_rows, row_bytes;
    uint32_t n_chunks;
    _Atomic size_t bad_row; /* the first found; n_rows: none */
};

static void look_at(struct weights_look *look, const struct gguf_tensor *t, uint32_t n_chunks)
{
    look->data = t->data;
    look->type = weight_type_of_ggml(t->type);
    look->n_cols = (size_t)t->ne[0];
    look->n_rows = (size_t)(t->ne[1] * t->ne[2] * t->ne[3]);
    look->row_bytes = weight_bytes(look->type, look->n_cols);
    look->n_chunks = look->n_rows < n_chunks ? (uint32_t)look->n_rows : n_chunks;
    look->bad_row = look->n_rows;
}

static void look_at_chunk(void *arg, size_t phase, size_t chunk, unsigned rank)
{
    struct weights_look *look = arg;
    (void)phase, (void)rank;
    size_t r = look->n_rows * chunk / look->n_chunks;
    size_t end = look->n_rows * (chunk + 1) / look->n_chunks;
    while (r < end && weight_all_finite(look->type, look->data + r * look->row_bytes, look->n_cols))
        r++;
    size_t found = look->bad_row;
    while (r < end && r < found && !atomic_compare_exchange_weak(&look->bad_row, &found, r))
        continue;
}

enum status weights_refuse(const struct gguf_tensor *t, size_t row, struct error *err)
{
    enum weight_type type = weight_type_of_ggml(t->type);
    if (t->n_dims > 1 || weight_infos[type].block_values > 1)
        return error_set_param(err, STATUS_FORMAT, t->name,
                               "tensor '%s': row %zu holds a value that is not a finite number",
                               t->name, row);
    size_t i = 0;
    while (i + 1 < t->ne[0] && weight_all_finite(type, t->data + weight_bytes(type, i), 1))
        i++;
    return error_set_param(err, STATUS_FORMAT, t->name,
                           "tensor '%s': value %zu is not a finite number", t->name, i);
}

enum status weights_check_tensor(const struct gguf_tensor *t, struct error *err)
{
    struct weights_look look;
    look_at(&look, t, 1);
    look_at_chunk(&look, 0, 0, 0);
    return look.bad_row < look.n_rows ? weights_refuse(t, look.bad_row, err) : STATUS_OK;
}

static enum status check_by_team(const struct gguf *gguf, struct team *team,
                                 const struct gguf_tensor *t, struct error *err)
{
    struct weights_look look;
    enum status status = gguf_fetch(gguf, t, err);
    if (status != STATUS_OK)
        return status;
    look_at(&look, t, CHUNKS * team_size(team));
    team_run(team,
             &(struct team_work){
                 .fn = look_at_chunk, .arg = &look, .n_chunks = &look.n_chunks, .n_phases = 1});
    if (look.bad_row < look.n_rows)
        status = weights_refuse(t, look.bad_row, err);
    gguf_release(gguf, t);
    return status;
}

enum status weights_check(const struct gguf *gguf, unsigned n_threads, weights_progress *progress,
                          void *ctx, struct error *err)
{
    struct team *team = NULL;
    uint64_t n_total = 0, n_done = 0;
    enum status status = team_create(&team, n_threads, 1, NULL, err);
    for (size_t i = 0; i < gguf_n_tensors(gguf); i++)
        n_total += gguf_tensor_at(gguf, i)->n_bytes;
    for (size_t i = 0; i < gguf_n_tensors(gguf) && status == STATUS_OK; i++) {
        const struct gguf_tensor *t = gguf_tensor_at(gguf, i);
        status = check_by_team(gguf, team, t, err);
        n_done += t->n_bytes;
        if (status == STATUS_OK && progress != NULL)
            progress(ctx, t->name, n_done, n_total);
    }
    team_destroy(team);
    return status;
}

size_t weights_main_type(const struct gguf *gguf)
{
    double n_of[WEIGHT_TYPES] = {0};
    size_t most = WEIGHT_TYPES;
    for (size_t i = 0; i < gguf_n_tensors(gguf); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(gguf, i);
        enum weight_type type = weight_type_of_ggml(t->type);
        if (t->n_dims >= 2 && (size_t)type < WEIGHT_TYPES)
            n_of[type] += (double)t->n_bytes / (double)weight_infos[type].block_bytes *
                          (double)weight_infos[type].block_values;
    }
    for (size_t type = 0; type < WEIGHT_TYPES; type++)
        if (n_of[type] > (most < WEIGHT_TYPES ? n_of[most] : 0))
            most = type;
    return most;
}
