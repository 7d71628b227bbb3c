/* manual.c - the manual page and the shells' completions, written from the table of settings.
 *
 * usage: manual man|bash|zsh|fish, to standard output. A tool of the build: cmake/package.cmake
 * runs it, and no second list of verbs or options is kept anywhere. One thread.
 */
#include "config/table.h"

#include <stdio.h>
#include <string.h>

static bool takes_value(const struct setting *setting)
{
    return setting->kind != KIND_FLAG;
}

static bool has_words(const struct setting *setting)
{
    return setting->kind == KIND_SWITCH || (setting->kind == KIND_CHOICE && setting->words != NULL);
}

static const char *words_of(const struct setting *setting)
{
    return setting->kind == KIND_SWITCH ? "on off" : setting->words;
}

static bool names_folder(const char *value)
{
    return value != NULL && strstr(value, "DIR") != NULL;
}

static bool names_file(const char *value)
{
    static const char *const words[] = {"FILE", "PATH", "IN OUT", "[A B]"};
    for (size_t i = 0; value != NULL && i < sizeof words / sizeof words[0]; i++)
        if (strstr(value, words[i]) != NULL)
            return true;
    return false;
}

static bool takes_files(const struct verb_info *verb)
{
    return names_file(verb->argument);
}

static bool belongs(const struct setting *setting, enum verb verb)
{
    return (setting->verbs & (unsigned)verb) != 0;
}

/* Text with an escape before each of some characters. */
static void put_escaped(const char *text, const char *special, const char *escape)
{
    for (; *text != '\0'; text++) {
        if (strchr(special, *text) != NULL)
            fputs(escape, stdout);
        putchar(*text);
    }
}

/* --- the manual page --- */

/* Text of a paragraph: nothing in it is a request or an escape, and hyphens are hyphens. */
static void put_roff(const char *text)
{
    if (*text == '.' || *text == '\'')
        fputs("\\&", stdout);
    for (; *text != '\0'; text++) {
        if (*text == '\\')
            fputs("\\e", stdout);
        else if (*text == '-' || *text == '`' || *text == '\'' || *text == '~' || *text == '^')
            printf("%s", *text == '-'    ? "\\-"
                         : *text == '`'  ? "\\(ga"
                         : *text == '\'' ? "\\(aq"
                         : *text == '~'  ? "\\(ti"
                                         : "\\(ha");
        else
            putchar(*text);
    }
}

static void put_roff_line(const char *text)
{
    put_roff(text);
    putchar('\n');
}

static void put_option(const struct setting *setting)
{
    char name[SETTING_NAME_MAX + 16];
    fputs(".TP\n\\fB\\-\\-", stdout);
    put_roff(setting->name);
    fputs("\\fR", stdout);
    if (setting->value != NULL) {
        fputs(" \\fI", stdout);
        put_roff(setting->value);
        fputs("\\fR", stdout);
    }
    putchar('\n');
    put_roff_line(setting->help);
    if (setting->when != NULL) {
        fputs(".br\n", stdout);
        put_roff_line(setting->when);
    }
    if (takes_value(setting) && setting->fallback[0] != '\0') {
        fputs(".br\nDefault: ", stdout);
        put_roff_line(setting->fallback);
    }
    fputs(".br\nVerbs:", stdout);
    for (size_t i = 0; i < settings_verbs_n; i++)
        if (belongs(setting, settings_verbs[i].verb))
            printf(" %s", settings_verbs[i].name);
    putchar('\n');
    if (setting->section != NULL) {
        settings_env_name(setting, name);
        printf(".br\nEnvironment: %s\n", name);
    }
}

static void put_verbs(void)
{
    fputs(".SH VERBS\n", stdout);
    for (size_t i = 0; i < settings_verbs_n; i++) {
        const struct verb_info *verb = &settings_verbs[i];
        printf(".TP\n\\fB%s\\fR", verb->name);
        if (verb->argument != NULL) {
            fputs(" \\fI", stdout);
            put_roff(verb->argument);
            fputs("\\fR", stdout);
        }
        putchar('\n');
        put_roff_line(verb->help);
        if (verb->details != NULL) {
            fputs(".br\n", stdout);
            put_roff_line(verb->details);
        }
    }
}

static void put_options(void)
{
    const char *section = "";
    fputs(".SH OPTIONS\nA value that begins with two hyphens is given as "
          "\\fB\\-\\-name=\\fIVALUE\\fR; after \\fB\\-\\-\\fR everything is an argument.\n",
          stdout);
    for (size_t i = 0; i < settings_table_n; i++) {
        const struct setting *setting = &settings_table[i];
        const char *here = setting->section != NULL ? setting->section : "general";
        if (strcmp(section, here) != 0)
            printf(".SS %s\n", here);
        section = here;
        put_option(setting);
    }
}

