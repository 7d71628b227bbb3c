/* seeds.c - writes the model files that the fuzzer starts from into a folder: the torture's. Run by
 * hand when those change.
 */
#include "torture/files.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 2 && i < N_FILES; i++) {
        char path[1024];
        size_t size;
        uint8_t *bytes = files_make(i, &size);
        snprintf(path, sizeof path, "%s/%s", argv[1], files[i].name);
        FILE *file = fopen(path, "wb");
        bool written = file != NULL && fwrite(bytes, 1, size, file) == size;
        free(bytes);
        if (file == NULL || fclose(file) != 0 || !written)
            return EXIT_FAILURE;
    }
    return argc == 2 ? EXIT_SUCCESS : EXIT_FAILURE;
}
