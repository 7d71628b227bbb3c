/* service.c - what handlers ask of the service as a whole. Loop thread. */
#include "server/service.h"

/* Retry-After while the model is loaded. */
enum { LOADING_BACK_MS = 2000 };

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

void service_settled(struct service *service)
{
    if (service->state == HEALTH_DRAINING && service->http.n_tasks == 0 &&
        !service->machine.measuring && service->http.n_answering == 0)
        loop_stop(&service->loop);
}
