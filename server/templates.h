/* templates.h - the chat template that a service answers with: the settings' or the model's. */
#pragma once

#include "api/chat/chat.h"
#include "config/settings.h"
#include "engine/loaded_model.h"

/* One that cannot be used is a warning in the log, not an error. STATUS_IO, STATUS_INVALID: the
 * file that --chat-template names; STATUS_NO_MEMORY. */
enum status templates_load(struct chat_template **out, const struct settings *settings,
                           const struct loaded_model *model, struct error *err);
/* The SHA-256 of the text of the one that it takes; "": there is none. The same errors. */
enum status templates_digest(char out[65], const struct settings *settings,
                             const struct loaded_model *model, struct error *err);
