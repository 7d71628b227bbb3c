/* value.c - one setting's value: from text with every check, and back to text. Main thread, before
 * any other exists. */
#include "config/table.h"

#include "base/nearest.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- text to numbers --- */

static bool parse_u64(const char *text, uint64_t *out)
{
    if (!isdigit((unsigned char)text[0]))
        return false;
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0')
        return false;
    *out = value;
    return true;
}

/* Digits and perhaps one of K, M, G, T. */
static bool parse_bytes(const char *text, uint64_t *out)
{
    char digits[32];
    size_t n = strspn(text, "0123456789");
    if (n == 0 || n >= sizeof digits || (text[n] != '\0' && text[n + 1] != '\0'))
        return false;
    memcpy(digits, text, n);
    digits[n] = '\0';
    static const char units[] = "KMGT";
    unsigned shift = 0;
    if (text[n] != '\0') {
        const char *unit = strchr(units, toupper((unsigned char)text[n]));
        if (unit == NULL)
            return false;
        shift = 10 * ((unsigned)(unit - units) + 1);
    }
    uint64_t value;
    if (!parse_u64(digits, &value) || value > UINT64_MAX >> shift)
        return false;
    *out = value << shift;
    return true;
}

static bool parse_real(const char *text, float *out)
{
    if (text[0] == '\0' || text[strspn(text, "0123456789+-.eE")] != '\0')
        return false;
    char *end;
    float value = strtof(text, &end);
    if (*end != '\0' || !isfinite(value))
        return false;
    *out = value;
    return true;
}

/* The word's place among the words; -1 when it is none of them. */
static int parse_choice(const char *words, const char *text)
{
    size_t n = strlen(text);
    int place = 0;
    for (const char *word = words; *word != '\0'; place++) {
        size_t length = strcspn(word, " ");
        if (n == length && strncmp(word, text, n) == 0)
            return place;
        word += length;
        word += *word == ' ' ? 1 : 0;
    }
    return -1;
}

/* --- what a message says --- */

static void print_number(const struct setting *setting, double value, char out[VALUE_TEXT_MAX])
{
    if (setting->kind == KIND_REAL || setting->kind == KIND_BIASES)
        snprintf(out, VALUE_TEXT_MAX, "%g", value);
    else
        snprintf(out, VALUE_TEXT_MAX, "%.0f", value);
}

void value_expected(const struct setting *setting, char *out, size_t room)
{
    char min[VALUE_TEXT_MAX], max[VALUE_TEXT_MAX];
    print_number(setting, setting->min, min);
    print_number(setting, setting->max, max);
    const char * or = setting->zero != NULL ? ", or " : "",
                 *zero = setting->zero != NULL ? setting->zero : "";
    switch (setting->kind) {
    case KIND_TEXT:
    case KIND_SECRET:
    case KIND_STOPS:
        snprintf(out, room, "a text that is not empty");
        break;
    case KIND_LIST:
        snprintf(out, room, "up to %d texts with commas between them", SETTINGS_ITEMS);
        break;
    case KIND_MODE:
        snprintf(out, room, "permissions in octal, such as 0600 or 0666");
        break;
    case KIND_NUMBER:
        snprintf(out, room, "a whole number from %s to %s%s%s", min, max, or, zero);
        break;
    case KIND_BYTES:
        snprintf(out, room, "a number of bytes such as 1048576, 512M or 2G, from %s to %s%s%s", min,
                 max, or, zero);
        break;
    case KIND_REAL:
        snprintf(out, room, "a number from %s to %s", min, max);
        break;
    case KIND_CHOICE:
        snprintf(out, room, "one of: %s", setting->words);
        break;
    case KIND_SWITCH:
    case KIND_FLAG:
        snprintf(out, room, "on or off");
        break;
    case KIND_SEED:
        snprintf(out, room, "a whole number from 0 to 18446744073709551615, or random");
        break;
    case KIND_BIASES:
        snprintf(out, room,
                 "up to %d pairs ID:BIAS with commas between them, each bias from %s to %s",
                 SETTINGS_BIASES, min, max);
        break;
    }
}

/* The word of a choice that text most likely meant; NULL: none. */
static const char *nearest_word(const struct setting *setting, const char *text,
                                char copy[VALUE_TEXT_MAX])
{
    const char *words[16];
    size_t n = 0;
    snprintf(copy, VALUE_TEXT_MAX, "%s", setting->words);
    char *rest = copy;
    for (char *word; n < 16 && (word = strsep(&rest, " ")) != NULL;)
        words[n++] = word;
    return nearest_name(text, words, n);
}

