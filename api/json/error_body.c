/* error_body.c - an error in OpenAI's shape, cut where it is too long. Pure; any thread. */
#include "api/json/error_body.h"

#include <string.h>

void json_error_put(struct json_writer *w, const struct api_error *what, const char *message,
                    size_t n_message, const char *param)
{
    json_raw(w, "{\"error\":{\"code\":\"");
    json_raw(w, what->code);
    json_raw(w, "\",\"type\":\"");
    json_raw(w, what->type);
    json_raw(w, "\",\"message\":");
    json_string(w, message, n_message);
    json_raw(w, ",\"param\":");
    if (param != NULL && param[0] != '\0')
        json_string(w, param, strlen(param));
    else
        json_raw(w, "null");
    json_raw(w, "}}");
}

size_t json_error_fit(json_error_writer *put, const struct api_error *what, const char *message,
                      const char *param, char *out, size_t room)
{
    struct json_writer w;
    size_t n_message = strlen(message);
    if (room == 0)
        return 0;
    for (;;) {
        w = (struct json_writer){.out = out, .room = room - 1};
        put(&w, what, message, n_message, param);
        json_raw(&w, "\n");
        if (!w.full || n_message == 0)
            break;
        n_message -= (n_message + 3) / 4;
        while (n_message > 0 && ((unsigned char)message[n_message] & 0xc0) == 0x80)
            n_message--; /* whole characters */
    }
    if (w.full)
        w.n = 0;
    out[w.n] = '\0';
    return w.n;
}

bool json_error_event(struct json_writer *w, json_error_writer *put, const struct job *job,
                      const char *id, const char *begin, const char *end)
{
    const struct error *err = &job->error;
    const char *text = err->text[0] != '\0' ? err->text : "the request was cancelled";
    struct api_error what = errors_of_job(job);
    size_t before = w->n;
    what.id = id;
    json_raw(w, begin);
    put(w, &what, text, strlen(text), err->param);
    json_raw(w, end);
    return json_keep(w, before);
}

size_t json_error(const struct api_error *what, const char *message, const char *param, char *out,
                  size_t room)
{
    return json_error_fit(json_error_put, what, message, param, out, room);
}
