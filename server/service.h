/* service.h - everything the loop thread owns, in one struct handed down; shared by the files of
 * server/, not with others. */
#pragma once

#include "api/asked/shaping.h"
#include "api/generation.h"
#include "api/native/info.h"
#include "server/allowance.h"
#include "server/fingerprint.h"
#include "server/http/headers.h"
#include "server/http/http.h"
#include "server/http/listen.h"
#include "server/http/loop.h"
#include "server/http/peer.h"
#include "server/http/route.h"
#include "server/jobs.h"
#include "server/keys.h"
#include "server/machine.h"
#include "server/metrics.h"
#include "server/names.h"
#include "server/packs.h"
#include "server/server.h"

struct trace_exporter;

struct service {
    const struct settings *settings;
    struct route_table routes;
    struct listener listener;
    struct loop loop;
    struct http http;
    struct metrics metrics;
    struct keys *keys; /* NULL: none are asked for */
    struct origin_rules origins;
    struct peer_networks proxies; /* whose X-Forwarded-For is believed */

    enum health state;                /* LOADING, then OK, LEAVING, DRAINING */
    struct loaded_model model;        /* zeroed while loading, as are the next three */
    const struct chat_template *chat; /* the model's; a fault where it has none */
    struct engine *engine;
    struct api_limits limits;
    struct shaping shaping; /* its cache is owned */
    struct names names;     /* of the model */
    struct jobs jobs;       /* what the engine was given */
    struct stream *streams; /* generations; also those whose client has left and whose job runs */

    struct fingerprint fingerprint; /* of the model and of what it is computed with */
    struct machine machine;
    struct allowance allowance;
    struct packs packs;
    struct trace_exporter *traces; /* where spans go; NULL: nowhere */
    struct live *live;             /* the profile that is being made; NULL: none */

    /* No client is accepted any more: they wait for the next process that gets the sockets. Those
     * that are connected are answered, and each answer ends its connection. */
    bool handing_over;
    uint64_t handover_ms;              /* loop time: when that began */
    uint64_t drain_end_ms;             /* loop time: when a drain's time is over */
    uint64_t random_ids, random_seeds; /* generators' states */
};

/* Something has ended: a drain may be over. */
void service_settled(struct service *service);

/* Whether process and engine make progress. Loading is progress. */
bool service_is_alive(const struct service *service);

const char *service_kv_type(const struct service *service); /* "f16"; once it is loaded */

/* A number from a generator whose every state comes once (Steele et al., 2014). */
uint64_t service_random(uint64_t *state);

/* When work will be taken again, for Retry-After: soon while loading, when the drain is over while
 * draining. */
uint64_t service_back_ms(const struct service *service);
