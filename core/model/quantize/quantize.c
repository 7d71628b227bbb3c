/* quantize.c - plans each tensor's type, then writes header and tensors one by one. One calling
 * thread and its team. */
#include "model/quantize/quantize.h"

#include "base/checked.h"
#include "base/cpu.h"
#include "base/team.h"
#include "gguf/gguf.h"
#include "gguf/writer.h"
#include "math/encode/encode.h"
#include "model/quantize/mix.h"
#include "model/weights.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { QUANTIZATION_VERSION = 2, CHUNKS = 64 };

struct planned {
    const struct gguf_tensor *tensor;
    enum weight_type from, to;
    size_t n_bytes; /* of its data in the new file */
    long layer;     /* -1: of no layer */
};

struct quantizing {
    const struct quantize_job *job;
    const struct mix *mix;
    struct gguf *gguf;
    struct planned *plan; /* [n_tensors], in the order of the new file; owned */
    size_t n_tensors;
    struct team *team;
    float *rows; /* [n_threads][row_values]: one row each; owned */
    size_t row_values;
    uint8_t *data; /* the largest tensor's new bytes; owned */
    FILE *file;
    struct gguf_writer writer; /* through file: its errors are looked at after each tensor */
    bool nameless;             /* the unfinished file */
    char path[4096]; /* what it is called until it is whole; "" when there is nothing to remove */
    /* of the tensor that the team works on */
    const struct planned *current;
    bool too_large;
    struct quantize_result result;
};

/* --- the plan --- */

/* Tensors of no layer first, then layer by layer, each in the order of names. */
static int by_place(const void *a, const void *b)
{
    const struct planned *x = a, *y = b;
    if (x->layer != y->layer)
        return x->layer < y->layer ? -1 : 1;
    return strcmp(x->tensor->name, y->tensor->name);
}

static enum status plan_tensors(struct quantizing *w, struct error *err)
{
    w->n_tensors = gguf_n_tensors(w->gguf);
    w->plan = calloc(w->n_tensors + 1, sizeof *w->plan);
    if (!w->plan)
        return error_no_memory(err, w->n_tensors * sizeof *w->plan, "the list of tensors");
    struct mix_model model;
    mix_model_read(&model, w->gguf);
    for (size_t i = 0; i < w->n_tensors; i++) {
        const struct gguf_tensor *tensor = gguf_tensor_at(w->gguf, i);
        long layer =
            strncmp(tensor->name, "blk.", 4) == 0 ? strtol(tensor->name + 4, NULL, 10) : -1;
        w->plan[i] = (struct planned){
            .tensor = tensor, .from = weight_type_of_ggml(tensor->type), .layer = layer};
    }
    qsort(w->plan, w->n_tensors, sizeof *w->plan, by_place);
    for (size_t i = 0; i < w->n_tensors; i++) {
        struct planned *p = &w->plan[i];
        p->to = p->from;
        if (mix_rounds(p->tensor)) {
            bool fallback;
            p->to = mix_choose(w->mix, &model, p->tensor, &fallback);
            w->result.n_fallback += fallback;
        }
        size_t n =
            (size_t)(p->tensor->ne[0] * p->tensor->ne[1] * p->tensor->ne[2] * p->tensor->ne[3]);
        p->n_bytes = p->to == p->from ? p->tensor->n_bytes : weight_bytes(p->to, n);
        *(p->to == p->from ? &w->result.n_kept : &w->result.n_quantized) += 1;
        if (p->tensor->ne[0] > w->row_values)
            w->row_values = (size_t)p->tensor->ne[0];
    }
    return STATUS_OK;
}

/* --- the header --- */

static bool is_replaced(const struct gguf_value *v)
{
    /* Those of a split model have no successor: it becomes one file. */
    static const char *const keys[] = {"general.quantization_version", "general.file_type",
                                       "split.no", "split.count", "split.tensors.count"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (v->key.n == strlen(keys[i]) && memcmp(v->key.bytes, keys[i], v->key.n) == 0)
            return true;
    }
    return false;
}

