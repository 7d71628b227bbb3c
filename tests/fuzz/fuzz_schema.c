/* fuzz_schema.c - any JSON as a JSON Schema. See fuzz_grammar.h. */
#include "api/json/json.h"
#include "api/schema/schema.h"
#include "fuzz/fuzz_grammar.h"

#include <cjson/cJSON.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct grammar *g = NULL;
    struct grammar_builder *b = NULL;
    struct error err = {0};
    if (json_check(text, size, 64, 10000, NULL) != STATUS_OK ||
        json_has_nul((struct json_span){text, size}))
        return 0;
    cJSON *schema = cJSON_ParseWithLength(text, size);
    FUZZ_CHECK(schema != NULL, "strict JSON that is none");
    FUZZ_CHECK(expr_builder_create(&b, &fuzz_limits, &err) == STATUS_OK, "memory");
    enum status status =
        grammar_build(&g, b, schema_read(b, schema), fuzz_vocabulary(), &fuzz_limits, &err);
    expr_builder_destroy(b);
    cJSON_Delete(schema);
    fuzz_result(status, g, &err, data, size);
    return 0;
}
