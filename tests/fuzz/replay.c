/* replay.c - feeds a fuzz target every file of the folders it is given: the corpus, and what once
 * went wrong, as an ordinary test with any compiler.
 */
#include "fuzz/fuzz.h"

#include <dirent.h>
#include <string.h>

static void replay(const char *path)
{
    FILE *file = fopen(path, "rb");
    FUZZ_CHECK(file != NULL && fseek(file, 0, SEEK_END) == 0, "%s", path);
    long size = ftell(file);
    FUZZ_CHECK(size >= 0, "%s", path);
    rewind(file);
    uint8_t *bytes = malloc((size_t)size + (size == 0)); /* no larger: a read past it is seen */
    FUZZ_CHECK(bytes != NULL && fread(bytes, 1, (size_t)size, file) == (size_t)size, "%s", path);
    fclose(file);
    fprintf(stderr, "%s\n", path); /* the last one is the one that went wrong */
    LLVMFuzzerTestOneInput(bytes, (size_t)size);
    free(bytes);
}

int main(int argc, char **argv)
{
    size_t n = 0;
    for (int i = 1; i < argc; i++) {
        struct dirent **entries;
        int n_entries = scandir(argv[i], &entries, NULL, alphasort);
        FUZZ_CHECK(n_entries >= 0, "%s", argv[i]);
        for (int k = 0; k < n_entries; k++) {
            char path[1024];
            snprintf(path, sizeof path, "%s/%s", argv[i], entries[k]->d_name);
            if (entries[k]->d_name[0] != '.') {
                replay(path);
                n++;
            }
            free(entries[k]);
        }
        free(entries);
    }
    printf("%zu inputs\n", n);
    return n > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
