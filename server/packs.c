/* packs.c - when packed weights are kept. See packs.h. */
#include "server/packs.h"

#include "server/service.h"

static void keep(uv_work_t *work) /* on libuv's pool */
{
    struct service *service = work->data;
    struct packs *p = &service->packs;
    p->status =
        model_keep(service->model.model, service->settings->pack_cache_bytes, &p->stop, &p->error);
}

static void on_kept(uv_work_t *work, int status)
{
    struct service *service = work->data;
    struct packs *p = &service->packs;
    (void)status; /* never cancelled */
    p->keeping = false;
    if (p->status == STATUS_OK)
        log_line(LOG_INFO, "packed weights are kept in %s for the next start",
                 service->settings->pack_cache);
    else if (p->status != STATUS_STOPPING)
        log_line(LOG_WARN, "packed weights are not kept: %s", p->error.text);
    service_settled(service);
}

void packs_begin(struct service *service)
{
    const struct model *model = service->model.model;
    struct packs *p = &service->packs;
    if (model->pack_text[0] != '\0')
        log_line(LOG_WARN, "packed weights are made anew: %s", model->pack_text);
    if (model->from_pack)
        log_line(LOG_INFO, "packed weights come from %s", service->settings->pack_cache);
    if (model->pack == NULL || model->from_pack)
        return;
    p->work.data = service;
    p->keeping = uv_queue_work(&service->loop.uv, &p->work, keep, on_kept) == 0;
}

void packs_stop(struct service *service)
{
    service->packs.stop = true;
}
