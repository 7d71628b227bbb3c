/* inherit.h - listening sockets that the process was started with: socket activation.
 *
 * A supervisor (systemd with a .socket unit, systemd-socket-activate) has bound them, keeps them
 * open over restarts, and says in LISTEN_PID and LISTEN_FDS that they are descriptors 3 and up:
 * sd_listen_fds(3). Clients that come while no process serves wait in their queues. Main thread,
 * before others exist. Knows nothing of addresses.
 */
#pragma once

#include "base/error.h"

#include <stddef.h>

/* The sockets that were handed to this very process, at most room; *n is 0 where there are none.
 * They become non-blocking and are not inherited further, and the variables are removed.
 * STATUS_IO: one is not a listening stream socket, or they are more than room. */
enum status inherit_sockets(int *fds, size_t room, size_t *n, struct error *err);
