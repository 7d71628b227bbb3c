/* service.c - what handlers ask of the service as a whole. Loop thread. */
#include "server/service.h"

#include "base/clock.h"

/* Retry-After while the model is loaded. */
enum { LOADING_BACK_MS = 2000 };
/* How long a connection without a request may still bring one, in a handover. */
enum { HANDOVER_QUIET_MS = 2000 };
/* A worker whose step takes longer than this makes no progress. */
static const uint64_t stalled_ns = 60u * 1000000000ull;

bool service_is_alive(const struct service *service)
{
    return service->engine == NULL || engine_alive(service->engine, clock_now_ns(), stalled_ns);
}

const char *service_kv_type(const struct service *service)
{
    static const char *const names[KV_TYPES] = {[KV_F32] = "f32", [KV_F16] = "f16", [KV_Q8] = "q8"};
    return names[engine_plan(service->engine)->kv_type];
}

uint64_t service_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t service_back_ms(const struct service *service)
{
    uint64_t now = loop_now_ms(&service->loop);
    if (service->state == HEALTH_DRAINING || service->state == HEALTH_LEAVING)
        return service->drain_end_ms > now ? service->drain_end_ms - now : 1;
    return LOADING_BACK_MS;
}

/* Whether no connection is likely to bring a request any more. */
static bool is_handed_over(const struct service *service)
{
    uint64_t now_ms = loop_now_ms(&service->loop), begun_ms = service->handover_ms;
    if (service->http.n_tasks > 0 || service->http.n_answering > 0)
        return false;
    for (const struct conn *conn = service->http.conns; conn != NULL; conn = conn->next) {
        uint64_t since_ms = conn->since_ms > begun_ms ? conn->since_ms : begun_ms;
        bool waits = conn->request == NULL && conn->phase == CONN_WAITING;
        if (!waits || now_ms - since_ms < HANDOVER_QUIET_MS)
            return false;
    }
    return true;
}

void service_settled(struct service *service)
{
    if (service->handing_over && service->state == HEALTH_LEAVING && is_handed_over(service))
        service->state = HEALTH_DRAINING;
    if (service->state == HEALTH_DRAINING && service->http.n_tasks == 0 &&
        !service->machine.measuring && !service->allowance.looking && !service->packs.keeping &&
        service->http.n_answering == 0)
        loop_stop(&service->loop);
}
