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
    uint8_t *bytes = malloc((size_t)size + (size == 0)); /* no larger: a read behind it is seen */
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
        DIR *folder = opendir(argv[i]);
        FUZZ_CHECK(folder != NULL, "%s", argv[i]);
        for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
            char path[1024];
            if (entry->d_name[0] == '.')
                continue;
            snprintf(path, sizeof path, "%s/%s", argv[i], entry->d_name);
            replay(path);
            n++;
        }
        closedir(folder);
    }
    printf("%zu inputs\n", n);
    return n > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
