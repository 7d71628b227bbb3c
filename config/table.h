/* table.h - the one table of settings: what config/ knows about each of them. Internal to config/.
 *
 * Static and read-only. The names in the four places (flag, environment, INI file, default) and
 * every text for people are made from its rows.
 */
#pragma once

#include "config/settings.h"

enum kind {
    KIND_TEXT,
    KIND_SECRET, /* text that is never shown */
    KIND_NUMBER, /* whole, decimal */
    KIND_BYTES,  /* whole, with K, M, G or T for powers of 1024 */
    KIND_REAL,
    KIND_CHOICE, /* one of words; the field gets its place among them */
    KIND_SWITCH, /* on or off */
    KIND_FLAG,   /* on or off; as a flag it stands alone and means on */
    KIND_SEED,   /* a number of 64 bits, or random */
    KIND_STOPS,  /* text, up to SETTINGS_STOPS times */
    KIND_LIST,   /* texts, commas between them; may be given several times */
    KIND_MODE,   /* a file's permissions, octal */
    KIND_BIASES, /* ID:BIAS,ID:BIAS */
};

struct setting {
    const char *name;    /* as in the flag, without the hyphens in front: "max-queue" */
    const char *section; /* of the INI file; NULL: not in it */
    enum kind kind;
    size_t offset, size;  /* the field of struct settings */
    unsigned verbs;       /* bits of enum verb */
    double min, max;      /* of numbers; exact below 2^53 */
    const char *zero;     /* the word that gives the field 0, where that means something else than
                             a number (the digit is refused then); NULL: none */
    const char *words;    /* of a choice, separated by single spaces */
    const char *fallback; /* the default as text, read as any other; "": not set */
    const char *value;    /* what --help puts after the flag */
    const char *help;
    const char *when; /* when to change it, for the INI file */
};

extern const struct setting settings_table[];
extern const size_t settings_table_n;

/* NULL when unknown. */
const struct setting *settings_find(const char *name);

struct verb_info {
    const char *name;
    enum verb verb;
    const char *argument; /* "FILE", "[PROMPT]"; NULL: takes none */
    const char *help;
    const char *details; /* a paragraph for its own usage; NULL: none */
};
extern const struct verb_info settings_verbs[];
extern const size_t settings_verbs_n;
const char *settings_verb_name(enum verb verb);

enum { SETTING_NAME_MAX = 64 };
/* "max-queue" to "SMALLMIND_MAX_QUEUE" and "max_queue"; out: [SETTING_NAME_MAX + 16]. */
void settings_env_name(const struct setting *setting, char *out);
void settings_ini_name(const struct setting *setting, char *out);

/* --- value.c: one value from text and back --- */

/* Where a value came from. */
enum origin { ORIGIN_DEFAULT, ORIGIN_FILE, ORIGIN_ENVIRONMENT, ORIGIN_FLAG };

/* The settings and what is remembered about each. settings is the first member, so that a borrowed
 * pointer to it leads back here. */
struct resolved {
    struct settings settings;
    struct { /* [settings_table_n] */
        enum origin origin;
        char *place; /* "smallmind.ini:12", "SMALLMIND_PORT", "--port"; owned; NULL for a default */
    } * sources;
    char **strings; /* every string the settings point to; owned */
    size_t n_strings, strings_room;
};

/* Reads text into the setting's field and remembers the source. place names it for messages too.
 * STATUS_INVALID says what would be right. */
enum status value_set(struct resolved *r, const struct setting *setting, const char *text,
                      enum origin origin, const char *place, struct error *err);

/* A copy of text that lives as long as the settings; NULL: out of memory. */
const char *value_keep(struct resolved *r, const char *text);

/* The value as text that value_set would read back; "" when not set. Lists: element i of
 * value_count. */
enum { VALUE_TEXT_MAX = 64 };
size_t value_count(const struct settings *s, const struct setting *setting);
const char *value_text(const struct settings *s, const struct setting *setting, size_t i,
                       char buffer[VALUE_TEXT_MAX]);

/* "a whole number from 1 to 1024, or auto" */
void value_expected(const struct setting *setting, char *out, size_t room);

/* --- hints.c --- */

enum place_kind { PLACE_FLAG, PLACE_ENV, PLACE_INI };

/* "; nearest: --max-queue", the name spelt as its place spells it; "" where none is near. */
void hint_setting(const char *name, enum place_kind kind, char out[SETTING_NAME_MAX + 32]);

/* --- ini.c --- */

/* Called for each `name = value`; place: "FILE:LINE". */
typedef enum status ini_entry_fn(void *ctx, const char *name, const char *value, const char *place,
                                 struct error *err);
enum status ini_read(const char *path, ini_entry_fn *entry, void *ctx, struct error *err);
