/* channels.h - gpt-oss's answers: messages in channels, calls among them. Inside api/tools alone;
 * reader.h's rules. */
#pragma once

#include "api/tools/reader.h"

/* As tool_reader_next, which it serves for families with channels. */
bool channels_next(struct tool_reader *r, const char *text, size_t n, bool finished,
                   struct tool_event *out);
