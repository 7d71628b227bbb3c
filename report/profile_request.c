/* profile_request.c - what a profile of live traffic is asked for: its seconds and its form. Pure.
 */
#include "report/profile.h"

#include "api/accept.h"

#include <stdlib.h>
#include <string.h>

/* Shorter ones would measure nothing but their own beginning. */
#define SECONDS_MIN 0.1

/* Digits and at most one point between them: strtod alone would take blanks, signs, "inf" and "0x".
 */
static bool read_seconds(const char *text, double *out)
{
    size_t whole = strspn(text, "0123456789");
    size_t part = text[whole] == '.' ? strspn(text + whole + 1, "0123456789") : 0;
    size_t n = part > 0 ? whole + 1 + part : whole;
    if (whole == 0 || whole > 6 || part > 9 || text[n] != '\0')
        return false;
    *out = strtod(text, NULL);
    return true;
}

enum status profile_request_take(struct profile_request *request, const char *name,
                                 const char *value, struct error *err)
{
    double seconds;
    if (strcmp(name, "seconds") != 0)
        return error_set_param(err, STATUS_INVALID, name,
                               "unknown field '%.40s'; the only one is 'seconds'", name);
    if (request->seconds > 0)
        return error_set_param(err, STATUS_INVALID, name, "seconds is given twice");
    if (value == NULL || !read_seconds(value, &seconds) || seconds < SECONDS_MIN ||
        seconds > PROFILE_SECONDS_MAX)
        return error_set_param(err, STATUS_INVALID, name,
                               "seconds must be a decimal number from %.1f to %d, not '%.40s'",
                               SECONDS_MIN, PROFILE_SECONDS_MAX, value != NULL ? value : "");
    request->seconds = seconds;
    return STATUS_OK;
}

static const char *const types[] = {[PROFILE_JSON] = "application/json",
                                    [PROFILE_HTML] = "text/html",
                                    [PROFILE_TRACE] = "application/vnd.chrome.trace+json"};

enum profile_form profile_form_of(const char *accept)
{
    return (enum profile_form)accept_choose(accept, types, sizeof types / sizeof types[0]);
}

const char *profile_form_type(enum profile_form form)
{
    return form == PROFILE_HTML ? "text/html; charset=utf-8" : types[form];
}
