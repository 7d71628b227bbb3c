/* settings_test.h - what the tests of settings share: resolving a command line, an environment, a
 * file. */
#pragma once

#pragma GCC diagnostic ignored "-Wunused-function" /* each file uses some */
#pragma GCC diagnostic ignored "-Wunused-variable"

#include "config/settings.h"
#include "config/table.h"

#include <check.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORDS_MAX = 32 };

static struct settings *settings;
static struct error err;
static char notes[1024];
static char ini_path[64];

static void forget(void)
{
    settings_free(settings);
    settings = NULL;
    if (ini_path[0] != '\0')
        unlink(ini_path);
    ini_path[0] = '\0';
}

/* "serve --port 1" with these environment variables ("A=1 B=2"); words are cut at single spaces. */
static enum status resolve(const char *line, const char *environment)
{
    static char line_copy[1024], env_copy[1024];
    char program[] = "smallmind";
    char *argv[WORDS_MAX + 1] = {program}, *env[WORDS_MAX + 1] = {NULL};
    int argc = 1;
    size_t n_env = 0;
    snprintf(line_copy, sizeof line_copy, "%s", line);
    snprintf(env_copy, sizeof env_copy, "%s", environment);
    char *rest = line_copy;
    for (char *word; line[0] != '\0' && (word = strsep(&rest, " ")) != NULL;)
        argv[argc++] = word;
    rest = env_copy;
    for (char *word; environment[0] != '\0' && (word = strsep(&rest, " ")) != NULL;)
        env[n_env++] = word;
    settings_free(settings);
    settings = NULL;
    err = (struct error){0};
    return settings_resolve(&settings, argc, argv, env, notes, sizeof notes, &err);
}

static void accepts(const char *line, const char *environment)
{
    enum status status = resolve(line, environment);
    ck_assert_msg(status == STATUS_OK, "`%s` with `%s`: %s", line, environment, err.text);
}

/* The error must hold each of two texts. */
static void refuses(const char *line, const char *environment, const char *part, const char *other)
{
    ck_assert_msg(resolve(line, environment) == STATUS_INVALID, "`%s` with `%s` was taken", line,
                  environment);
    ck_assert_ptr_null(settings);
    ck_assert_msg(strstr(err.text, part) != NULL && strstr(err.text, other) != NULL,
                  "`%s`: \"%s\" does not hold \"%s\" and \"%s\"", line, err.text, part, other);
}

/* "serve --config FILE" where FILE holds this text. */
static const char *with_ini(const char *text, const char *more)
{
    static char line[256];
    forget();
    snprintf(ini_path, sizeof ini_path, "/tmp/smallmind-test-XXXXXX");
    int fd = mkstemp(ini_path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    snprintf(line, sizeof line, "--config %s%s%s", ini_path, more[0] != '\0' ? " " : "", more);
    return line;
}

/* One of the printers' text; malloc'ed. */
static char *printed(void (*print)(FILE *))
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    ck_assert_ptr_nonnull(out);
    print(out);
    fclose(out);
    return text;
}

static void print_settings(FILE *out)
{
    settings_print(settings, out);
}

static size_t help_columns = 80;

static void print_help(FILE *out)
{
    settings_help(settings->help ? settings->verb : 0, help_columns, out);
}

static void prints(void (*print)(FILE *), const char *part, bool wanted)
{
    char *text = printed(print);
    ck_assert_msg((strstr(text, part) != NULL) == wanted, "\"%s\" is %s in:\n%s", part,
                  wanted ? "missing" : "present", text);
    free(text);
}

static void has_items(const struct setting_list *list, size_t n, const char *const *items)
{
    ck_assert_uint_eq(list->n, n);
    for (size_t i = 0; i < n; i++)
        ck_assert_str_eq(list->items[i], items[i]);
}

/* "VERB --name=VALUE" of the first verb that has the setting. */
static const char *line_of(const struct setting *setting, const char *value)
{
    static char line[160];
    enum verb verb = (enum verb)(setting->verbs & -setting->verbs);
    snprintf(line, sizeof line, "%s --%s=%s", settings_verb_name(verb), setting->name, value);
    return line;
}
