/* served.c - the answers to routers' questions, by the names that SGLang's and vLLM's routers read.
 * Loop thread; allocates nothing. */
#include "api/served/served.h"

#include "api/json/json.h"
#include "forward/kv.h"

#include <string.h>

size_t served_bound(const struct served *served)
{
    return 2048 + 4 * json_string_bound(strlen(served->names[0])) +
           2 * json_string_bound(strlen(served->path));
}

static size_t end(const struct json_writer *w)
{
    return w->full ? 0 : w->n;
}

/* Tokens that the KV memory holds, and tokens that it holds now. */
static size_t n_tokens(const struct served *served)
{
    return served->plan->kv_pages * KV_PAGE;
}

static double usage(const struct served *served)
{
    size_t pages = served->plan->kv_pages;
    return pages > 0 ? (double)served->used_pages / (double)pages : 0;
}

static size_t max_prompt(const struct served *served)
{
    size_t most = served->model->n_context;
    most -= !served->model->shape.encoder; /* the answer has one at least */
    return served->max_prompt_tokens != 0 && served->max_prompt_tokens < most
               ? served->max_prompt_tokens
               : most;
}

/* The first members of both infos, the brace open. */
static void put_model(struct json_writer *w, const struct served *served)
{
    json_name_text(w, "{", "model_path", served->names[0]);
    json_name_text(w, ",", "tokenizer_path", served->names[0]);
    json_name_text(w, ",", "served_model_name", served->names[0]);
    json_name_text(w, ",", "model_type", served->model->shape.arch);
    json_name_bool(w, ",", "is_generation", !served->model->shape.encoder);
    json_name_bool(w, ",", "is_embedding",
                   served->pooling != POOLING_NONE && served->pooling != POOLING_RANK);
    json_name_bool(w, ",", "has_image_understanding", false);
    json_name_bool(w, ",", "has_audio_understanding", false);
    json_raw(w, ",\"preferred_sampling_params\":null");
    json_name_text(w, ",", "weight_version", served->model->weights);
    json_name_uint(w, ",", "context_length", served->model->n_context);
    json_name_uint(w, ",", "max_model_len", served->model->n_context);
}

size_t served_model_info(const struct served *served, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    put_model(&w, served);
    json_raw(&w, "}\n");
    return end(&w);
}

size_t served_server_info(const struct served *served, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    put_model(&w, served);
    json_name_text(&w, ",", "status", "ready");
    json_name_text(&w, ",", "version", SMALLMIND_VERSION);
    json_name_text(&w, ",", "dtype", served->model->weights);
    json_name_uint(&w, ",", "tp_size", 1);
    json_name_uint(&w, ",", "dp_size", 1);
    json_name_uint(&w, ",", "page_size", KV_PAGE);
    json_name_uint(&w, ",", "max_total_num_tokens", n_tokens(served));
    json_name_uint(&w, ",", "max_req_input_len", max_prompt(served));
    json_name_uint(&w, ",", "max_running_requests", served->max_running);
    json_name_uint(&w, ",", "max_queued_requests", served->max_queue);
    json_name_uint(&w, ",", "num_running_reqs", served->running);
    json_name_uint(&w, ",", "num_waiting_reqs", served->queued);
    json_name_bool(&w, ",", "disable_radix_cache", !served->prefix_cache);
    json_raw(&w, ",\"internal_states\":[");
    json_name_double(&w, "{", "last_gen_throughput", served->tokens_per_second, 3);
    json_name_uint(&w, ",", "num_running_reqs", served->running);
    json_name_uint(&w, ",", "num_waiting_reqs", served->queued);
    json_raw(&w, "}]}\n");
    return end(&w);
}

size_t served_loads(const struct served *served, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    double running = (double)served->running, most = (double)served->max_running;
    double busy = most > 0 ? running / most : 0;
    json_name_uint(&w, "{", "timestamp", served->now);
    json_name_text(&w, ",", "version", SMALLMIND_VERSION);
    json_name_uint(&w, ",", "dp_rank_count", 1);
    json_name_uint(&w, ",\"loads\":[{", "dp_rank", 0);
    json_name_uint(&w, ",", "num_running_reqs", served->running);
    json_name_uint(&w, ",", "num_waiting_reqs", served->queued);
    json_name_uint(&w, ",", "num_total_reqs", served->running + served->queued);
    json_name_uint(&w, ",", "num_used_tokens", served->used_pages * KV_PAGE);
    json_name_uint(&w, ",", "max_total_num_tokens", n_tokens(served));
    json_name_double(&w, ",", "token_usage", usage(served), 6);
    json_name_double(&w, ",", "gen_throughput", served->tokens_per_second, 3);
    json_name_double(&w, ",", "cache_hit_rate", served->cache_hits, 6);
    json_name_double(&w, ",", "utilization", busy, 6);
    json_name_uint(&w, ",", "max_running_requests", served->max_running);
    json_raw(&w, "}]");
    json_name_uint(&w, ",\"aggregate\":{", "total_running_reqs", served->running);
    json_name_uint(&w, ",", "total_waiting_reqs", served->queued);
    json_name_uint(&w, ",", "total_reqs", served->running + served->queued);
    json_name_double(&w, ",", "avg_token_usage", usage(served), 6);
    json_name_double(&w, ",", "avg_throughput", served->tokens_per_second, 3);
    json_name_double(&w, ",", "avg_utilization", busy, 6);
    json_raw(&w, "}}\n");
    return end(&w);
}

size_t served_load(const struct served *served, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    json_name_uint(&w, "[{", "dp_rank", 0);
    json_name_uint(&w, ",", "num_reqs", served->running + served->queued);
    json_name_uint(&w, ",", "num_waiting_reqs", served->queued);
    json_name_uint(&w, ",", "num_tokens", served->used_pages * KV_PAGE);
    json_raw(&w, "}]\n");
    return end(&w);
}

size_t served_version(const struct served *served, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    (void)served;
    json_name_text(&w, "{", "version", SMALLMIND_VERSION);
    json_raw(&w, "}\n");
    return end(&w);
}