static void put_header(struct quantizing *w)
{
    size_t n_values = 2;
    for (size_t i = 0; i < gguf_n_values(w->gguf); i++)
        n_values += !is_replaced(gguf_value_at(w->gguf, i));
    gguf_writer_begin(&w->writer, w->file, gguf_alignment(w->gguf), w->n_tensors, n_values);
    for (size_t i = 0; i < gguf_n_values(w->gguf); i++) {
        if (!is_replaced(gguf_value_at(w->gguf, i)))
            gguf_write_value(&w->writer, gguf_value_at(w->gguf, i));
    }
    gguf_write_u32(&w->writer, "general.quantization_version", QUANTIZATION_VERSION);
    gguf_write_u32(&w->writer, "general.file_type", mix_file_type(w->mix));
    for (size_t i = 0; i < w->n_tensors; i++) {
        const struct planned *p = &w->plan[i];
        gguf_write_tensor(&w->writer, p->tensor, weight_infos[p->to].ggml_id, p->n_bytes);
    }
    gguf_write_header_end(&w->writer);
}

/* --- the tensors --- */

/* A chunk is a run of the tensor's rows. */
static void convert_rows(void *arg, size_t phase, size_t chunk, unsigned rank)
{
    struct quantizing *w = arg;
    const struct planned *p = w->current;
    size_t n_cols = (size_t)p->tensor->ne[0];
    size_t n_rows = (size_t)(p->tensor->ne[1] * p->tensor->ne[2] * p->tensor->ne[3]);
    size_t from_bytes = weight_bytes(p->from, n_cols), to_bytes = weight_bytes(p->to, n_cols);
    float *row = w->rows + rank * w->row_values;
    (void)phase;
    for (size_t r = n_rows * chunk / CHUNKS; r < n_rows * (chunk + 1) / CHUNKS; r++) {
        weight_to_f32(p->from, p->tensor->data + r * from_bytes, n_cols, row);
        weight_from_f32(p->to, row, n_cols, w->data + r * to_bytes);
        if (!weight_all_finite(p->to, w->data + r * to_bytes,
                               n_cols)) { /* a half's range ends at 65504, of scales too */
            __atomic_store_n(&w->too_large, true, __ATOMIC_RELAXED);
            return;
        }
    }
}

static enum status put_tensor(struct quantizing *w, const struct planned *p, struct error *err)
{
    enum status status = gguf_fetch(w->gguf, p->tensor, err);
    if (status != STATUS_OK)
        return status;
    if ((status = weights_check_tensor(p->tensor, err)) != STATUS_OK)
        return status;
    if (p->to == p->from) {
        gguf_write_data(&w->writer, p->tensor->data, p->n_bytes);
    } else {
        w->current = p;
        team_run(w->team, &(struct team_work){convert_rows, w, (const uint32_t[]){CHUNKS}, 1});
        if (w->too_large)
            return error_set_param(err, STATUS_FORMAT, p->tensor->name,
                                   "tensor '%s' holds a value that is too large for %s",
                                   p->tensor->name, weight_infos[p->to].name);
        gguf_write_data(&w->writer, w->data, p->n_bytes);
    }
    gguf_release(w->gguf, p->tensor);
    return STATUS_OK;
}

static enum status put_tensors(struct quantizing *w, struct error *err)
{
    uint64_t n_total = 0, n_done = 0;
    for (size_t i = 0; i < w->n_tensors; i++)
        n_total += w->plan[i].tensor->n_bytes;
    for (size_t i = 0; i < w->n_tensors; i++) {
        const struct planned *p = &w->plan[i];
        enum status status = put_tensor(w, p, err);
        if (status != STATUS_OK)
            return status;
        if (ferror(w->file))
            return error_errno(err, errno, "cannot write %s", w->job->out);
        n_done += p->tensor->n_bytes;
        if (w->job->progress)
            w->job->progress(w->job->ctx, p->tensor->name, n_done, n_total);
    }
    return STATUS_OK;
}

/* --- the file --- */

static enum status check_out(const struct quantize_job *job, struct error *err)
{
    struct stat in, out;
    if (stat(job->out, &out) != 0)
        return STATUS_OK;
    if (stat(job->in, &in) == 0 && in.st_dev == out.st_dev && in.st_ino == out.st_ino)
        return error_set(err, STATUS_INVALID, "%s is the file being read: give another name",
                         job->out);
    if (!S_ISREG(out.st_mode)) /* a device or folder is not replaced by a file, by force or not */
        return error_set(err, STATUS_INVALID, "%s exists and is not a regular file", job->out);
    if (!job->force)
        return error_set(err, STATUS_INVALID, "%s exists; --force overwrites it", job->out);
    return STATUS_OK;
}

