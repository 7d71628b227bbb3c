/* routes.c - the table of routes. Read-only. */
#include "server/routes.h"

#include "api/anthropic/anthropic.h"
#include "api/llama/llama.h"
#include "api/native/native.h"
#include "api/ollama/ollama.h"
#include "api/openai/openai.h"
#include "api/responses/responses.h"
#include "api/tgi/tgi.h"
#include "api/vectors/vectors.h"
#include "server/handlers/generate.h"
#include "server/handlers/live.h"
#include "server/handlers/models.h"
#include "server/handlers/ops.h"
#include "server/handlers/page.h"
#include "server/handlers/text.h"
#include "server/metrics.h"

#include <assert.h>

static const char get[] = "GET, HEAD, OPTIONS", post[] = "POST, OPTIONS";
static const char both[] = "GET, HEAD, POST, OPTIONS";
enum {
    PROBE = ROUTE_OPEN | ROUTE_PROBE | ROUTE_QUIET,
    WORK = ROUTE_BODY | ROUTE_MODEL | ROUTE_WORK,
};

#pragma GCC diagnostic ignored "-Wmissing-field-initializers" /* a path is its own label */
static const struct route routes[] = {
    {"/", "GET", both, ROUTE_OPEN, &page_handler, NULL},
    {"/", "POST", both, WORK, &generate_handler, &tgi_root, .label = "/ (POST)"},
    {"/generate", "POST", post, WORK, &generate_handler, &native_dialect},
    {"/generate_stream", "POST", post, WORK, &generate_handler, &tgi_stream},
    {"/v1/completions", "POST", post, WORK, &generate_handler, &openai_completions},
    {"/v1/chat/completions", "POST", post, WORK, &generate_handler, &openai_chat},
    {"/v1/completions/render", "POST", post, WORK, &text_count, &openai_render_completions},
    {"/v1/chat/completions/render", "POST", post, WORK, &text_count, &openai_render_chat},
    {"/v1/responses", "POST", post, WORK, &generate_handler, &openai_responses},
    {"/responses", "POST", post, WORK, &generate_handler, &openai_responses},
    {"/v1/responses/input_tokens", "POST", post, WORK, &text_count, &openai_responses_count},
    {"/responses/input_tokens", "POST", post, WORK, &text_count, &openai_responses_count},
    {"/v1/messages", "POST", post, WORK, &generate_handler, &anthropic_messages},
    {"/v1/messages/count_tokens", "POST", post, WORK, &text_count, &anthropic_count},
    {"/v1/models", "GET", get, ROUTE_MODEL, &ops_models, &openai_chat},
    {"/v1/models/*", "GET", get, ROUTE_MODEL, &ops_model, &openai_chat},
    {"/api/generate", "POST", post, WORK, &generate_handler, &ollama_generate},
    {"/api/chat", "POST", post, WORK, &generate_handler, &ollama_chat},
    {"/api/tags", "GET", get, ROUTE_MODEL, &models_tags, &ollama_chat},
    {"/api/ps", "GET", get, ROUTE_MODEL, &models_ps, &ollama_chat},
    {"/api/show", "POST", post, ROUTE_BODY | ROUTE_MODEL, &models_show, &ollama_chat},
    {"/api/version", "GET", get, ROUTE_MODEL, &models_version, &ollama_chat},
    {"/api/embed", "POST", post, WORK, &generate_handler, &vectors_ollama},
    {"/api/embeddings", "POST", post, WORK, &generate_handler, &vectors_ollama_one},
    {"/api/pull", "POST", post, ROUTE_BODY, &models_unable, &ollama_chat},
    {"/api/push", "POST", post, ROUTE_BODY, &models_unable, &ollama_chat},
    {"/api/create", "POST", post, ROUTE_BODY, &models_unable, &ollama_chat},
    {"/api/copy", "POST", post, ROUTE_BODY, &models_unable, &ollama_chat},
    {"/api/delete", "DELETE", "DELETE, OPTIONS", 0, &models_unable, &ollama_chat},
    {"/completion", "POST", post, WORK, &generate_handler, &llama_completion},
    {"/completions", "POST", post, WORK, &generate_handler, &llama_completion},
    {"/chat/completions", "POST", post, WORK, &generate_handler, &llama_chat},
    {"/chat/completions/input_tokens", "POST", post, WORK, &text_count, &llama_count},
    {"/v1/chat/completions/input_tokens", "POST", post, WORK, &text_count, &llama_count},
    {"/models", "GET", get, ROUTE_MODEL, &ops_models, &openai_chat},
    {"/props", "GET", get, ROUTE_MODEL, &models_props, &llama_completion},
    {"/slots", "GET", get, ROUTE_MODEL, &models_slots, &llama_completion},
    {"/slots/*", "POST", post, ROUTE_BODY, &models_unable, &llama_completion},
    {"/embedding", "POST", post, WORK, &generate_handler, &vectors_llama},
    {"/embeddings", "POST", post, WORK, &generate_handler, &vectors_llama},
    {"/v1/embeddings", "POST", post, WORK, &generate_handler, &vectors_openai},
    {"/embed", "POST", post, WORK, &generate_handler, &vectors_tei},
    {"/embed_all", "POST", post, ROUTE_BODY, &models_unable, &vectors_tei},
    {"/embed_sparse", "POST", post, ROUTE_BODY, &models_unable, &vectors_tei},
    {"/rerank", "POST", post, WORK, &generate_handler, &vectors_ranks},
    {"/reranking", "POST", post, WORK, &generate_handler, &vectors_ranks},
    {"/v1/rerank", "POST", post, WORK, &generate_handler, &vectors_ranks},
    {"/v1/reranking", "POST", post, WORK, &generate_handler, &vectors_ranks},
    {"/infill", "POST", post, ROUTE_BODY, &models_unable, &llama_completion},
    {"/lora-adapters", "GET", get, 0, &models_unable, &llama_completion},
    {"/tokenize", "POST", post, WORK, &text_tokenize, NULL},
    {"/apply-template", "POST", post, WORK, &text_apply_template, NULL},
    {"/detokenize", "POST", post, WORK, &text_detokenize, NULL},
    {"/livez", "GET", get, PROBE, &ops_livez, NULL},
    {"/readyz", "GET", get, PROBE, &ops_readyz, NULL},
    {"/health", "GET", get, PROBE, &ops_health, NULL},
    {"/v1/health", "GET", get, PROBE, &ops_health, NULL},
    {"/health_generate", "GET", get, PROBE, &ops_health, NULL},
    {"/info", "GET", get, ROUTE_MODEL, &ops_info, NULL},
    {"/metrics", "GET", get, ROUTE_QUIET, &ops_metrics, NULL},
    {"/openapi.yaml", "GET", get, 0, &ops_openapi, NULL},
    {"/debug/profile", "GET", get, ROUTE_MODEL | ROUTE_WORK | ROUTE_LOCAL, &live_handler, NULL},
    {"/model_info", "GET", get, ROUTE_MODEL, &models_model_info, NULL},
    {"/get_model_info", "GET", get, ROUTE_MODEL, &models_model_info, NULL},
    {"/server_info", "GET", get, ROUTE_MODEL, &models_server_info, NULL},
    {"/get_server_info", "GET", get, ROUTE_MODEL, &models_server_info, NULL},
    {"/v1/loads", "GET", get, ROUTE_MODEL | ROUTE_QUIET, &models_loads, NULL},
    {"/loads", "GET", get, ROUTE_MODEL | ROUTE_QUIET, &models_loads, NULL},
    {"/get_load", "GET", get, ROUTE_MODEL | ROUTE_QUIET, &models_load, NULL},
    {"/version", "GET", get, ROUTE_MODEL, &models_server_version, NULL},
    {"/ping", "GET", get, PROBE, &ops_readyz, NULL},
};
static_assert(sizeof routes / sizeof routes[0] < METRICS_ROUTES_MAX,
              "every route and \"other\" is counted");

static const struct route_realm realms[] = {
    {"/v1/messages", &anthropic_messages},
    {"/v1", &openai_chat},
    {"/api", &ollama_chat},
};

const struct route_table service_routes = {
    routes, sizeof routes / sizeof routes[0], &native_dialect,
    realms, sizeof realms / sizeof realms[0],
};
