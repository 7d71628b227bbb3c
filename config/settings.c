/* settings.c - resolves the settings: defaults < INI file < environment < flags. Main thread,
 * before any other exists. */
#include "config/settings.h"

#include "base/append.h"
#include "base/nearest.h"
#include "config/table.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const char env_prefix[] = "SMALLMIND_";

struct given { /* one flag of the command line */
    const struct setting *setting;
    const char *text;
};

struct command_line {
    struct given *flags; /* [argc], owned */
    size_t n_flags;
    const char *words[1 + SETTINGS_ARGUMENTS]; /* the verb and what follows it */
    size_t n_words;
    bool version, help;
};

/* --- names that are not known --- */

static enum status unknown_name(const char *place, const char *what, const char *name,
                                enum place_kind kind, struct error *err)
{
    char hint[SETTING_NAME_MAX + 32];
    hint_setting(name, kind, hint);
    return error_set_param(err, STATUS_INVALID, name,
                           "%s: unknown %s%s (`smallmind --help` lists them all)", place, what,
                           hint);
}

/* "MAX_QUEUE" or "max_queue" to "max-queue"; false when it is too long to be a name. */
static bool plain_name(const char *name, char out[SETTING_NAME_MAX])
{
    size_t n = strlen(name);
    if (n >= SETTING_NAME_MAX)
        return false;
    for (size_t i = 0; i <= n; i++)
        out[i] = name[i] == '_' ? '-' : (char)tolower((unsigned char)name[i]);
    return true;
}

/* --- the command line --- */

/* One `--name`, `--name=value` or `--name value`; *i moves on when the value is the next word. */
static enum status read_flag(struct command_line *line, int argc, char *const *argv, int *i,
                             struct error *err)
{
    const char *word = argv[*i] + 2;
    size_t n = strcspn(word, "=");
    char name[SETTING_NAME_MAX], shown[SETTING_NAME_MAX + 2];
    snprintf(name, sizeof name, "%.*s", n < sizeof name ? (int)n : (int)sizeof name, word);
    snprintf(shown, sizeof shown, "--%s", name);
    const char *text = word[n] == '=' ? word + n + 1 : NULL;
    if (strcmp(name, "version") == 0 && n < sizeof name) {
        line->version = true;
        return text == NULL
                   ? STATUS_OK
                   : error_set_param(err, STATUS_INVALID, name, "--version takes no value");
    }
    const struct setting *setting = n < sizeof name ? settings_find(name) : NULL;
    if (setting == NULL)
        return unknown_name(shown, "option", name, PLACE_FLAG, err);
    if (text == NULL && setting->kind == KIND_FLAG)
        text = "on";
    if (text == NULL && *i + 1 < argc && strncmp(argv[*i + 1], "--", 2) != 0)
        text = argv[++*i];
    if (text == NULL) {
        char expected[192];
        value_expected(setting, expected, sizeof expected);
        return error_set_param(err, STATUS_INVALID, name, "%s needs a value: %s", shown, expected);
    }
    if (strcmp(name, "help") == 0) {
        if (strcmp(text, "on") != 0 && strcmp(text, "off") != 0)
            return error_set_param(err, STATUS_INVALID, name, "--help: \"%.40s\" must be on or off",
                                   text);
        line->help = strcmp(text, "on") == 0;
    }
    line->flags[line->n_flags++] = (struct given){setting, text};
    return STATUS_OK;
}

