/* main.c - makes the process safe to run in, resolves the settings, runs the verb, returns its exit
 * code. */
#include "cli/locate.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "config/settings.h"
#include "server/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

extern char **environ;

static int run(struct settings *settings, const char *notes)
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
    struct error err = {0};
    if (settings->verb != VERB_SERVE && locate_model(settings, &err) != STATUS_OK)
        return verb_fail(&err);
    switch (settings->verb) {
    case VERB_SERVE:
        return verb_serve(settings, notes);
    case VERB_GENERATE:
        return verb_generate(settings);
    case VERB_CHAT:
        return verb_chat(settings);
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
    case VERB_PULL:
        return verb_pull(settings);
    case VERB_LIST:
        return verb_list(settings);
    case VERB_RM:
        return verb_rm(settings);
    case VERB_CHECK:
        return verb_check(settings);
    case VERB_VERSION:
        puts("smallmind " SMALLMIND_VERSION);
        return EXIT_DONE;
    case VERB_HELP:
        break;
    }
    return EXIT_FAILED;
}

/* A descriptor of the three that is closed would become some file or socket of ours, and what is
 * printed would go there. Standard input and output are opened the wrong way round, so that a verb
 * which uses one says that it cannot; what is said on standard error goes nowhere. */
static void fill_standard_descriptors(void)
{
    static const int modes[] = {O_WRONLY, O_RDONLY, O_WRONLY};
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", modes[fd]) < 0)
            (void)!open("/", O_PATH); /* without /dev: a place that takes nothing */
}

/* Before the settings are whole: in the form that `serve` was asked for. */
static int refuse(int argc, char **argv, const struct error *err)
{
    int code = err->status == STATUS_NO_MEMORY ? EXIT_FAILED : EXIT_USAGE;
    if (settings_log_format(argc, argv, environ) == LOG_JSON) {
        log_setup(LOG_JSON, LOG_INFO);
        log_line(LOG_ERROR, "%s", err->text);
    } else {
        verb_fail(err);
    }
    return code;
}

int main(int argc, char **argv)
{
    fill_standard_descriptors();
    signal(SIGPIPE, SIG_IGN); /* a reader that leaves is an error of write(), not a death */
    signal(SIGXFSZ, SIG_IGN); /* so is a file that may not grow */
    char notes[2048];
    struct settings *settings;
    struct error err = {0};
    if (settings_resolve(&settings, argc, argv, environ, notes, sizeof notes, &err) != STATUS_OK)
        return refuse(argc, argv, &err);
    int code = run(settings, notes);
    settings_free(settings);
    if (fflush(stdout) != 0 && code == EXIT_DONE && errno != EPIPE) {
        perror("smallmind: standard output");
        code = EXIT_FAILED;
    }
    return code;
}
