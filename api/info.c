/* info.c - writes /info and /health. Loop thread; allocates nothing. */
#include "api/info.h"

#include "api/json.h"

#include <string.h>

/* `"name":` with what stands before it. */
static void put_name(struct json_writer *w, const char *before, const char *name)
{
    json_raw(w, before);
    json_string(w, name, strlen(name));
    json_raw(w, ":");
}

static void put_text(struct json_writer *w, const char *before, const char *name, const char *text)
{
    put_name(w, before, name);
    json_string(w, text, strlen(text));
}

static void put_count(struct json_writer *w, const char *before, const char *name, uint64_t value)
{
    put_name(w, before, name);
    json_uint(w, value);
}

static void put_model(struct json_writer *w, const struct model *model,
                      const struct tokenizer *tokenizer)
{
    const struct shape *shape = &model->shape;
    put_name(w, "{", "model");
    put_text(w, "{", "name", model->name);
    put_text(w, ",", "architecture", shape->arch);
    put_text(w, ",", "weights", model->weights);
    put_count(w, ",", "parameters", model->n_params);
    put_count(w, ",", "bytes", model->file_bytes);
    put_count(w, ",", "bytes_per_token", model->bytes_per_token);
    put_count(w, ",", "context_train", shape->n_context_train);
    put_count(w, ",", "embedding", shape->n_embd);
    put_count(w, ",", "layers", shape->n_layers);
    put_count(w, ",", "heads", shape->n_heads);
    put_count(w, ",", "kv_heads", shape->n_kv_heads);
    put_count(w, ",", "head_size", shape->head_dim);
    put_count(w, ",", "feed_forward", shape->n_ff);
    put_text(w, ",", "tokenizer", tokenizer_model(tokenizer));
    put_text(w, ",", "pre_tokenizer", tokenizer_pre(tokenizer));
    put_count(w, "},", "context", model->n_context);
    put_count(w, ",", "vocabulary", shape->n_vocab);
}

/* A limit of 0 is none of its own: null. */
static void put_limit(struct json_writer *w, const char *name, uint64_t value)
{
    put_name(w, ",", name);
    if (value == 0)
        json_raw(w, "null");
    else
        json_uint(w, value);
}

static void put_limits(struct json_writer *w, const struct info_limits *limits)
{
    put_name(w, ",", "limits");
    put_count(w, "{", "max_queue", limits->max_queue);
    put_count(w, ",", "max_batch", limits->max_batch);
    put_count(w, ",", "step_tokens", limits->step_tokens);
    put_limit(w, "max_wait_seconds", limits->max_wait_seconds);
    put_limit(w, "max_prompt_tokens", limits->max_prompt_tokens);
    put_limit(w, "max_output_tokens", limits->max_output_tokens);
    put_count(w, ",", "max_stop_strings", JOB_STOPS_MAX);
    put_count(w, ",", "max_logprobs", JOB_LOGPROBS_MAX);
    put_count(w, ",", "max_connections", limits->max_connections);
    put_count(w, ",", "max_header_bytes", limits->max_header_bytes);
    put_count(w, ",", "max_body_bytes", limits->max_body_bytes);
    put_count(w, ",", "max_json_depth", limits->max_json_depth);
    put_count(w, ",", "max_json_nodes", limits->max_json_nodes);
    json_raw(w, "}");
}

static void put_plan(struct json_writer *w, const struct info *info)
{
    const struct engine_plan *plan = info->plan;
    put_text(w, ",", "version", info->version);
    put_text(w, ",", "kernels", info->kernels);
    put_text(w, ",", "cpu", info->cpu->name);
    put_count(w, ",", "threads", plan->n_threads);
    put_count(w, ",", "workers", plan->n_workers);
    put_text(w, ",", "threads_why", plan->threads_why);
    put_name(w, ",", "kv");
    put_text(w, "{", "type", info->kv_type);
    put_count(w, ",", "bytes", plan->kv_bytes);
    put_count(w, ",", "pages", plan->kv_pages);
    put_count(w, ",", "page_bytes", plan->page_bytes);
    put_count(w, ",", "page_positions", KV_PAGE);
    put_count(w, ",", "sequence_pages", plan->sequence_pages);
    put_name(w, ",", "prefix_cache");
    json_bool(w, info->prefix_cache);
    put_text(w, ",", "why", plan->kv_why);
    json_raw(w, "}}");
}

size_t info_write(const struct info *info, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    put_model(&w, info->model, info->tokenizer);
    put_limits(&w, &info->limits);
    put_plan(&w, info);
    return w.full ? 0 : w.n;
}

const char *health_name(enum health health)
{
    static const char *const names[] = {[HEALTH_OK] = "ok",
                                        [HEALTH_LOADING] = "loading",
                                        [HEALTH_DRAINING] = "draining",
                                        [HEALTH_STALLED] = "stalled"};
    return names[health];
}

size_t health_write(const struct health_report *report, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    put_text(&w, "{", "status", health_name(report->health));
    put_count(&w, ",", "running", report->running);
    put_count(&w, ",", "queued", report->queued);
    put_count(&w, ",", "queue_limit", report->queue_limit);
    put_name(&w, ",", "uptime_seconds");
    json_double(&w, report->uptime_seconds, 3);
    json_raw(&w, "}");
    return w.full ? 0 : w.n;
}
