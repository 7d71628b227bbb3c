/* route.c - finding a path in the table. Pure; any thread. */
#include "server/http/route.h"

#include <string.h>

const struct route *route_find(const struct route_table *table, const char *path)
{
    for (size_t i = 0; i < table->n; i++)
        if (strcmp(table->routes[i].path, path) == 0)
            return &table->routes[i];
    return NULL;
}

bool route_allows(const struct route *route, const char *method)
{
    return strcmp(method, route->method) == 0 || strcmp(method, "OPTIONS") == 0 ||
           (strcmp(method, "HEAD") == 0 && strcmp(route->method, "GET") == 0);
}

size_t route_index(const struct route_table *table, const struct route *route)
{
    return route != NULL ? (size_t)(route - table->routes) : table->n;
}

const char *route_label(const struct route *route)
{
    return route != NULL ? route->path : "other";
}

const struct dialect *route_dialect(const struct route_table *table, const struct route *route)
{
    return route != NULL && route->dialect != NULL ? route->dialect : table->dialect;
}
