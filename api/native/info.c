/* info.c - writes /info and /health. Loop thread; allocates nothing. */
#include "api/native/info.h"

#include "api/json/json.h"
#include "base/utf8.h"

#include <string.h>

/* The tokens that end a generation. */
static void put_ends(struct json_writer *w, const struct tokenizer *tokenizer)
{
    const int32_t *ids;
    size_t n = tokenizer_ends(tokenizer, &ids);
    json_name(w, ",", "end_tokens");
    json_raw(w, "[");
    for (size_t i = 0; i < n; i++) {
        struct gguf_string entry = tokenizer_entry(tokenizer, ids[i]);
        char text[64];
        utf8_printable(text, sizeof text, entry.bytes, entry.n);
        json_name_uint(w, i > 0 ? ",{" : "{", "id", (uint64_t)ids[i]);
        json_name_text(w, ",", "text", text);
        json_name_bool(w, ",", "by_text", tokenizer_is_end_by_text(tokenizer, ids[i]));
        json_raw(w, "}");
    }
    json_raw(w, "]");
}

static void put_model(struct json_writer *w, const struct info *info)
{
    const struct model *model = info->model;
    const struct tokenizer *tokenizer = info->tokenizer;
    const struct shape *shape = &model->shape;
    json_name(w, "{", "model");
    json_name_text(w, "{", "name", info->names[0]);
    json_name(w, ",", "aliases");
    json_raw(w, "[");
    for (size_t i = 1; i < info->n_names; i++) {
        json_raw(w, i > 1 ? "," : "");
        json_string(w, info->names[i], strlen(info->names[i]));
    }
    json_raw(w, "]");
    json_name_text(w, ",", "title", model->name);
    json_name_text(w, ",", "architecture", shape->arch);
    json_name_text(w, ",", "weights", model->weights);
    json_name_uint(w, ",", "parameters", model->n_params);
    json_name_uint(w, ",", "bytes", model->file_bytes);
    json_name_uint(w, ",", "bytes_per_token", model->bytes_per_token);
    json_name_uint(w, ",", "context_train", shape->n_context_train);
    json_name_uint(w, ",", "embedding", shape->n_embd);
    json_name_uint(w, ",", "layers", shape->n_layers);
    json_name_uint(w, ",", "heads", shape->n_heads);
    json_name_uint(w, ",", "kv_heads", shape->n_kv_heads);
    json_name_uint(w, ",", "head_size", shape->head_dim);
    json_name_uint(w, ",", "feed_forward", shape->n_ff);
    if (shape->routing.n_experts > 0) {
        json_name_uint(w, ",", "experts", shape->routing.n_experts);
        json_name_uint(w, ",", "experts_used", shape->routing.n_used);
        json_name_uint(w, ",", "expert_feed_forward", shape->n_ff_expert);
        json_name_uint(w, ",", "shared_feed_forward", shape->n_ff_shared);
    }
    json_name_text(w, ",", "tokenizer", tokenizer_model(tokenizer));
    json_name_text(w, ",", "pre_tokenizer", tokenizer_pre(tokenizer));
    json_name_bool(w, ",", "generates", !shape->encoder);
    json_name_bool(w, ",", "embeddings",
                   info->pooling != POOLING_NONE && info->pooling != POOLING_RANK);
    json_name_bool(w, ",", "ranks", info->pooling == POOLING_RANK);
    json_name_text(w, ",", "pooling", pooling_names[info->pooling]);
    put_ends(w, tokenizer);
    json_name_uint(w, "},", "context", model->n_context);
    json_name_uint(w, ",", "vocabulary", shape->n_vocab);
}

/* A limit of 0 is none of its own: null. */
static void put_limit(struct json_writer *w, const char *name, uint64_t value)
{
    json_name(w, ",", name);
    if (value == 0)
        json_raw(w, "null");
    else
        json_uint(w, value);
}

