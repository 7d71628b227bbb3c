/* models.c - fills struct served and has the API's writer say it. Loop thread. */
#include "server/handlers/models.h"

#include "api/chat/chat.h"
#include "api/llama/llama.h"
#include "api/ollama/ollama.h"
#include "base/clock.h"
#include "server/service.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static void fill(struct service *service, struct served *out)
{
    const struct settings *s = service->settings;
    struct engine_stats stats;
    uint64_t now_ns = clock_now_ns();
    engine_stats(service->engine, &stats);
    *out = (struct served){
        .names = service->names.list,
        .n_names = service->names.n,
        .path = s->model,
        .created = (uint64_t)service->metrics.start_unix,
        .model = service->model.model,
        .tokenizer = service->model.tokenizer,
        .plan = engine_plan(service->engine),
        .template = chat_template_source(service->chat),
        .pooling = service->limits.pooling,
        .chats = chat_template_fault(service->chat) == NULL,
        .max_prompt_tokens = s->max_prompt_tokens,
        .max_queue = s->max_queue,
        .max_running =
            engine_plan(service->engine)->max_batch * engine_plan(service->engine)->n_workers,
        .running = stats.running,
        .queued = stats.queued,
        .used_pages = stats.kv.n_used,
        .prefix_cache = s->prefix_cache,
        .cache_hits = stats.kv.query_tokens > 0
                          ? (double)stats.kv.hit_tokens / (double)stats.kv.query_tokens
                          : 0,
        .tokens_per_second =
            metrics_generated_rate(&service->metrics, now_ns, stats.generated_tokens),
        .now = (uint64_t)time(NULL),
    };
}

typedef size_t write_fn(const struct served *served, char *out, size_t room);

static enum MHD_Result answer(struct request *r, size_t (*bound)(const struct served *served),
                              write_fn *write)
{
    struct served served;
    fill(r->service, &served);
    size_t room = bound(&served);
    char *body = malloc(room);
    if (body == NULL)
        return MHD_NO;
    return request_answer(r, &(struct answer){.status = MHD_HTTP_OK,
                                              .type = "application/json",
                                              .body = body,
                                              .n_body = write(&served, body, room),
                                              .memory = BODY_OWNED});
}

static enum MHD_Result answer_tags(struct request *r)
{
    return answer(r, ollama_models_bound, ollama_tags);
}

static enum MHD_Result answer_ps(struct request *r)
{
    return answer(r, ollama_models_bound, ollama_ps);
}

static enum MHD_Result answer_version(struct request *r)
{
    return answer(r, ollama_models_bound, ollama_version);
}

static enum MHD_Result answer_props(struct request *r)
{
    return answer(r, llama_props_bound, llama_props);
}

static enum MHD_Result answer_slots(struct request *r)
{
    return answer(r, llama_slots_bound, llama_slots);
}

static enum MHD_Result answer_model_info(struct request *r)
{
    return answer(r, served_bound, served_model_info);
}

static enum MHD_Result answer_server_info(struct request *r)
{
    return answer(r, served_bound, served_server_info);
}

static enum MHD_Result answer_loads(struct request *r)
{
    return answer(r, served_bound, served_loads);
}

static enum MHD_Result answer_load(struct request *r)
{
    return answer(r, served_bound, served_load);
}

static enum MHD_Result answer_server_version(struct request *r)
{
    return answer(r, served_bound, served_version);
}

static enum MHD_Result answer_show(struct request *r)
{
    struct error why;
    char name[GENERATION_MODEL_MAX];
    enum status status = ollama_show_name(r->body, r->n_body, &r->service->limits, name, &why);
    if (status != STATUS_OK)
        return request_refuse(r, errors_of_status(status), &why, 0);
    if (!names_refuse(&r->service->names, true, name, &why))
        return answer(r, ollama_show_bound, ollama_show);
    return request_refuse(r, errors_of_refusal(REFUSAL_MODEL), &why, 0);
}

/* --- what this server does not do --- */

static const char no_files[] = "models are not managed over HTTP: this server serves the one that "
                               "it was started with (smallmind pull, serve --model)";
static const char no_sparse[] = "this server makes dense vectors alone (POST /embed)";
static const char no_tokens[] = "this server makes one vector of a text, not one of each token "
                                "(POST /embed)";
static const char no_infill[] = "filling in between two texts is not supported";
static const char no_adapters[] = "adapters are not supported";
static const char no_saving[] = "slots are not saved: what prompts have in common is cached by the "
                                "server itself";
static const struct {
    const char *path, *why;
} unable[] = {
    {"/embed_sparse", no_sparse}, {"/embed_all", no_tokens}, {"/api/pull", no_files},
    {"/api/push", no_files},      {"/api/create", no_files}, {"/api/copy", no_files},
    {"/api/delete", no_files},    {"/infill", no_infill},    {"/lora-adapters", no_adapters},
    {"/slots/*", no_saving},
};

static enum MHD_Result answer_unable(struct request *r)
{
    struct error why;
    size_t i = 0;
    while (strcmp(unable[i].path, r->route->path) != 0)
        i++;
    error_set(&why, STATUS_UNABLE, "%s", unable[i].why);
    return request_refuse(r, errors_of_status(STATUS_UNABLE), &why, 0);
}

const struct handler models_tags = {.begin = answer_tags};
const struct handler models_ps = {.begin = answer_ps};
const struct handler models_version = {.begin = answer_version};
const struct handler models_props = {.begin = answer_props};
const struct handler models_slots = {.begin = answer_slots};
const struct handler models_show = {.begin = answer_show};
const struct handler models_model_info = {.begin = answer_model_info};
const struct handler models_server_info = {.begin = answer_server_info};
const struct handler models_loads = {.begin = answer_loads};
const struct handler models_load = {.begin = answer_load};
const struct handler models_server_version = {.begin = answer_server_version};
const struct handler models_unable = {.begin = answer_unable};
