/* dates.h - a time as text, as Python's strftime writes it in the C locale. */
#pragma once

#include "jinja/text.h"

/* now: seconds since the epoch; the local time zone. */
void dates_format(struct jinja_builder *b, const struct jinja_text *format, int64_t now);
