/* early.c - the one setting that matters before all are known: the form of the line that says what
 * is wrong with them. Main thread, before any other exists. */
#include "config/settings.h"
#include "config/table.h"

#include <string.h>
#include <sys/stat.h>

static const char flag[] = "--log-format", variable[] = "SMALLMIND_LOG_FORMAT=";

/* The text after `--NAME=`, or the next word where the option takes one; *i moves on to it. */
static const char *value_of(int argc, char *const *argv, int *i)
{
    const char *word = argv[*i];
    size_t n = strcspn(word, "=");
    char name[SETTING_NAME_MAX];
    if (word[n] == '=')
        return word + n + 1;
    snprintf(name, sizeof name, "%s", word + 2);
    const struct setting *setting = settings_find(name);
    bool stands_alone = setting == NULL || setting->kind == KIND_FLAG;
    if (stands_alone || *i + 1 >= argc || strncmp(argv[*i + 1], "--", 2) == 0)
        return NULL;
    return argv[++*i];
}

static bool is_named(const char *word, const char *name)
{
    size_t n = strlen(name);
    return strncmp(word, name, n) == 0 && (word[n] == '\0' || word[n] == '=');
}

/* Called for each entry of the file; the last format counts. */
static enum status take_format(void *ctx, const char *name, const char *value, const char *place,
                               struct error *err)
{
    (void)place;
    (void)err;
    if (strcmp(name, "log_format") == 0)
        *(bool *)ctx = strcmp(value, "json") == 0;
    return STATUS_OK;
}

enum log_format settings_log_format(int argc, char *const *argv, char *const *env)
{
    const char *format = NULL, *config = NULL, *verb = NULL;
    for (char *const *e = env; *e != NULL; e++) {
        if (strncmp(*e, variable, strlen(variable)) == 0 && (*e)[strlen(variable)] != '\0')
            format = *e + strlen(variable);
        else if (strncmp(*e, "SMALLMIND_CONFIG=", 17) == 0)
            config = *e + 17;
    }
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (strncmp(word, "--", 2) != 0) {
            verb = verb == NULL ? word : verb;
            continue;
        }
        const char *value = value_of(argc, argv, &i);
        if (is_named(word, flag) && value != NULL)
            format = value;
        else if (is_named(word, "--config") && value != NULL)
            config = value;
    }
    bool json = false;
    struct stat file;
    if (format != NULL)
        json = strcmp(format, "json") == 0;
    else if (config != NULL && stat(config, &file) == 0 &&
             S_ISREG(file.st_mode)) /* no pipe twice */
        ini_read(config, take_format, &json, NULL);
    return json && (verb == NULL || strcmp(verb, "serve") == 0) ? LOG_JSON : LOG_TEXT;
}
