/* show.c - what the table says to people: --help, --print-config and the INI file. */
#include "config/settings.h"

#include "config/table.h"

#include <string.h>

/* --- --print-config --- */

/* Lines that are an INI file again: a comment behind a value begins with a semicolon. */
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
    if (setting->kind != KIND_BIASES || n == 0) {
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

static void print_option(const struct setting *setting, FILE *out)
{
    char flag[SETTING_NAME_MAX + 32];
    snprintf(flag, sizeof flag, "--%s %s", setting->name,
             setting->value != NULL ? setting->value : "");
    fprintf(out, "  %-25s %s", flag, setting->help);
    if (setting->kind != KIND_FLAG && setting->fallback[0] != '\0')
        fprintf(out, " [%s]", setting->fallback);
    fputc('\n', out);
}

static void print_options(unsigned verbs, FILE *out)
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
        print_option(setting, out);
    }
}

static void print_verbs(FILE *out)
{
    fputs("usage: smallmind [VERB] [OPTION...] [ARGUMENT]\n\n", out);
    for (size_t i = 0; i < settings_verbs_n; i++) {
        char verb[48];
        snprintf(verb, sizeof verb, "%s %s", settings_verbs[i].name,
                 settings_verbs[i].argument != NULL ? settings_verbs[i].argument : "");
        fprintf(out, "  %-18s %s\n", verb, settings_verbs[i].help);
    }
    fputs("\n`smallmind VERB --help` shows one verb's options; these are all of them, with their "
          "defaults:\n",
          out);
}

void settings_help(enum verb verb, FILE *out)
{
    const struct verb_info *info = NULL;
    for (size_t i = 0; i < settings_verbs_n; i++)
        if (settings_verbs[i].verb == verb)
            info = &settings_verbs[i];
    if (info == NULL) {
        print_verbs(out);
        print_options(~0u, out);
    } else {
        fprintf(out, "usage: smallmind %s [OPTION...]%s%s\n%s\n", info->name,
                info->argument != NULL ? " " : "", info->argument != NULL ? info->argument : "",
                info->help);
        print_options(verb, out);
    }
    fputs("\nEach option is also an environment variable (--max-queue: SMALLMIND_MAX_QUEUE) and a "
          "line of the INI file\n"
          "(max_queue); a flag wins over the environment, which wins over the file. Values that "
          "begin with two hyphens\n"
          "are given as --name=VALUE; after -- everything is an argument.\n"
          "Exit codes: 0 done, 1 failed, 2 wrong usage; generate: 130 when interrupted.\n",
          out);
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