static enum status refuse(const struct setting *setting, const char *text, const char *place,
                          struct error *err)
{
    char expected[192], copy[VALUE_TEXT_MAX], name[SETTING_NAME_MAX + 16], shown[80];
    value_expected(setting, expected, sizeof expected);
    snprintf(shown, sizeof shown, "%s", text);
    settings_ini_name(setting, name);
    const char *near = NULL;
    if (setting->kind == KIND_CHOICE)
        near = nearest_word(setting, text, copy);
    return error_set_param(err, STATUS_INVALID, name, "%s: \"%s\" must be %s%s%s", place, shown,
                           expected, near != NULL ? "; nearest: " : "", near != NULL ? near : "");
}

/* --- fields --- */

static void *field(struct settings *s, const struct setting *setting)
{
    return (char *)s + setting->offset;
}

static const void *field_const(const struct settings *s, const struct setting *setting)
{
    return (const char *)s + setting->offset;
}

static void store_u64(struct settings *s, const struct setting *setting, uint64_t value)
{
    if (setting->size == sizeof(uint64_t)) {
        memcpy(field(s, setting), &value, sizeof value);
    } else {
        uint32_t narrow =
            (uint32_t)value; /* unsigned, int, or an enum's place: the range was checked */
        memcpy(field(s, setting), &narrow, sizeof narrow);
    }
}

static uint64_t load_u64(const struct settings *s, const struct setting *setting)
{
    uint64_t value = 0;
    uint32_t narrow;
    if (setting->size == sizeof value) {
        memcpy(&value, field_const(s, setting), sizeof value);
        return value;
    }
    memcpy(&narrow, field_const(s, setting), sizeof narrow);
    return narrow;
}

const char *value_keep(struct resolved *r, const char *text)
{
    if (r->n_strings == r->strings_room) {
        size_t room = r->strings_room == 0 ? 32 : 2 * r->strings_room;
        char **more = realloc(r->strings, room * sizeof *more);
        if (more == NULL)
            return NULL;
        r->strings = more;
        r->strings_room = room;
    }
    char *copy = strdup(text);
    if (copy != NULL)
        r->strings[r->n_strings++] = copy;
    return copy;
}

/* --- one kind each --- */

static enum status set_text(struct resolved *r, const struct setting *setting, const char *text,
                            const char *place, struct error *err)
{
    const char *value = NULL;
    if (text[0] != '\0') {
        value = value_keep(r, text);
        if (value == NULL)
            return error_no_memory(err, strlen(text) + 1, "a setting");
    } else if (setting->fallback[0] != '\0') {
        return refuse(setting, text, place,
                      err); /* it must have a value; others may be unset this way */
    }
    memcpy(field(&r->settings, setting), &value, sizeof value);
    return STATUS_OK;
}

static enum status set_number(struct resolved *r, const struct setting *setting, const char *text,
                              const char *place, struct error *err)
{
    uint64_t value = 0;
    bool is_zero_word = setting->zero != NULL && strcmp(text, setting->zero) == 0;
    if (!is_zero_word) {
        bool ok = setting->kind == KIND_BYTES ? parse_bytes(text, &value) : parse_u64(text, &value);
        if (!ok || (double)value < setting->min || (double)value > setting->max)
            return refuse(setting, text, place, err);
    }
    store_u64(&r->settings, setting, value);
    return STATUS_OK;
}

static enum status set_real(struct resolved *r, const struct setting *setting, const char *text,
                            const char *place, struct error *err)
{
    float value = NAN; /* not set, where there is no default */
    bool unset = text[0] == '\0' && setting->fallback[0] == '\0';
    if (!unset &&
        (!parse_real(text, &value) || value < (float)setting->min || value > (float)setting->max))
        return refuse(setting, text, place, err);
    memcpy(field(&r->settings, setting), &value, sizeof value);
    return STATUS_OK;
}

static enum status set_bool(struct resolved *r, const struct setting *setting, const char *text,
                            const char *place, struct error *err)
{
    int choice = parse_choice("off on", text);
    if (choice < 0)
        return refuse(setting, text, place, err);
    bool value = choice == 1;
    memcpy(field(&r->settings, setting), &value, sizeof value);
    return STATUS_OK;
}

static enum status set_seed(struct resolved *r, const struct setting *setting, const char *text,
                            const char *place, struct error *err)
{
    uint64_t value = 0;
    bool has_seed = strcmp(text, "random") != 0;
    if (has_seed && !parse_u64(text, &value))
        return refuse(setting, text, place, err);
    r->settings.seed = value;
    r->settings.has_seed = has_seed;
    return STATUS_OK;
}

