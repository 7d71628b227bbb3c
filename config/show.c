/* show.c - what the table says to people: --help, --print-config and the INI file. */
#include "config/settings.h"

#include "config/table.h"

#include <string.h>

/* --- --print-config --- */

/* Lines that are an INI file again: a comment after a value begins with a semicolon. */
static void print_value(const struct resolved *r, const struct setting *setting, FILE *out)
{
    const struct settings *s = &r->settings;
    char name[SETTING_NAME_MAX + 16], buffer[VALUE_TEXT_MAX];
    settings_ini_name(setting, name);
    const char *place = r->sources[setting - settings_table].place;
    size_t n = value_count(s, setting);
    if (setting->kind == KIND_STOPS && n > 0) {
        for (size_t i = 0; i < n; i++)
            fprintf(out, "%-18s = %-24s ; %s\n", name, value_text(s, setting, i, buffer), place);
        return;
    }
    if (setting->kind == KIND_SECRET && !settings_is_default(s, setting->name)) {
        fprintf(out, "%-18s = %-24s ; not shown; %s\n", name, "", place);
        return;
    }
    bool is_list = setting->kind == KIND_BIASES || setting->kind == KIND_LIST;
    if (!is_list || n < 2) {
        fprintf(out, "%-18s = %-24s ; %s\n", name, n == 0 ? "" : value_text(s, setting, 0, buffer),
                place);
        return;
    }
    fprintf(out, "%-18s = ", name);
    for (size_t i = 0; i < n; i++)
        fprintf(out, "%s%s", i == 0 ? "" : ",", value_text(s, setting, i, buffer));
    fprintf(out, " ; %s\n", place);
}

void settings_print(const struct settings *settings, FILE *out)
{
    const struct resolved *r = (const struct resolved *)settings; /* its first member */
    const char *section = "";
    for (size_t i = 0; i < settings_table_n; i++) {
        const struct setting *setting = &settings_table[i];
        if (setting->section == NULL || (setting->verbs & (unsigned)settings->verb) == 0)
            continue;
        if (strcmp(section, setting->section) != 0)
            fprintf(out, "%s[%s]\n", section[0] != '\0' ? "\n" : "", setting->section);
        section = setting->section;
        print_value(r, setting, out);
    }
}

/* --- --help --- */

enum { TEXT_COLUMN = 28, NARROW = 64, NARROW_COLUMN = 6, COLUMNS_LEAST = 40, COLUMNS_MOST = 120 };

/* Text from column on, broken at spaces so that no line is wider than n_columns; the lines after
 * the first are indented. A word that is too long stands alone. */
static void print_wrapped(FILE *out, const char *text, size_t column, size_t indent,
                          size_t n_columns)
{
    bool first = true;
    while (*text != '\0') {
        size_t n = strcspn(text, " ");
        if (!first && column + 1 + n > n_columns) {
            fprintf(out, "\n%*s", (int)indent, "");
            column = indent;
            first = true;
        }
        fprintf(out, "%s%.*s", first ? "" : " ", (int)n, text);
        column += n + (first ? 0 : 1);
        first = false;
        text += n;
        text += *text == ' ';
    }
    fputc('\n', out);
}

/* "  LEFT    text text", the text in its column; below a left part that is too wide. */
static void print_entry(FILE *out, const char *left, const char *text, size_t indent,
                        size_t n_columns)
{
    size_t n = 2 + strlen(left);
    indent = n_columns < NARROW ? NARROW_COLUMN : indent;
    fprintf(out, "  %s", left);
    if (n + 2 > indent) {
        fputc('\n', out);
        n = 0;
    }
    fprintf(out, "%*s", (int)(indent - n), "");
    print_wrapped(out, text, indent, indent, n_columns);
}

static void print_option(const struct setting *setting, size_t n_columns, FILE *out)
{
    char flag[SETTING_NAME_MAX + 32], text[512];
    snprintf(flag, sizeof flag, "--%s%s%s", setting->name, setting->value != NULL ? " " : "",
             setting->value != NULL ? setting->value : "");
    bool has_default = setting->kind != KIND_FLAG && setting->fallback[0] != '\0';
    snprintf(text, sizeof text, "%s%s%s%s", setting->help, has_default ? " [" : "",
             has_default ? setting->fallback : "", has_default ? "]" : "");
    print_entry(out, flag, text, TEXT_COLUMN, n_columns);
}

