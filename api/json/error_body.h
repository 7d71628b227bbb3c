/* error_body.h - an error as the native API and OpenAI's write it. Pure; any thread. */
#pragma once

#include "api/errors.h"
#include "api/json/json.h"
#include "engine/job.h"

#include <stdbool.h>
#include <stddef.h>

/* {"error":{"code","type","message","param"}}, param null where NULL or "". */
void json_error_put(struct json_writer *w, const struct api_error *what, const char *message,
                    size_t n_message, const char *param);
/* How a dialect writes an error's object. */
typedef void json_error_writer(struct json_writer *w, const struct api_error *what,
                               const char *message, size_t n_message, const char *param);
/* An error as a body, the message cut where it does not fit: for struct dialect's error. */
size_t json_error_fit(json_error_writer *put, const struct api_error *what, const char *message,
                      const char *param, char *out, size_t room);
enum { JSON_ERROR_EVENT_BOUND = 4608 }; /* bytes, a stream's own words and an id included */
/* The error of a job that has failed, between a stream's own words. False: no room, and nothing
 * written. id: the request's, where the dialect's errors have it. */
bool json_error_event(struct json_writer *w, json_error_writer *put, const struct job *job,
                      const char *id, const char *begin, const char *end);
/* As json_error_fit, with json_error_put. */
size_t json_error(const struct api_error *what, const char *message, const char *param, char *out,
                  size_t room);