static enum status take_memory(struct quantizing *w, struct error *err)
{
    size_t most = 1, both = 0, n_rows_bytes = 0, allowed = cpu_memory_bytes();
    for (size_t i = 0; i < w->n_tensors; i++) {
        const struct planned *p = &w->plan[i];
        size_t n = p->to == p->from ? 0 : p->n_bytes; /* what stays is written from where it is */
        most = n > most ? n : most;
        both = p->tensor->n_bytes > both ? p->tensor->n_bytes : both;
    }
    if (!checked_add(both, most, &both) || (allowed != 0 && both > allowed))
        return error_set(err, STATUS_NO_MEMORY,
                         "the largest tensor, old and new, takes %zu bytes of memory; this process "
                         "may use %zu",
                         both, allowed);
    if (!checked_mul(w->row_values + 1, w->job->n_threads * sizeof(float), &n_rows_bytes))
        return error_no_memory(err, most, "a row of each thread");
    w->data = malloc(most);
    w->rows = malloc(n_rows_bytes);
    if (!w->data || !w->rows)
        return error_no_memory(err, most + n_rows_bytes, "the largest tensor");
    return team_create(&w->team, w->job->n_threads, 1, NULL, err);
}

/* An unfinished file without a name where the file system has such, so that a process that is
 * killed leaves nothing; else one beside the new file. */
static enum status open_out(struct quantizing *w, struct error *err)
{
    char folder[sizeof w->path];
    const char *slash = strrchr(w->job->out, '/');
    int n = snprintf(w->path, sizeof w->path, "%s.part-%ld", w->job->out, (long)getpid());
    if (n < 0 || (size_t)n >= sizeof w->path) {
        w->path[0] = 0;
        return error_set(err, STATUS_INVALID, "the name of the new file is too long");
    }
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - w->job->out) + 1 : 1,
             slash ? w->job->out : ".");
    int fd = open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
    w->nameless = fd >= 0;
    if (fd < 0)
        fd = open(w->path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
    if (fd >= 0)
        w->file = fdopen(fd, "wb");
    if (w->file)
        return STATUS_OK;
    enum status status = error_errno(err, errno, "cannot create %s", w->job->out);
    if (fd >= 0)
        close(fd);
    else
        w->path[0] = 0;
    return status;
}

/* Gives the file its name. Without force another file of that name stays, made meanwhile or not. */
static enum status name_out(struct quantizing *w, struct error *err)
{
    const char *out = w->job->out;
    char self[64];
    int failed = 0;
    if (w->nameless) {
        snprintf(self, sizeof self, "/proc/self/fd/%d", fileno(w->file));
        failed = linkat(AT_FDCWD, self, AT_FDCWD, w->job->force ? w->path : out, AT_SYMLINK_FOLLOW);
        w->nameless = failed != 0;
    } else if (!w->job->force) {
        failed = link(w->path, out);
    }
    if (failed == 0 && w->job->force)
        failed = rename(w->path, out);
    return failed == 0 ? STATUS_OK : error_errno(err, errno, "cannot name the new file %s", out);
}

static enum status write_file(struct quantizing *w, struct error *err)
{
    enum status status = open_out(w, err);
    if (status != STATUS_OK)
        return status;
    put_header(w);
    if ((status = put_tensors(w, err)) != STATUS_OK)
        return status;
    w->result.in_bytes = gguf_size(w->gguf);
    w->result.out_bytes = w->writer.n_written;
    if (fflush(w->file) != 0 || fsync(fileno(w->file)) != 0)
        return error_errno(err, errno, "cannot write %s", w->job->out);
    return name_out(w, err);
}

enum status quantize_file(const struct quantize_job *job, struct quantize_result *out,
                          struct error *err)
{
    struct quantizing w = {.job = job, .mix = mix_find(job->type)};
    if (!w.mix)
        return error_set_param(err, STATUS_INVALID, "TYPE",
                               "'%s' is not a weight type; the types are: %s", job->type,
                               mix_names());
    enum status status = check_out(job, err);
    if (status == STATUS_OK)
        status = gguf_map(&w.gguf, job->in, err);
    if (status == STATUS_OK)
        status = plan_tensors(&w, err);
    if (status == STATUS_OK)
        status = take_memory(&w, err);
    if (status == STATUS_OK)
        status = write_file(&w, err);
    if (status == STATUS_OK)
        *out = w.result;
    if (w.file)
        fclose(w.file);
    if (w.path[0] && !w.nameless)
        unlink(w.path); /* unfinished, or under its new name as well */
    team_destroy(w.team);
    gguf_close(w.gguf);
    free(w.plan);
    free(w.data);
    free(w.rows);
    return status;
}
