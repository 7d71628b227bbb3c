/* dates.c - strftime by our own table, so that no C library's locale or extensions show. */
#include "jinja/library/dates.h"

#include "base/chars.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *const days[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                   "Thursday", "Friday", "Saturday"};
static const char *const months[] = {"January",   "February", "March",    "April",
                                     "May",       "June",     "July",     "August",
                                     "September", "October",  "November", "December"};

/* The ISO week, and its year. */
static int iso_week(const struct tm *t, int *year)
{
    int weekday = (t->tm_wday + 6) % 7, week = (t->tm_yday - weekday + 10) / 7;
    *year = t->tm_year + 1900;
    int before = *year - 1;
    if (week < 1) {
        bool leap = (before % 4 == 0 && before % 100 != 0) || before % 400 == 0;
        *year = before;
        return (t->tm_yday + 365 + leap - weekday + 10) / 7;
    }
    bool leap = (*year % 4 == 0 && *year % 100 != 0) || *year % 400 == 0;
    if (week == 53 && t->tm_yday - weekday + 3 >= 365 + leap) {
        ++*year;
        return 1;
    }
    return week;
}

struct number {
    int value, width;
    char pad; /* '0', ' ', or 0: none */
};

/* A directive that is a number; false: it is none. */
static bool number_of(char directive, const struct tm *t, struct number *out)
{
    int year, week = iso_week(t, &year), hour = t->tm_hour % 12 == 0 ? 12 : t->tm_hour % 12;
    switch (directive) {
    case 'd':
        *out = (struct number){t->tm_mday, 2, '0'};
        return true;
    case 'e':
        *out = (struct number){t->tm_mday, 2, ' '};
        return true;
    case 'm':
        *out = (struct number){t->tm_mon + 1, 2, '0'};
        return true;
    case 'y':
        *out = (struct number){t->tm_year % 100, 2, '0'};
        return true;
    case 'Y':
        *out = (struct number){t->tm_year + 1900, 0, '0'};
        return true;
    case 'C':
        *out = (struct number){(t->tm_year + 1900) / 100, 2, '0'};
        return true;
    case 'G':
        *out = (struct number){year, 0, '0'};
        return true;
    case 'g':
        *out = (struct number){year % 100, 2, '0'};
        return true;
    case 'V':
        *out = (struct number){week, 2, '0'};
        return true;
    case 'U':
        *out = (struct number){(t->tm_yday + 7 - t->tm_wday) / 7, 2, '0'};
        return true;
    case 'W':
        *out = (struct number){(t->tm_yday + 7 - (t->tm_wday + 6) % 7) / 7, 2, '0'};
        return true;
    case 'H':
    case 'k':
        *out = (struct number){t->tm_hour, 2, directive == 'H' ? '0' : ' '};
        return true;
    case 'I':
    case 'l':
        *out = (struct number){hour, 2, directive == 'I' ? '0' : ' '};
        return true;
    case 'M':
        *out = (struct number){t->tm_min, 2, '0'};
        return true;
    case 'S':
        *out = (struct number){t->tm_sec, 2, '0'};
        return true;
    case 'j':
        *out = (struct number){t->tm_yday + 1, 3, '0'};
        return true;
    case 'w':
    case 'u':
        *out = (struct number){t->tm_wday == 0 && directive == 'u' ? 7 : t->tm_wday, 1, '0'};
        return true;
    case 'f':
        *out = (struct number){0, 6, '0'}; /* the clock here has whole seconds */
        return true;
    default:
        return false;
    }
}

static const char *words_of(char directive, const struct tm *t)
{
    switch (directive) {
    case 'A':
    case 'a':
        return days[t->tm_wday];
    case 'B':
    case 'b':
    case 'h':
        return months[t->tm_mon];
    case 'p':
        return t->tm_hour < 12 ? "AM" : "PM";
    case 'n':
        return "\n";
    case 't':
        return "\t";
    case '%':
        return "%";
    case 'z':
    case 'Z':
        return ""; /* a time without a zone, as Python's datetime.now() */
    default:
        return NULL;
    }
}

/* The expansion of a directive; NULL: it stands for one of the others. */
static const char *composed(char directive)
{
    switch (directive) {
    case 'D':
    case 'x':
        return "%m/%d/%y";
    case 'F':
        return "%Y-%m-%d";
    case 'T':
    case 'X':
        return "%H:%M:%S";
    case 'R':
        return "%H:%M";
    case 'r':
        return "%I:%M:%S %p";
    case 'c':
        return "%a %b %e %H:%M:%S %Y";
    default:
        return NULL;
    }
}

static void add_words(struct jinja_builder *b, const char *words, char directive, char flag)
{
    char text[16];
    bool cut = directive == 'a' || directive == 'b' || directive == 'h';
    snprintf(text, sizeof text, "%.*s", cut ? 3 : 15, words);
    for (char *c = text; *c != '\0'; c++)
        if (flag == '^' || (flag == '#' && directive != 'p'))
            *c = (char)toupper((unsigned char)*c);
        else if (flag == '#')
            *c = (char)tolower((unsigned char)*c);
    jinja_add_chars(b, text);
}

/* request: the format's own characters came from the request. */
static void add_directives(struct jinja_builder *b, const char *format, size_t n, bool request,
                           const struct tm *t, int64_t now, bool inside)
{
    for (size_t at = 0; at < n; at++) {
        if (format[at] != '%' || at + 1 >= n) {
            jinja_add(b, format + at, 1, request);
            continue;
        }
        size_t begin = at++;
        char flag = '\0';
        while (at + 1 < n && chars_have("-_0^#", format[at]))
            flag = format[at++];
        if (at + 1 < n && (format[at] == 'E' || format[at] == 'O'))
            at++;
        struct number number;
        const char *words = words_of(format[at], t), *parts = composed(format[at]);
        if (words != NULL) {
            add_words(b, words, format[at], flag);
        } else if (parts != NULL && !inside) {
            add_directives(b, parts, strlen(parts), request, t, now, true);
        } else if (number_of(format[at], t, &number)) {
            char text[16];
            char pad = flag == '-' ? '\0' : flag == '_' ? ' ' : flag == '0' ? '0' : number.pad;
            int width = pad == '\0' ? 0 : number.width;
            snprintf(text, sizeof text, pad == '0' ? "%0*d" : "%*d", width, number.value);
            jinja_add_chars(b, text);
        } else if (format[at] == 's') {
            char text[24];
            snprintf(text, sizeof text, "%lld", (long long)now);
            jinja_add_chars(b, text);
        } else {
            jinja_add(b, format + begin, at - begin + 1, request);
        }
    }
}

void dates_format(struct jinja_builder *b, const struct jinja_text *format, int64_t now)
{
    struct tm local;
    time_t time = (time_t)now;
    if (localtime_r(&time, &local) == NULL)
        jinja_fail(b->heap, "the time of day cannot be told");
    add_directives(b, format->bytes, format->n, format->n_spans > 0, &local, now, false);
}
