/* entities.h - character references of HTML, as Python's html.unescape has them. In the heap's
 * thread. */
#pragma once

#include "jinja/text.h"

/* Adds the text with the characters that its references stand for; they come from where those
 * did. */
void entities_add(struct jinja_builder *b, const struct jinja_text *text);
