/* patience.c - waits between tries. State: struct patience, the caller's. */
#include "store/patience.h"

#include "store/web.h"

#include <stdio.h>
#include <time.h>

enum { FIRST_MS = 500, MOST_MS = 16000, MOST_ASKED = 60 /* s */, SLICE_MS = 100 };

bool patience_is_passing(long code)
{
    return code == 408 || code == 425 || code == 429 || code >= 500;
}

bool patience_sleep(const struct patience *patience, unsigned ms)
{
    for (; ms > 0; ms -= ms < SLICE_MS ? ms : SLICE_MS) {
        if (patience->cancel != NULL && atomic_load(patience->cancel))
            return false;
        unsigned slice = ms < SLICE_MS ? ms : SLICE_MS;
        nanosleep(&(struct timespec){.tv_nsec = (long)slice * 1000000}, NULL);
    }
    return patience->cancel == NULL || !atomic_load(patience->cancel);
}

enum status patience_wait(struct patience *patience, const struct web_answer *answer,
                          struct error *err)
{
    char sentence[sizeof err->text + 64];
    unsigned ms = FIRST_MS, n = patience->n_failed;
    patience->n_failed++;
    if (answer->retry_after > MOST_ASKED)
        return error_set(err, err->status, "%s; it asks for a wait of %u s", err->text,
                         answer->retry_after);
    if (patience->n_failed >= patience->tries)
        return patience->tries < 2
                   ? err->status
                   : error_set(err, err->status, "%s (tried %u times)", err->text, patience->tries);
    while (n-- > 0 && ms < MOST_MS)
        ms *= 2;
    if (answer->retry_after > 0)
        ms = answer->retry_after * 1000;
    if (patience->say != NULL) {
        snprintf(sentence, sizeof sentence, "%s; trying again in %.1f s", err->text, ms / 1000.0);
        patience->say(patience->ctx, sentence);
    }
    return patience_sleep(patience, ms) ? STATUS_OK : error_set(err, STATUS_CANCELLED, "stopped");
}
