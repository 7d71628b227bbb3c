/* routes.h - what can be asked for: one table of paths, methods and handlers. Read-only. */
#pragma once

#include "server/http/route.h"

extern const struct route_table service_routes;