/* Texts of one source add up; those of a later source replace them. */
static enum status set_stop(struct resolved *r, const struct setting *setting, const char *text,
                            enum origin origin, const char *place, struct error *err)
{
    struct settings *s = &r->settings;
    if (r->sources[setting - settings_table].origin != origin)
        s->n_stop = 0;
    if (text[0] == '\0')
        return STATUS_OK;
    if (s->n_stop == SETTINGS_STOPS)
        return error_set_param(err, STATUS_INVALID, "stop",
                               "%s: at most %d stop texts may be given", place, SETTINGS_STOPS);
    const char *value = value_keep(r, text);
    if (value == NULL)
        return error_no_memory(err, strlen(text) + 1, "a setting");
    s->stop[s->n_stop++] = value;
    return STATUS_OK;
}

/* Items of one source add up; those of a later source replace them. */
static enum status set_list(struct resolved *r, const struct setting *setting, const char *text,
                            enum origin origin, const char *place, struct error *err)
{
    struct setting_list *list = field(&r->settings, setting), found = {.n = 0};
    if (r->sources[setting - settings_table].origin == origin)
        found = *list;
    if (text[0] == '\0' && setting->fallback[0] != '\0')
        return refuse(setting, text, place, err);
    for (const char *item = text + strspn(text, " \t"); *item != '\0';) {
        size_t n = strcspn(item, ", \t");
        if (n == 0 || found.n == SETTINGS_ITEMS)
            return refuse(setting, text, place, err);
        char *copy = strndup(item, n);
        const char *kept = copy != NULL ? value_keep(r, copy) : NULL;
        free(copy);
        if (kept == NULL)
            return error_no_memory(err, n + 1, "a setting");
        found.items[found.n++] = kept;
        item += n + strspn(item + n, " \t");
        if (*item != ',')
            continue;
        item += 1 + strspn(item + 1, " \t");
        if (*item == '\0')
            return refuse(setting, text, place, err);
    }
    *list = found;
    return STATUS_OK;
}

static enum status set_mode(struct resolved *r, const struct setting *setting, const char *text,
                            const char *place, struct error *err)
{
    size_t n = strspn(text, "01234567");
    unsigned long value = strtoul(text, NULL, 8);
    if (n < 3 || n > 4 || text[n] != '\0' || (double)value > setting->max)
        return refuse(setting, text, place, err);
    store_u64(&r->settings, setting, value);
    return STATUS_OK;
}

static bool parse_bias(const struct setting *setting, const char *text, struct setting_bias *out)
{
    char id[16];
    size_t n = strcspn(text, ":");
    uint64_t value;
    if (text[n] != ':' || n >= sizeof id)
        return false;
    memcpy(id, text, n);
    id[n] = '\0';
    if (!parse_u64(id, &value) || value > INT32_MAX || !parse_real(text + n + 1, &out->bias) ||
        out->bias < (float)setting->min || out->bias > (float)setting->max)
        return false;
    out->id = (int32_t)value;
    return true;
}

static enum status set_biases(struct resolved *r, const struct setting *setting, const char *text,
                              const char *place, struct error *err)
{
    struct settings *s = &r->settings;
    size_t room = 1, n = 0;
    for (const char *c = text; *c != '\0'; c++)
        room += *c == ',' ? 1 : 0;
    if (room > SETTINGS_BIASES)
        return refuse(setting, text, place, err);
    struct setting_bias *biases = calloc(room, sizeof *biases);
    char *copy = strdup(text), *rest = copy;
    if (biases == NULL || copy == NULL) {
        free(biases);
        free(copy);
        return error_no_memory(err, room * sizeof *biases, "a setting");
    }
    bool ok = true;
    for (char *pair; ok && text[0] != '\0' && (pair = strsep(&rest, ",")) != NULL; n++)
        ok = parse_bias(setting, pair, &biases[n]);
    free(copy);
    if (!ok) {
        free(biases);
        return refuse(setting, text, place, err);
    }
    free(s->biases);
    s->biases = biases;
    s->n_biases = n;
    return STATUS_OK;
}

