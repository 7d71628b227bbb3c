/* choices.h - a stream's events over all answers of one request. Loop thread. */
#pragma once

#include "api/generation.h"
#include "api/json/json.h"

#include <stdbool.h>
#include <stddef.h>

/* Writes what is ready of a choice. False: no more can be written now, of any. */
typedef bool json_choice_writer(struct json_writer *w, struct generation *g, size_t i);

/* One after the other. True: all of them are done. */
bool json_choices(struct json_writer *w, struct generation *g, json_choice_writer *write);
