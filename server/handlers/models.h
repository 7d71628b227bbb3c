/* models.h - what clients of other programs ask about the models and the load of a server, in their
 * own words; each is answered at once. Loop thread. */
#pragma once

#include "server/http/request.h"

/* GET /api/tags, /api/ps, /api/version; POST /api/show. */
extern const struct handler models_tags, models_ps, models_version, models_show;
/* GET /props, /slots. */
extern const struct handler models_props, models_slots;
/* Routers' questions: GET /model_info, /server_info, /v1/loads, /get_load, /version. */
extern const struct handler models_model_info, models_server_info, models_loads, models_load;
extern const struct handler models_server_version;
/* Routes for what this server does not do: 501, with the reason. */
extern const struct handler models_unable;