static enum status read_command_line(struct command_line *line, int argc, char *const *argv,
                                     struct error *err)
{
    line->flags = calloc((size_t)(argc > 0 ? argc : 1), sizeof *line->flags);
    if (line->flags == NULL)
        return error_no_memory(err, (unsigned long long)argc * sizeof *line->flags,
                               "the command line");
    bool words_only = false;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        enum status status = STATUS_OK;
        if (!words_only && strcmp(word, "--") == 0) {
            words_only = true;
        } else if (!words_only && strcmp(word, "-h") == 0) {
            line->help = true;
        } else if (!words_only && strncmp(word, "--", 2) == 0) {
            status = read_flag(line, argc, argv, &i, err);
        } else if (!words_only && word[0] == '-' && word[1] != '\0') {
            status = error_set(err, STATUS_INVALID,
                               "%s: options have two hyphens and a whole name, as in --port", word);
        } else if (line->n_words < sizeof line->words / sizeof *line->words) {
            line->words[line->n_words++] = word;
        } else {
            status = error_set(err, STATUS_INVALID, "\"%.80s\": one argument too many", word);
        }
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static enum status find_verb(enum verb *out, const char *name, struct error *err)
{
    const char *names[16];
    for (size_t i = 0; i < settings_verbs_n; i++) {
        names[i] = settings_verbs[i].name;
        if (strcmp(name, names[i]) == 0) {
            *out = settings_verbs[i].verb;
            return STATUS_OK;
        }
    }
    const char *near = nearest_name(name, names, settings_verbs_n);
    return error_set(err, STATUS_INVALID,
                     "\"%.80s\": unknown verb%s%s (`smallmind --help` lists them all)", name,
                     near != NULL ? "; nearest: " : "", near != NULL ? near : "");
}

/* verb and help, of `smallmind`, `smallmind --help`, `smallmind VERB --help` and `smallmind help
 * VERB` alike. */
static enum status read_verb(struct settings *s, const struct command_line *line, struct error *err)
{
    enum status status = STATUS_OK;
    s->verb = VERB_SERVE;
    s->help = line->help && line->n_words > 0;
    if (line->n_words > 0)
        status = find_verb(&s->verb, line->words[0], err);
    else if (line->help)
        s->verb = VERB_HELP;
    if (status == STATUS_OK && s->verb == VERB_HELP && line->n_words > 1) {
        if (line->n_words > 2)
            return error_set(err, STATUS_INVALID, "\"%.80s\": help takes one verb", line->words[2]);
        status = find_verb(&s->verb, line->words[1], err);
        s->help = true;
    }
    if (line->version) {
        s->verb = VERB_VERSION;
        s->help = false;
    }
    return status;
}

/* Words in an argument's description: "IN OUT TYPE" are three. */
static size_t count_words(const char *text)
{
    size_t n = text != NULL;
    for (; text != NULL && *text != '\0'; text++)
        n += *text == ' ';
    return n;
}

static const char *arguments_of(enum verb verb)
{
    for (size_t i = 0; i < settings_verbs_n; i++)
        if (settings_verbs[i].verb == verb)
            return settings_verbs[i].argument;
    return NULL;
}

static enum status too_many(const struct settings *s, const char *word, struct error *err)
{
    return error_set(err, STATUS_INVALID, "\"%.80s\": one argument too many%s", word,
                     s->verb == VERB_GENERATE ? "; quote a prompt of several words" : "");
}

/* Arguments without meaning are refused even where the verb only prints its usage. */
static enum status check_surplus(const struct settings *s, const struct command_line *line,
                                 struct error *err)
{
    const char *wanted = arguments_of(s->verb), *name = settings_verb_name(s->verb);
    size_t n = line->n_words > 0 ? line->n_words - 1 : 0, n_wanted = count_words(wanted);
    if (n > 0 && wanted == NULL)
        return error_set(err, STATUS_INVALID, "%s takes no argument: \"%.80s\"", name,
                         line->words[1]);
    return n > n_wanted ? too_many(s, line->words[1 + n_wanted], err) : STATUS_OK;
}

static enum status check_arguments(struct settings *s, const struct command_line *line,
                                   struct error *err)
{
    const char *wanted = arguments_of(s->verb), *name = settings_verb_name(s->verb);
    size_t n = line->n_words > 0 ? line->n_words - 1 : 0, n_wanted = count_words(wanted);
    enum status status = check_surplus(s, line, err);
    if (status != STATUS_OK)
        return status;
    if (wanted != NULL && n < n_wanted && wanted[0] != '[')
        return error_set(err, STATUS_INVALID, "%s needs %s: smallmind %s %s", name,
                         n_wanted == 1 ? "an argument" : "its arguments", name, wanted);
    for (size_t i = 0; i < n; i++) {
        s->arguments[i] = line->words[1 + i];
        if (s->arguments[i][0] == '\0' && s->verb != VERB_GENERATE) /* a prompt may be empty */
            return error_set(err, STATUS_INVALID, "%s: %s is empty: smallmind %s %s", name,
                             n_wanted == 1 ? "its argument" : "one of its arguments", name, wanted);
    }
    s->argument = s->arguments[0];
    return STATUS_OK;
}

/* An option that the verb does not know would have no effect. */
static enum status check_flags(const struct settings *s, const struct command_line *line,
                               struct error *err)
{
    const char *verb = settings_verb_name(s->verb);
    for (size_t i = 0; i < line->n_flags; i++) {
        const struct setting *setting = line->flags[i].setting;
        if ((setting->verbs & (unsigned)s->verb) == 0)
            return error_set_param(err, STATUS_INVALID, setting->name,
                                   "--%s: not an option of %s; see `smallmind %s --help`",
                                   setting->name, verb, verb);
    }
    return STATUS_OK;
}

static enum status apply_flags(struct resolved *r, const struct command_line *line,
                               struct error *err)
{
    for (size_t i = 0; i < line->n_flags; i++) {
        const struct setting *setting = line->flags[i].setting;
        char place[SETTING_NAME_MAX + 2];
        snprintf(place, sizeof place, "--%s", setting->name);
        enum status status = value_set(r, setting, line->flags[i].text, ORIGIN_FLAG, place, err);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

/* --- the INI file --- */

static enum status take_entry(void *ctx, const char *name, const char *value, const char *place,
                              struct error *err)
{
    struct resolved *r = ctx;
    char plain[SETTING_NAME_MAX], ini_name[SETTING_NAME_MAX + 16] = "", where[640];
    snprintf(where, sizeof where, "%s: %.64s", place, name);
    if (!plain_name(name, plain))
        return error_set(err, STATUS_INVALID, "%s: unknown setting", where);
    const struct setting *setting = settings_find(plain);
    if (setting != NULL)
        settings_ini_name(setting, ini_name);
    if (setting == NULL || setting->section == NULL || strcmp(name, ini_name) != 0)
        return unknown_name(where, "setting", plain, PLACE_INI, err);
    bool adds_up = setting->kind == KIND_STOPS || setting->kind == KIND_LIST;
    if (!adds_up && r->sources[setting - settings_table].origin == ORIGIN_FILE)
        return error_set_param(err, STATUS_INVALID, ini_name, "%s: given before, at %s", where,
                               r->sources[setting - settings_table].place);
    enum status status = value_set(r, setting, value, ORIGIN_FILE, where, err);
    if (status == STATUS_OK) /* --print-config names the file and line alone */
        r->sources[setting - settings_table].place[strlen(place)] = '\0';
    return status;
}

/* --- the environment --- */

static void note(char *notes, size_t notes_bytes, const char *name, const char *why)
{
    size_t n = strnlen(notes, notes_bytes);
    append_text(notes, notes_bytes, &n, "%s%.64s is ignored: %s", n > 0 ? "\n" : "", name, why);
}

/* The variables that Kubernetes sets for a Service called smallmind, in every pod beside it. */
static bool is_kubernetes(const char *name, const char *value)
{
    if (strcmp(name, "PORT") == 0)
        return strncmp(value, "tcp://", 6) == 0 || strncmp(value, "udp://", 6) == 0 ||
               strncmp(value, "sctp://", 7) == 0;
    return strncmp(name, "SERVICE_", 8) == 0 ||
           (strncmp(name, "PORT_", 5) == 0 && strcmp(name, "PORT_FILE") != 0);
}

static enum status take_variable(struct resolved *r, const char *variable, char *notes,
                                 size_t notes_bytes, struct error *err)
{
    char shown[SETTING_NAME_MAX + 16], plain[SETTING_NAME_MAX] = "";
    char env_name[SETTING_NAME_MAX + 16] = "";
    size_t n_shown = strcspn(variable, "=");
    const char *value = variable + n_shown + (variable[n_shown] == '=' ? 1 : 0);
    snprintf(shown, sizeof shown, "%.*s", n_shown < sizeof shown ? (int)n_shown : (int)sizeof shown,
             variable);
    const char *name = shown + strlen(env_prefix);
    if (is_kubernetes(name, value)) {
        note(notes, notes_bytes, shown, "Kubernetes sets it for a Service called smallmind");
        return STATUS_OK;
    }
    if (strcmp(name, "SHARED") == 0) /* where the tests find their larger files */
        return STATUS_OK;
    const struct setting *setting = plain_name(name, plain) ? settings_find(plain) : NULL;
    if (setting != NULL)
        settings_env_name(setting, env_name);
    if (setting == NULL || strcmp(shown, env_name) != 0 || strcmp(plain, "help") == 0)
        return unknown_name(shown, "environment variable", plain, PLACE_ENV, err);
    if (value[0] == '\0') /* NAME= is how compose files say "not set" */
        return STATUS_OK;
    return value_set(r, setting, value, ORIGIN_ENVIRONMENT, shown, err);
}

/* --- all of it --- */

static enum status apply_defaults(struct resolved *r, struct error *err)
{
    for (size_t i = 0; i < settings_table_n; i++) {
        enum status status = value_set(r, &settings_table[i], settings_table[i].fallback,
                                       ORIGIN_DEFAULT, "default", err);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

/* --config, or SMALLMIND_CONFIG. */
static const char *config_path(const struct command_line *line, char *const *env)
{
    for (size_t i = line->n_flags; i-- > 0;)
        if (strcmp(line->flags[i].setting->name, "config") == 0)
            return line->flags[i].text;
    for (; *env != NULL; env++)
        if (strncmp(*env, "SMALLMIND_CONFIG=", 17) == 0)
            return *env + 17;
    return "";
}

static const char name_letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                   "-._";

/* A name as a Host header has it, without its port. */
static bool is_host_name(const char *text)
{
    if (strcmp(text, "*") == 0)
        return true;
    size_t n = strlen(text);
    if (text[0] == '[')
        return strchr(text, ':') != NULL && strspn(text + 1, "0123456789abcdefABCDEF:.") == n - 2 &&
               text[n - 1] == ']';
    if (strncmp(text, "*.", 2) == 0)
        text += 2;
    return text[0] != '\0' && text[strspn(text, name_letters)] == '\0';
}

/* As an Origin header has it: SCHEME://HOST[:PORT]. */
static bool is_origin(const char *text)
{
    if (strcmp(text, "*") == 0 || strcmp(text, "null") == 0)
        return true;
    const char *authority = strstr(text, "://");
    return authority != NULL && authority > text && strpbrk(authority + 3, "/*?#") == NULL;
}

/* An item that no request could ever match is a slip. */
static enum status check_lists(const struct settings *s, struct error *err)
{
    for (size_t i = 0; i < s->allow_hosts.n; i++)
        if (!is_host_name(s->allow_hosts.items[i]))
            return error_set_param(err, STATUS_INVALID, "allow_host",
                                   "allow_host \"%.80s\" must be a host's name without scheme, "
                                   "port or path, *.NAME, or *",
                                   s->allow_hosts.items[i]);
    for (size_t i = 0; i < s->allow_origins.n; i++)
        if (!is_origin(s->allow_origins.items[i]))
            return error_set_param(err, STATUS_INVALID, "allow_origin",
                                   "allow_origin \"%.80s\" must be SCHEME://HOST or "
                                   "SCHEME://HOST:PORT without a path, or *",
                                   s->allow_origins.items[i]);
    return STATUS_OK;
}

/* Checks that take more than one row. */
static enum status check_together(const struct settings *s, struct error *err)
{
    if (s->threads != 0 && s->workers > s->threads)
        return error_set_param(err, STATUS_INVALID, "workers",
                               "%u workers with %u threads: each worker needs a thread of its own",
                               s->workers, s->threads);
    if (s->max_tokens != 0 && s->min_tokens > s->max_tokens)
        return error_set_param(err, STATUS_INVALID, "min_tokens",
                               "min_tokens %zu is more than max_tokens %zu", s->min_tokens,
                               s->max_tokens);
    return check_lists(s, err);
}

/* Checks of several rows together. */
static void derive(struct settings *s)
{
    s->unix_alone =
        s->unix_path != NULL && settings_is_default(s, "host") && settings_is_default(s, "port");
}

/* For a usage or the version alone: no value is looked at, but nothing may stand there in vain. */
static enum status check_asked(const struct settings *s, const struct command_line *line,
                               struct error *err)
{
    if (line->version && line->n_words > 0) /* of a whole command: the rest is that command's */
        return STATUS_OK;
    bool of_help = line->n_words > 0 && strcmp(line->words[0], "help") == 0;
    enum status status = of_help ? STATUS_OK : check_surplus(s, line, err);
    return status == STATUS_OK && !line->version ? check_flags(s, line, err) : status;
}

static enum status resolve(struct resolved *r, struct command_line *line, int argc,
                           char *const *argv, char *const *env, char *notes, size_t notes_bytes,
                           struct error *err)
{
    struct settings *s = &r->settings;
    enum status status = apply_defaults(r, err);
    if (status == STATUS_OK)
        status = read_command_line(line, argc, argv, err);
    if (status == STATUS_OK)
        status = read_verb(s, line, err);
    if (status != STATUS_OK)
        return status;
    /* These answer whatever the files and the environment say. `serve ... --version` is one too. */
    if (s->help || s->verb == VERB_HELP || s->verb == VERB_VERSION)
        return check_asked(s, line, err);
    status = check_flags(s, line, err);
    if (status != STATUS_OK)
        return status;
    const char *path = config_path(line, env);
    if (path[0] != '\0')
        status = ini_read(path, take_entry, r, err);
    for (; status == STATUS_OK && *env != NULL; env++)
        if (strncmp(*env, env_prefix, strlen(env_prefix)) == 0)
            status = take_variable(r, *env, notes, notes_bytes, err);
    if (status == STATUS_OK)
        status = apply_flags(r, line, err);
    if (status == STATUS_OK) /* without its argument, a verb's settings can be shown all the same */
        status = s->print_config ? check_surplus(s, line, err) : check_arguments(s, line, err);
    derive(s);
    return status != STATUS_OK ? status : check_together(s, err);
}

enum status settings_resolve(struct settings **out, int argc, char *const *argv, char *const *env,
                             char *notes, size_t notes_bytes, struct error *err)
{
    if (notes_bytes > 0)
        notes[0] = '\0';
    struct command_line line = {0};
    enum status status = STATUS_NO_MEMORY;
    struct resolved *r = calloc(1, sizeof *r);
    if (r != NULL)
        r->sources = calloc(settings_table_n, sizeof *r->sources);
    if (r == NULL || r->sources == NULL)
        error_no_memory(err, sizeof *r, "the settings");
    else
        status = resolve(r, &line, argc, argv, env, notes, notes_bytes, err);
    free(line.flags);
    if (status == STATUS_OK)
        *out = &r->settings;
    else
        settings_free(r != NULL ? &r->settings : NULL);
    return status;
}

static enum origin origin_of(const struct settings *settings, const char *name)
{
    const struct resolved *r = (const struct resolved *)settings; /* its first member */
    const struct setting *setting = settings_find(name);
    return setting != NULL ? r->sources[setting - settings_table].origin : ORIGIN_DEFAULT;
}

bool settings_is_default(const struct settings *settings, const char *name)
{
    return origin_of(settings, name) == ORIGIN_DEFAULT;
}

bool settings_has_option(enum verb verb, const char *name)
{
    const struct setting *setting = settings_find(name);
    return setting != NULL && (setting->verbs & (unsigned)verb) != 0;
}

bool settings_is_flag(const struct settings *settings, const char *name)
{
    return origin_of(settings, name) == ORIGIN_FLAG;
}

enum status settings_use_file(struct settings *settings, const char *path, struct error *err)
{
    const char *copy = value_keep((struct resolved *)settings, path); /* its first member */
    if (copy == NULL)
        return error_no_memory(err, strlen(path) + 1, "a setting");
    if (settings->verb == VERB_INSPECT)
        settings->argument = settings->arguments[0] = copy;
    else
        settings->model = copy;
    return STATUS_OK;
}

void settings_free(struct settings *settings)
{
    if (settings == NULL)
        return;
    struct resolved *r = (struct resolved *)settings; /* its first member */
    for (size_t i = 0; r->sources != NULL && i < settings_table_n; i++)
        free(r->sources[i].place);
    for (size_t i = 0; i < r->n_strings; i++)
        free(r->strings[i]);
    free(r->settings.biases);
    free(r->sources);
    free(r->strings);
    free(r);
}
