/* pull.c - `pull REF`, `rm NAME`: models come and go. Main thread. */
#include "cli/fetch.h"
#include "cli/verbs.h"

#include <stdio.h>

static void print_line(const char *sentence)
{
    fprintf(stderr, "%s\n", sentence);
}

int verb_pull(const struct settings *settings)
{
    struct store_result got;
    struct error err = {0};
    enum status status = fetch_model(&got, settings, settings->argument, true, print_line, &err);
    if (status != STATUS_OK) {
        int code = verb_fail(&err);
        return status == STATUS_CANCELLED ? EXIT_INTERRUPTED : code;
    }
    fprintf(stderr, "%s: %.1f MiB, %s%s\n", got.name, (double)got.n_bytes / 1048576,
            got.is_new ? "got whole" : "there already",
            got.checked ? ", as the source's SHA-256 says" : "");
    puts(got.path); /* alone, for scripts */
    return EXIT_DONE;
}

int verb_rm(const struct settings *settings)
{
    char folder[PATH_MAX];
    struct stored_model gone;
    struct error err = {0};
    if (store_folder(folder, settings->models_dir, &err) != STATUS_OK ||
        store_remove(&gone, folder, settings->argument, &err) != STATUS_OK)
        return verb_fail(&err);
    printf("removed %s, %.1f MiB\n", gone.reference[0] != '\0' ? gone.reference : gone.name,
           (double)gone.n_bytes / 1048576);
    return EXIT_DONE;
}
