/* route.c - finding a path in the table. Pure; any thread. */
#include "server/http/route.h"

#include <string.h>

static bool matches(const char *pattern, const char *path)
{
    size_t n = strlen(pattern);
    if (pattern[n - 1] != '*')
        return strcmp(pattern, path) == 0;
    return strncmp(pattern, path, n - 1) == 0 && path[n - 1] != '\0' &&
           strchr(path + n - 1, '/') == NULL;
}

const struct route *route_find(const struct route_table *table, const char *path,
                               const char *method)
{
    const struct route *found = NULL;
    for (size_t i = 0; i < table->n; i++) {
        const struct route *route = &table->routes[i];
        if (!matches(route->path, path))
            continue;
        if (route_allows(route, method))
            return route;
        if (found == NULL)
            found = route;
    }
    return found;
}

bool route_is_open(const struct route *route)
{
    return route->path[strlen(route->path) - 1] == '*';
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
    if (route == NULL)
        return "other";
    return route->label != NULL ? route->label : route->path;
}

static bool is_within(const char *path, const char *realm)
{
    size_t n = strlen(realm);
    return strncmp(path, realm, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

const struct dialect *route_dialect(const struct route_table *table, const struct route *route,
                                    const char *path)
{
    if (route != NULL)
        return route->dialect != NULL ? route->dialect : table->dialect;
    for (size_t i = 0; i < table->n_realms; i++)
        if (is_within(path, table->realms[i].path))
            return table->realms[i].dialect;
    return table->dialect;
}