static void write_man(void)
{
    printf(
        ".\\\" Made by tools/manual.c from the table of settings.\n"
        ".TH SMALLMIND 1 \"\" \"smallmind %s\" \"User Commands\"\n"
        ".SH NAME\nsmallmind \\- inference of language models over HTTP and on the command line\n"
        ".SH SYNOPSIS\n\\fBsmallmind\\fR [\\fIVERB\\fR] [\\fIOPTION\\fR...] "
        "[\\fIARGUMENT\\fR...]\n"
        ".SH DESCRIPTION\nServes decoder\\-only language models (GGUF files) on CPUs, over its "
        "own HTTP API and those of other servers. A small model is built in.\n"
        ".PP\nEach option is also an environment variable, and those of a section a line of the "
        "INI file that \\fB\\-\\-config\\fR names. A flag wins over the environment, which wins "
        "over the file, which wins over the default.\n",
        SMALLMIND_VERSION);
    put_verbs();
    put_options();
    fputs(".SH SIGNALS\n\\fBSIGTERM\\fR, \\fBSIGINT\\fR and \\fBSIGQUIT\\fR drain the service, a "
          "second one ends it at once. \\fBSIGHUP\\fR reads the API keys again and opens the log "
          "file anew.\n"
          ".SH EXIT STATUS\n0: done. 1: failed. 2: wrong usage. 130: "
          "\\fBgenerate\\fR was interrupted.\n"
          ".SH FILES\n.TP\n\\fI/etc/smallmind/smallmind.ini\\fR\nthe settings of the system's "
          "service, smallmind.service\n"
          ".SH EXAMPLES\n.nf\nsmallmind serve \\-\\-port 9000\n"
          "smallmind generate \\-\\-max\\-tokens 40 \"Once upon a time\"\n"
          "smallmind inspect model.gguf\n.fi\n",
          stdout);
}

/* --- bash --- */

static void put_flags(enum verb verb)
{
    bool first = true;
    for (size_t i = 0; i < settings_table_n; i++) {
        if (!belongs(&settings_table[i], verb))
            continue;
        printf("%s--%s", first ? "" : " ", settings_table[i].name);
        first = false;
    }
}

static void put_verb_names(void)
{
    for (size_t i = 0; i < settings_verbs_n; i++)
        printf("%s%s", i > 0 ? " " : "", settings_verbs[i].name);
}

static void put_bash_values(void)
{
    fputs("    case $previous in\n", stdout);
    for (size_t i = 0; i < settings_table_n; i++) {
        const struct setting *setting = &settings_table[i];
        if (!takes_value(setting))
            continue;
        printf("    --%s)\n        ", setting->name);
        if (has_words(setting))
            printf("mapfile -t COMPREPLY < <(compgen -W '%s' -- \"$word\")\n", words_of(setting));
        else if (names_folder(setting->value))
            printf("mapfile -t COMPREPLY < <(compgen -d -- \"$word\")\n");
        else if (names_file(setting->value))
            printf("mapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n");
        else
            printf("COMPREPLY=()\n");
        fputs("        return\n        ;;\n", stdout);
    }
    fputs("    esac\n", stdout);
}

static void put_bash_flags(void)
{
    fputs("    case $verb in\n", stdout);
    for (size_t i = 0; i < settings_verbs_n; i++) {
        printf("    %s%s)\n        flags='", settings_verbs[i].name,
               settings_verbs[i].verb == VERB_SERVE ? " | ''" : "");
        put_flags(settings_verbs[i].verb);
        printf("'\n        files=%d\n        ;;\n", takes_files(&settings_verbs[i]) ? 1 : 0);
    }
    fputs("    esac\n", stdout);
}

static void write_bash(void)
{
    fputs("# Made by tools/manual.c from the table of settings.\n"
          "_smallmind() {\n"
          "    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}\n"
          "    local verb='' verbs flags='' files=0\n"
          "    verbs='",
          stdout);
    put_verb_names();
    fputs("'\n"
          "    compopt -o filenames 2>/dev/null\n"
          "    if [ \"$COMP_CWORD\" -gt 1 ] && [[ \" $verbs \" == *\" ${COMP_WORDS[1]} \"* ]]; "
          "then\n"
          "        verb=${COMP_WORDS[1]}\n"
          "    fi\n",
          stdout);
    put_bash_values();
    put_bash_flags();
    fputs("    if [ \"$COMP_CWORD\" = 1 ] && [[ $word != -* ]]; then\n"
          "        mapfile -t COMPREPLY < <(compgen -W \"$verbs\" -- \"$word\")\n"
          "    elif [ \"$verb\" = help ] && [[ $word != -* ]]; then\n"
          "        mapfile -t COMPREPLY < <(compgen -W \"$verbs\" -- \"$word\")\n"
          "    elif [ \"$files\" = 1 ] && [[ $word != -* ]]; then\n"
          "        mapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n"
          "    else\n"
          "        mapfile -t COMPREPLY < <(compgen -W \"$flags\" -- \"$word\")\n"
          "    fi\n"
          "}\n"
          "complete -F _smallmind smallmind\n",
          stdout);
}