static void put_limits(struct json_writer *w, const struct info_limits *limits)
{
    json_name(w, ",", "limits");
    json_name_uint(w, "{", "max_queue", limits->max_queue);
    json_name_uint(w, ",", "max_batch", limits->max_batch);
    json_name_uint(w, ",", "step_tokens", limits->step_tokens);
    put_limit(w, "max_wait_seconds", limits->max_wait_seconds);
    put_limit(w, "max_prompt_tokens", limits->max_prompt_tokens);
    put_limit(w, "max_output_tokens", limits->max_output_tokens);
    json_name_uint(w, ",", "max_stop_strings", JOB_STOPS_MAX);
    json_name_uint(w, ",", "max_logprobs", JOB_LOGPROBS_MAX);
    json_name_uint(w, ",", "max_connections", limits->max_connections);
    json_name_uint(w, ",", "max_header_bytes", limits->max_header_bytes);
    json_name_uint(w, ",", "max_body_bytes", limits->max_body_bytes);
    json_name_uint(w, ",", "max_json_depth", limits->max_json_depth);
    json_name_uint(w, ",", "max_json_nodes", limits->max_json_nodes);
    json_name_uint(w, ",", "max_choices", limits->max_choices);
    json_name_uint(w, ",", "max_inputs", limits->max_inputs);
    json_raw(w, "}");
}

/* The measurements that decided the number of workers; null: there was no choice to make. */
static void put_calibration(struct json_writer *w, const struct calibration *c)
{
    json_name(w, ",", "calibration");
    if (c->n_rounds == 0) {
        json_raw(w, "null");
        return;
    }
    json_name_uint(w, "{", "alone_ns", c->alone_ns);
    json_name_uint(w, ",", "team_ns", c->team_ns);
    json_name_uint(w, ",", "rounds", c->n_rounds);
    json_raw(w, "}");
}

static void put_template(struct json_writer *w, const char *fault)
{
    json_name(w, ",", "chat_template");
    json_name_bool(w, "{", "usable", fault == NULL);
    json_name(w, ",", "fault");
    if (fault == NULL)
        json_raw(w, "null");
    else
        json_string(w, fault, strlen(fault));
    json_raw(w, "}");
}

/* The same facts by the names of Text Generation Inference, whose clients ask at this path. */
static void put_for_others(struct json_writer *w, const struct info *info)
{
    const struct info_limits *limits = &info->limits;
    const bool encoder = info->model->shape.encoder; /* all of its context is the text's */
    size_t most = info->model->n_context;
    most -= most > 0 && !encoder;
    if (limits->max_prompt_tokens != 0 && limits->max_prompt_tokens < most)
        most = limits->max_prompt_tokens;
    json_name_text(w, ",", "model_id", info->names[0]);
    json_raw(w, ",\"model_sha\":null,\"sha\":null,\"docker_label\":null");
    json_name_text(w, ",", "model_dtype", info->model->weights);
    json_name_text(w, ",", "model_device_type", "cpu");
    json_name_text(w, ",", "model_pipeline_tag",
                   encoder ? "feature-extraction" : "text-generation");
    json_name_text(w, ",", "router", "smallmind");
    json_name_uint(w, ",", "max_concurrent_requests", limits->max_batch + limits->max_queue);
    json_name_uint(w, ",", "max_best_of", 1);
    json_name_uint(w, ",", "max_stop_sequences", JOB_STOPS_MAX);
    json_name_uint(w, ",", "max_input_tokens", most);
    json_name_uint(w, ",", "max_total_tokens", info->model->n_context);
    json_name_uint(w, ",", "max_client_batch_size",
                   info->pooling != POOLING_NONE ? limits->max_inputs : 1);
    json_name_uint(w, ",", "validation_workers", info->plan->n_workers);
}