static void print_options(unsigned verbs, size_t n_columns, FILE *out)
{
    const char *section = "";
    for (size_t i = 0; i < settings_table_n; i++) {
        const struct setting *setting = &settings_table[i];
        if ((setting->verbs & verbs) == 0)
            continue;
        const char *here = setting->section != NULL ? setting->section : "general";
        if (strcmp(section, here) != 0)
            fprintf(out, "\n%s:\n", here);
        section = here;
        print_option(setting, n_columns, out);
    }
}

static void print_verbs(size_t n_columns, FILE *out)
{
    enum { VERB_COLUMN = 25 };
    print_wrapped(out, "usage: smallmind [VERB] [OPTION...] [ARGUMENT...]", 0, 7, n_columns);
    fputc('\n', out);
    for (size_t i = 0; i < settings_verbs_n; i++) {
        char verb[48];
        snprintf(verb, sizeof verb, "%s%s%s", settings_verbs[i].name,
                 settings_verbs[i].argument != NULL ? " " : "",
                 settings_verbs[i].argument != NULL ? settings_verbs[i].argument : "");
        print_entry(out, verb, settings_verbs[i].help, VERB_COLUMN, n_columns);
    }
    fputc('\n', out);
    print_wrapped(out,
                  "`smallmind VERB --help` shows one verb's options; these are all of them, with "
                  "their defaults:",
                  0, 0, n_columns);
}

static void print_verb(const struct verb_info *info, size_t n_columns, FILE *out)
{
    char usage[96];
    snprintf(usage, sizeof usage, "usage: smallmind %s [OPTION...]%s%s", info->name,
             info->argument != NULL ? " " : "", info->argument != NULL ? info->argument : "");
    print_wrapped(out, usage, 0, 7, n_columns);
    fputc('\n', out);
    print_wrapped(out, info->help, 0, 0, n_columns);
    if (info->details != NULL) {
        fputc('\n', out);
        print_wrapped(out, info->details, 0, 0, n_columns);
    }
}

void settings_help(enum verb verb, size_t n_columns, FILE *out)
{
    const struct verb_info *info = NULL;
    n_columns = n_columns < COLUMNS_LEAST  ? COLUMNS_LEAST
                : n_columns > COLUMNS_MOST ? COLUMNS_MOST
                                           : n_columns;
    for (size_t i = 0; i < settings_verbs_n; i++)
        if (settings_verbs[i].verb == verb)
            info = &settings_verbs[i];
    if (info == NULL)
        print_verbs(n_columns, out);
    else
        print_verb(info, n_columns, out);
    print_options(info == NULL ? ~0u : (unsigned)verb, n_columns, out);
    fputc('\n', out);
    print_wrapped(
        out,
        "Each option is also an environment variable (--max-queue: SMALLMIND_MAX_QUEUE), and "
        "those of a section a line of the INI file (max_queue); a flag wins over the "
        "environment, which wins over the file. Of an option given twice the last one "
        "counts; --stop and those that may be repeated add up. A value that begins with two "
        "hyphens is given as "
        "--name=VALUE; after -- everything is an argument.",
        0, 0, n_columns);
    print_wrapped(
        out,
        info == NULL || verb == VERB_GENERATE
            ? "Exit codes: 0 done, 1 failed, 2 wrong usage; generate: 130 when interrupted."
            : "Exit codes: 0 done, 1 failed, 2 wrong usage.",
        0, 0, n_columns);
}

/* --- the INI file --- */

void settings_write_ini(FILE *out)
{
    fputs("; SmallMind's settings, each with its default: `smallmind --config FILE` reads this "
          "file.\n"
          "; A flag wins over an environment variable, which wins over this file, which wins over "
          "the default.\n"
          "; The names in brackets are for human readers. A comment begins with a semicolon; an "
          "empty value is \"not set\".\n",
          out);
    const char *section = "";
    for (size_t i = 0; i < settings_table_n; i++) {
        const struct setting *setting = &settings_table[i];
        if (setting->section == NULL)
            continue;
        if (strcmp(section, setting->section) != 0)
            fprintf(out, "\n[%s]\n", setting->section);
        section = setting->section;
        char name[SETTING_NAME_MAX + 16];
        settings_ini_name(setting, name);
        fprintf(out, "\n; %s\n; %s\n%s =%s%s\n", setting->help, setting->when, name,
                setting->fallback[0] != '\0' ? " " : "", setting->fallback);
    }
}
