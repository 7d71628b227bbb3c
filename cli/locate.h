/* locate.h - which file a model's name means: a file, or what `pull` has got. Main thread. */
#pragma once

#include "config/settings.h"

/* Where --model (inspect: FILE) is a name of what `pull` has got, it becomes that file's path. A
 * file of that name comes first; a reference with a source (hf:...) is always one. STATUS_IO: it
 * has not been got; STATUS_INVALID: it means several, or is no right reference. */
enum status locate_model(struct settings *settings, struct error *err);
