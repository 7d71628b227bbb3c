/* usage.h - wrong usage that no row of the settings' table can see. Pure; main thread. */
#pragma once

#include "config/settings.h"

/* Refuses each of these options that the command line gives where it would have no effect:
 * STATUS_INVALID, of the option because. names: without hyphens, ended by NULL. */
enum status usage_refuse(const struct settings *settings, const char *because,
                         const char *const *names, struct error *err);

/* The options of a run, which --compare has no use for: it reads two reports. Those that a verb
 * does not have are never given to it. */
enum status usage_compare(const struct settings *settings, struct error *err);
