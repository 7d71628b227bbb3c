/* suspend.c - the way back of a suspended request into the library: what tasks, which request.c
 * calls, call themselves. Loop thread. */
#include "server/http/request.h"

void request_resume(struct request *r)
{
    if (!r->suspended)
        return;
    r->suspended = false;
    MHD_resume_connection(r->mhd);
}
