/* ops.h - what operators and their tools ask for; each is answered at once. Loop thread. */
#pragma once

#include "server/http/request.h"

extern const struct handler ops_models, ops_model; /* GET /v1/models, /v1/models/{id} */
extern const struct handler ops_livez, ops_readyz, ops_health;
extern const struct handler ops_info, ops_metrics, ops_openapi;
