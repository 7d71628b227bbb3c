/* main.c - resolves the settings, runs the verb, returns its exit code. */
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "config/settings.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

extern char **environ;

static int run(const struct settings *settings, const char *notes)
{
    if (settings->help || settings->verb == VERB_HELP) {
        settings_help(settings->help ? settings->verb : 0, terminal_columns(STDOUT_FILENO, 80),
                      stdout);
        return EXIT_DONE;
    }
    if (settings->print_config) {
        settings_print(settings, stdout);
        return EXIT_DONE;
    }
    switch (settings->verb) {
    case VERB_SERVE:
        return verb_serve(settings, notes);
    case VERB_GENERATE:
        return verb_generate(settings);
    case VERB_INSPECT:
        return verb_inspect(settings);
    case VERB_TOKENIZE:
        return verb_tokenize(settings);
    case VERB_DETOKENIZE:
        return verb_detokenize(settings);
    case VERB_PERPLEXITY:
        return verb_perplexity(settings);
    case VERB_QUANTIZE:
        return verb_quantize(settings);
    case VERB_BENCH:
        return verb_bench(settings);
    case VERB_PROFILE:
        return verb_profile(settings);
    case VERB_VERSION:
        puts("smallmind " SMALLMIND_VERSION);
        return EXIT_DONE;
    case VERB_HELP:
        break;
    }
    return EXIT_FAILED;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN); /* a reader that leaves is an error of write(), not a death */
    char notes[2048];
    struct settings *settings;
    struct error err = {0};
    if (settings_resolve(&settings, argc, argv, environ, notes, sizeof notes, &err) != STATUS_OK) {
        verb_fail(&err);
        return err.status == STATUS_NO_MEMORY ? EXIT_FAILED : EXIT_USAGE;
    }
    int code = run(settings, notes);
    settings_free(settings);
    if (fflush(stdout) != 0 && code == EXIT_DONE && errno != EPIPE) {
        perror("smallmind: standard output");
        code = EXIT_FAILED;
    }
    return code;
}