enum status value_set(struct resolved *r, const struct setting *setting, const char *text,
                      enum origin origin, const char *place, struct error *err)
{
    enum status status = STATUS_OK;
    /* In a file or the environment it is "not set"; on a command line it is a shell's variable that
     * was empty, and --api-key-file "$KEYS" must not start a service without keys. */
    if (text[0] == '\0' && origin == ORIGIN_FLAG)
        return refuse(setting, text, place, err);
    switch (setting->kind) {
    case KIND_TEXT:
    case KIND_SECRET:
        status = set_text(r, setting, text, place, err);
        break;
    case KIND_NUMBER:
    case KIND_BYTES:
        status = set_number(r, setting, text, place, err);
        break;
    case KIND_REAL:
        status = set_real(r, setting, text, place, err);
        break;
    case KIND_CHOICE: {
        int choice = parse_choice(setting->words, text);
        if (choice < 0)
            return refuse(setting, text, place, err);
        store_u64(&r->settings, setting, (uint64_t)choice);
        break;
    }
    case KIND_SWITCH:
    case KIND_FLAG:
        status = set_bool(r, setting, text, place, err);
        break;
    case KIND_SEED:
        status = set_seed(r, setting, text, place, err);
        break;
    case KIND_STOPS:
        status = set_stop(r, setting, text, origin, place, err);
        break;
    case KIND_BIASES:
        status = set_biases(r, setting, text, place, err);
        break;
    case KIND_LIST:
        status = set_list(r, setting, text, origin, place, err);
        break;
    case KIND_MODE:
        status = set_mode(r, setting, text, place, err);
        break;
    }
    if (status != STATUS_OK)
        return status;
    char *copy = strdup(place);
    if (copy == NULL)
        return error_no_memory(err, strlen(place) + 1, "a setting");
    size_t i = (size_t)(setting - settings_table);
    free(r->sources[i].place);
    r->sources[i].place = copy;
    r->sources[i].origin = origin;
    return STATUS_OK;
}

/* --- back to text --- */

size_t value_count(const struct settings *s, const struct setting *setting)
{
    if (setting->kind == KIND_STOPS)
        return s->n_stop;
    if (setting->kind == KIND_LIST)
        return ((const struct setting_list *)field_const(s, setting))->n;
    return setting->kind == KIND_BIASES ? s->n_biases : 1;
}

static void print_u64(const struct setting *setting, uint64_t value, char buffer[VALUE_TEXT_MAX])
{
    if (value == 0 && setting->zero != NULL) {
        snprintf(buffer, VALUE_TEXT_MAX, "%s", setting->zero);
        return;
    }
    static const char *const units[] = {"", "K", "M", "G", "T"};
    size_t unit = 0;
    while (setting->kind == KIND_BYTES && value != 0 && value % 1024 == 0 && unit < 4) {
        value /= 1024;
        unit++;
    }
    snprintf(buffer, VALUE_TEXT_MAX, "%llu%s", (unsigned long long)value, units[unit]);
}

/* The shortest decimal that reads back as the same float; from 3 digits, so that 100 is not 1e+02.
 */
static void print_float(float value, char buffer[VALUE_TEXT_MAX])
{
    for (int digits = 3; digits <= 9; digits++) {
        snprintf(buffer, VALUE_TEXT_MAX, "%.*g", digits, (double)value);
        if (strtof(buffer, NULL) == value)
            return;
    }
}

static void print_word(const char *words, uint64_t place, char buffer[VALUE_TEXT_MAX])
{
    while (place-- > 0)
        words += strcspn(words, " ") + 1;
    snprintf(buffer, VALUE_TEXT_MAX, "%.*s", (int)strcspn(words, " "), words);
}

const char *value_text(const struct settings *s, const struct setting *setting, size_t i,
                       char buffer[VALUE_TEXT_MAX])
{
    const char *text = NULL;
    float real;
    bool on;
    buffer[0] = '\0';
    switch (setting->kind) {
    case KIND_SECRET:
        return "";
    case KIND_TEXT:
        memcpy(&text, field_const(s, setting), sizeof text);
        return text != NULL ? text : "";
    case KIND_NUMBER:
    case KIND_BYTES:
        print_u64(setting, load_u64(s, setting), buffer);
        break;
    case KIND_REAL:
        memcpy(&real, field_const(s, setting), sizeof real);
        if (!isnan(real))
            print_float(real, buffer);
        break;
    case KIND_CHOICE:
        print_word(setting->words, load_u64(s, setting), buffer);
        break;
    case KIND_SWITCH:
    case KIND_FLAG:
        memcpy(&on, field_const(s, setting), sizeof on);
        return on ? "on" : "off";
    case KIND_SEED:
        if (!s->has_seed)
            return "random";
        print_u64(setting, s->seed, buffer);
        break;
    case KIND_STOPS:
        return s->stop[i];
    case KIND_LIST:
        return ((const struct setting_list *)field_const(s, setting))->items[i];
    case KIND_MODE:
        snprintf(buffer, VALUE_TEXT_MAX, "%04llo", (unsigned long long)load_u64(s, setting));
        break;
    case KIND_BIASES:
        print_float(s->biases[i].bias, buffer);
        text = strdupa(buffer);
        snprintf(buffer, VALUE_TEXT_MAX, "%d:%s", (int)s->biases[i].id, text);
        break;
    }
    return buffer;
}