/* --- zsh --- */

/* In a specification between single quotes. */
static void put_zsh(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            fputs("'\\''", stdout);
        else if (strchr("[]:\\`$", *text) != NULL)
            printf("\\%c", *text);
        else
            putchar(*text);
    }
}

static void put_zsh_option(const struct setting *setting)
{
    printf("            '--%s[", setting->name);
    put_zsh(setting->help);
    putchar(']');
    if (takes_value(setting)) {
        putchar(':');
        put_zsh(setting->value != NULL ? setting->value : "value");
        putchar(':');
        if (has_words(setting))
            printf("(%s)", words_of(setting));
        else if (names_folder(setting->value))
            fputs("_files -/", stdout);
        else if (names_file(setting->value))
            fputs("_files", stdout);
        else
            putchar(' ');
    }
    fputs("'\n", stdout);
}

static void write_zsh(void)
{
    fputs("#compdef smallmind\n# Made by tools/manual.c from the table of settings.\n"
          "_smallmind() {\n    local verb=${words[2]}\n    local -a verbs options\n    verbs=(\n",
          stdout);
    for (size_t i = 0; i < settings_verbs_n; i++) {
        printf("        '%s:", settings_verbs[i].name);
        put_zsh(settings_verbs[i].help);
        fputs("'\n", stdout);
    }
    fputs("    )\n    if (( CURRENT == 2 )) && [[ $PREFIX != -* ]]; then\n"
          "        _describe verb verbs\n        return\n    fi\n"
          "    [[ $verb == -* ]] && verb=serve\n    case $verb in\n",
          stdout);
    for (size_t i = 0; i < settings_verbs_n; i++) {
        printf("    %s)\n        options=(\n", settings_verbs[i].name);
        for (size_t j = 0; j < settings_table_n; j++)
            if (belongs(&settings_table[j], settings_verbs[i].verb))
                put_zsh_option(&settings_table[j]);
        if (takes_files(&settings_verbs[i]))
            fputs("            '*:file:_files'\n", stdout);
        fputs("        )\n        ;;\n", stdout);
    }
    fputs("    esac\n    (( CURRENT > 2 )) && [[ ${words[2]} != -* ]] && { shift words; "
          "(( CURRENT-- )) }\n    _arguments $options\n}\n_smallmind \"$@\"\n",
          stdout);
}

/* --- fish --- */

static void put_fish_text(const char *text)
{
    putchar('\'');
    put_escaped(text, "'\\", "\\");
    putchar('\'');
}

static void put_fish_option(const struct setting *setting)
{
    fputs("complete -c smallmind -n '__fish_seen_subcommand_from", stdout);
    for (size_t i = 0; i < settings_verbs_n; i++)
        if (belongs(setting, settings_verbs[i].verb))
            printf(" %s", settings_verbs[i].name);
    printf("%s' -l %s", belongs(setting, VERB_SERVE) ? "; or __fish_use_subcommand" : "",
           setting->name);
    if (has_words(setting))
        printf(" -x -a '%s'", words_of(setting));
    else if (names_folder(setting->value))
        fputs(" -x -a '(__fish_complete_directories)'", stdout);
    else if (names_file(setting->value))
        fputs(" -r -F", stdout);
    else if (takes_value(setting))
        fputs(" -x", stdout);
    fputs(" -d ", stdout);
    put_fish_text(setting->help);
    putchar('\n');
}

static void write_fish(void)
{
    fputs("# Made by tools/manual.c from the table of settings.\ncomplete -c smallmind -f\n",
          stdout);
    for (size_t i = 0; i < settings_verbs_n; i++) {
        printf("complete -c smallmind -n __fish_use_subcommand -a %s -d ", settings_verbs[i].name);
        put_fish_text(settings_verbs[i].help);
        putchar('\n');
        if (takes_files(&settings_verbs[i]))
            printf("complete -c smallmind -n '__fish_seen_subcommand_from %s' -F\n",
                   settings_verbs[i].name);
    }
    for (size_t i = 0; i < settings_table_n; i++)
        put_fish_option(&settings_table[i]);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*write)(void);
    } forms[] = {
        {"man", write_man}, {"bash", write_bash}, {"zsh", write_zsh}, {"fish", write_fish}};
    for (size_t i = 0; argc == 2 && i < sizeof forms / sizeof forms[0]; i++)
        if (strcmp(argv[1], forms[i].name) == 0) {
            forms[i].write();
            return fflush(stdout) == 0 ? 0 : 1;
        }
    fputs("usage: manual man|bash|zsh|fish\n", stderr);
    return 2;
}