/* What the system lets the process have now. */
static void put_machine(struct json_writer *w, const struct info *info)
{
    const struct cpu *cpu = info->allowed;
    json_name(w, ",", "machine");
    json_name_uint(w, "{", "processors", cpu->n_affinity);
    json_name_uint(w, ",", "cores", cpu->n_physical);
    json_name(w, ",", "cpu_quota");
    if (cpu->quota > 0)
        json_double(w, cpu->quota, 3);
    else
        json_raw(w, "null");
    json_name_uint(w, ",", "memory_bytes", cpu->memory_bytes);
    put_limit(w, "memory_limit_bytes", info->group->hard.limit);
    put_limit(w, "memory_soft_limit_bytes", info->group->soft.limit);
    json_name_uint(w, ",", "threads_most", info->plan->n_threads_most);
    json_raw(w, "}");
}

/* null: its bytes are still being read. */
static void put_fingerprint(struct json_writer *w, const struct info *info)
{
    json_name(w, ",", "fingerprint");
    json_name(w, "{", "model");
    if (info->model_print[0] != '\0')
        json_string(w, info->model_print, strlen(info->model_print));
    else
        json_raw(w, "null");
    json_name_text(w, ",", "arithmetic", info->arithmetic_print);
    json_raw(w, "}");
}

static void put_plan(struct json_writer *w, const struct info *info)
{
    const struct engine_plan *plan = info->plan;
    put_template(w, info->template_fault);
    put_for_others(w, info);
    put_fingerprint(w, info);
    json_name_text(w, ",", "version", info->version);
    json_name_text(w, ",", "kernels", info->kernels);
    json_name_text(w, ",", "cpu", info->cpu->name);
    json_name_uint(w, ",", "threads", info->n_threads);
    json_name_uint(w, ",", "workers", plan->n_workers);
    json_name_text(w, ",", "threads_why", info->threads_why);
    put_machine(w, info);
    json_name_text(w, ",", "batch_why", plan->batch_why);
    put_calibration(w, &plan->measured);
    json_name(w, ",", "kv");
    json_name_text(w, "{", "type", info->kv_type);
    json_name_uint(w, ",", "bytes", plan->kv_bytes);
    json_name_uint(w, ",", "pages", plan->kv_pages);
    json_name_uint(w, ",", "page_bytes", plan->page_bytes);
    json_name_uint(w, ",", "page_positions", KV_PAGE);
    json_name_uint(w, ",", "sequence_pages", plan->sequence_pages);
    json_name_uint(w, ",", "sequence_bytes", plan->sequence_bytes);
    json_name_uint(w, ",", "windows", plan->kv_windows);
    json_name_uint(w, ",", "window_bytes", plan->window_bytes);
    json_name_uint(w, ",", "states", plan->kv_states);
    json_name_uint(w, ",", "state_bytes", plan->state_bytes);
    json_name_bool(w, ",", "prefix_cache", info->prefix_cache);
    json_name_text(w, ",", "why", plan->kv_why);
    json_raw(w, "}}\n");
}

size_t info_write(const struct info *info, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    put_model(&w, info);
    put_limits(&w, &info->limits);
    put_plan(&w, info);
    return w.full ? 0 : w.n;
}

const char *health_name(enum health health)
{
    static const char *const names[] = {[HEALTH_OK] = "ok",
                                        [HEALTH_LOADING] = "loading",
                                        [HEALTH_LEAVING] = "draining",
                                        [HEALTH_DRAINING] = "draining",
                                        [HEALTH_STALLED] = "stalled"};
    return names[health];
}

size_t health_write(const struct health_report *report, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    json_name_text(&w, "{", "status", health_name(report->health));
    json_name_uint(&w, ",", "running", report->running);
    json_name_uint(&w, ",", "queued", report->queued);
    json_name_uint(&w, ",", "queue_limit", report->queue_limit);
    json_name(&w, ",", "uptime_seconds");
    json_double(&w, report->uptime_seconds, 3);
    json_raw(&w, "}\n");
    return w.full ? 0 : w.n;
}
