/* routes.c - the table of routes. Read-only. */
#include "server/routes.h"

#include "server/handlers/generate.h"
#include "server/handlers/live.h"
#include "server/handlers/ops.h"
#include "server/handlers/text.h"
#include "server/metrics.h"

#include <assert.h>

static const char get[] = "GET, HEAD, OPTIONS", post[] = "POST, OPTIONS";
enum {
    PROBE = ROUTE_OPEN | ROUTE_PROBE,
    WORK = ROUTE_BODY | ROUTE_MODEL | ROUTE_WORK,
};

static const struct route routes[] = {
    {"/generate", "POST", post, WORK, &generate_handler},
    {"/tokenize", "POST", post, WORK, &text_tokenize},
    {"/detokenize", "POST", post, WORK, &text_detokenize},
    {"/livez", "GET", get, PROBE, &ops_livez},
    {"/readyz", "GET", get, PROBE, &ops_readyz},
    {"/health", "GET", get, PROBE, &ops_health},
    {"/info", "GET", get, ROUTE_MODEL, &ops_info},
    {"/metrics", "GET", get, 0, &ops_metrics},
    {"/openapi.yaml", "GET", get, 0, &ops_openapi},
    {"/debug/profile", "GET", get, ROUTE_MODEL | ROUTE_WORK | ROUTE_LOCAL, &live_handler},
};
static_assert(sizeof routes / sizeof routes[0] < METRICS_ROUTES_MAX,
              "every route and \"other\" is counted");

const struct route_table service_routes = {routes, sizeof routes / sizeof routes[0]};
