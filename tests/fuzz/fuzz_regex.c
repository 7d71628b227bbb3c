/* fuzz_regex.c - any bytes as a regular expression. See fuzz_grammar.h. */
#include "fuzz/fuzz_grammar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct grammar *g = NULL;
    struct error err = {0};
    enum status status = grammar_compile(&g, GRAMMAR_REGEX, (const char *)data, size,
                                         fuzz_vocabulary(), &fuzz_limits, &err);
    fuzz_result(status, g, &err, data, size);
    return 0;
}
