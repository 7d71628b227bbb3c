/* test_openapi.c - the reference (openapi.yaml) says what the tables say: every field with its
 * range and default, every code of an error, every name of /info and /health. Reads the YAML by its
 * indentation alone, as the file is written. */
#include "api/anthropic/anthropic.h"
#include "api/asked/asked.h"
#include "api/json/values.h"
#include "api/llama/llama.h"
#include "api/native/info.h"
#include "api/native/native.h"
#include "api/ollama/ollama.h"
#include "api/openai/openai.h"
#include "api/responses/responses.h"
#include "api/tgi/tgi.h"
#include "api/vectors/vectors.h"
#include "mini_vocab.h"

#include <cjson/cJSON.h>
#include <stdio.h>

static char *yaml; /* the whole file */

static void setup(void)
{
    FILE *file = fopen(TEST_SOURCE_DIR "/openapi.yaml", "rb");
    ck_assert_ptr_nonnull(file);
    yaml = calloc(1, 1 << 18);
    ck_assert_uint_lt(fread(yaml, 1, (1 << 18) - 1, file), (1 << 18) - 1);
    fclose(file);
}

static void teardown(void)
{
    free(yaml);
}

static size_t indentation(const char *line)
{
    return strspn(line, " ");
}

static const char *next_line(const char *line)
{
    const char *end = strchr(line, '\n');
    return end != NULL ? end + 1 : line + strlen(line);
}

/* The line `name:` at this indentation, from `line` on, before a line with less; NULL: none. */
static const char *find_key(const char *line, size_t indent, const char *name)
{
    size_t n = strlen(name);
    for (; *line != '\0' && (*line == '\n' || indentation(line) >= indent); line = next_line(line))
        if (indentation(line) == indent && strncmp(line + indent, name, n) == 0 &&
            line[indent + n] == ':')
            return line;
    return NULL;
}

/* The block below `schemas: NAME: properties:`. */
static const char *properties_of(const char *schema)
{
    const char *at = strstr(yaml, "\n  schemas:\n");
    ck_assert_ptr_nonnull(at);
    at = find_key(next_line(at + 1), 4, schema);
    ck_assert_msg(at != NULL, "no schema %s", schema);
    at = find_key(next_line(at), 6, "properties");
    ck_assert_msg(at != NULL, "no properties of %s", schema);
    return next_line(at);
}

/* The value of `key` in a property's block; NULL: it has none. Static. */
static const char *value_of(const char *property, const char *key)
{
    static char value[160];
    const char *line = find_key(next_line(property), 10, key);
    if (line == NULL)
        return NULL;
    line += 10 + strlen(key) + 2;
    snprintf(value, sizeof value, "%.*s", (int)strcspn(line, "\n"), line);
    return value;
}

static void check_number(const char *property, const char *name, const char *key, double right)
{
    const char *value = value_of(property, key);
    ck_assert_msg(value != NULL, "%s has no %s", name, key);
    ck_assert_msg(strtod(value, NULL) == right, "%s: %s is %s, not %g", name, key, value, right);
}

static void check_field(const char *property, const struct field *field)
{
    const char *value;
    switch (field->kind) {
    case FIELD_BOOL:
        value = value_of(property, "default");
        ck_assert_msg(value != NULL && strcmp(value, field->initial != 0 ? "true" : "false") == 0,
                      "%s", field->name);
        break;
    case FIELD_UINT:
    case FIELD_NUMBER:
        value = value_of(property, "minimum");
        if (field->below_absent)
            ck_assert_msg(value == NULL, "%s: what is below is taken", field->name);
        else if (!(field->minus_one || field->minus_one_most) || value == NULL ||
                 strcmp(value, "-1") != 0)
            check_number(property, field->name, "minimum", field->min);
        if (field->bound == BOUND_FIXED)
            check_number(property, field->name, "maximum", field->max);
        else
            ck_assert_msg(value_of(property, "maximum") == NULL, "%s", field->name);
        value = value_of(property, "default");
        if (value != NULL && strcmp(value, "null") != 0)
            check_number(property, field->name, "default", field->initial);
        else
            ck_assert_msg(field->initial == 0, "%s has no default", field->name);
        value = value_of(property, "type");
        ck_assert_msg(value != NULL, "%s", field->name);
        ck_assert_msg(strstr(value, field->kind == FIELD_UINT ? "integer" : "number") != NULL, "%s",
                      field->name);
        ck_assert_msg((strstr(value, "null") != NULL) == field->nullable, "%s", field->name);
        break;
    case FIELD_SEED:
    case FIELD_ANY:
    case FIELD_RAW:
    case FIELD_NONE:
        break;
    }
}

static void check_table(const char *schema, const struct field_table *table)
{
    const char *properties = properties_of(schema);
    size_t n = 0;
    for (const char *line = properties; *line == '\n' || indentation(line) >= 8;
         line = next_line(line))
        n += *line != '\n' && indentation(line) == 8;
    ck_assert_msg(n == table->n_fields, "%s has %zu properties, not %zu", schema, n,
                  table->n_fields);
    for (size_t i = 0; i < table->n_fields; i++) {
        const char *property = find_key(properties, 8, table->fields[i].name);
        ck_assert_msg(property != NULL, "no %s in %s", table->fields[i].name, schema);
        check_field(property, &table->fields[i]);
    }
}

/* A table that is lenient, and may go on in others: what it reads is described, and in the tables
 * after it by the schema of those. */
static void check_rows(const char *schema, const struct field *fields, size_t n)
{
    const char *properties = properties_of(schema);
    for (size_t i = 0; i < n; i++) {
        const char *property = find_key(properties, 8, fields[i].name);
        if (fields[i].kind == FIELD_NONE)
            continue;
        ck_assert_msg(property != NULL, "no %s in %s", fields[i].name, schema);
        check_field(property, &fields[i]);
    }
}

/* A table and those after it; what stands inside an object has a schema of its own. */
static void check_chain(const char *schema, const char *inside, const struct field_table *table)
{
    for (; table != NULL; table = table->more)
        check_rows(table->inside != NULL ? inside : schema, table->fields, table->n_fields);
}

START_TEST(bodies_of_other_apis_are_described_as_the_tables_read_them)
{
    const struct field_table *shared = anthropic_message_fields.more;
    check_rows("CompletionRequest", openai_completion_fields.fields,
               openai_completion_fields.n_fields);
    check_rows("ChatCompletionRequest", openai_chat_fields.fields, openai_chat_fields.n_fields);
    check_rows("CompletionRequest", openai_chat_fields.more->fields,
               openai_chat_fields.more->n_fields);
    check_rows("ChatCompletionRequest", openai_chat_fields.more->fields,
               openai_chat_fields.more->n_fields);
    check_rows("ServerExtras", asked_extras.fields, asked_extras.n_fields);
    check_rows("ResponsesRequest", openai_response_fields.fields, openai_response_fields.n_fields);
    check_rows("MessagesRequest", anthropic_message_fields.fields,
               anthropic_message_fields.n_fields);
    check_chain("OllamaGenerateRequest", "OllamaOptions", &ollama_generate_fields);
    check_chain("OllamaChatRequest", "OllamaOptions", &ollama_chat_fields);
    check_chain("TgiRequest", "TgiParameters", &tgi_fields);
    check_rows("MessagesRequest", shared->fields, shared->n_fields);
    check_rows("CountTokensRequest", shared->fields, shared->n_fields);
    check_rows("LlamaCompletionRequest", llama_completion_fields.fields,
               llama_completion_fields.n_fields);
    check_rows("LlamaChatRequest", llama_chat_fields.fields, llama_chat_fields.n_fields);
    check_chain("EmbeddingsRequest", "", &vectors_openai_fields);
    check_chain("OllamaEmbedRequest", "", &vectors_ollama_fields);
    check_chain("OllamaEmbeddingRequest", "", &vectors_ollama_one_fields);
    check_chain("TeiEmbedRequest", "", &vectors_tei_fields);
    check_chain("LlamaEmbeddingRequest", "", &vectors_llama_fields);
    check_chain("RerankRequest", "", &vectors_ranks_fields);
}
END_TEST

START_TEST(bodies_are_described_as_the_tables_read_them)
{
    check_table("GenerateRequest", &native_generate_fields);
    check_table("TokenizeRequest", &native_tokenize_fields);
    check_table("DetokenizeRequest", &native_detokenize_fields);
    check_table("ApplyTemplateRequest", &native_template_fields);
}
END_TEST

/* Is this word one of those of `enum: [...]` of the errors' codes or types? */
static bool is_listed(const char *word)
{
    const char *list = strstr(yaml, "\n    Error:\n");
    ck_assert_ptr_nonnull(list);
    size_t n = strlen(word);
    for (const char *at = list; (at = strstr(at, word)) != NULL; at += n)
        if (strchr("[ ", at[-1]) != NULL && strchr(",]", at[n]) != NULL)
            return true;
    return false;
}

START_TEST(codes_and_types_of_errors_are_listed)
{
    for (int status = STATUS_INVALID; status <= STATUS_INTERNAL; status++) {
        struct api_error what = errors_of_status((enum status)status);
        ck_assert_msg(is_listed(what.code), "%s", what.code);
        ck_assert_msg(is_listed(what.type), "%s", what.type);
    }
    for (int i = 0; i < REFUSAL_COUNT; i++) {
        struct api_error what = errors_of_refusal((enum refusal)i);
        ck_assert_msg(is_listed(what.code), "%s", what.code);
        ck_assert_msg(is_listed(what.type), "%s", what.type);
    }
    ck_assert(!is_listed("no_such_code"));
}
END_TEST

/* Every name of a JSON object stands in the schema's text, and is required there. */
static void check_names(const cJSON *object, const char *begin, const char *end)
{
    for (const cJSON *item = object->child; item != NULL; item = item->next) {
        char key[64];
        snprintf(key, sizeof key, " %s:", item->string);
        const char *found = strstr(begin, key);
        ck_assert_msg(found != NULL && found < end, "%s is not described", item->string);
        const char *required = strstr(begin, item->string);
        ck_assert_msg(required < found || strcmp(item->string, "type") == 0, "%s is not required",
                      item->string);
        if (cJSON_IsObject(item))
            check_names(item, begin, end);
    }
}

static void check_document(const char *schema, const char *json, size_t n)
{
    char key[64];
    snprintf(key, sizeof key, "\n    %s:\n", schema);
    const char *begin = strstr(yaml, key);
    ck_assert_ptr_nonnull(begin);
    const char *end = next_line(begin + 1);
    while (*end == '\n' || indentation(end) > 4)
        end = next_line(end);
    cJSON *tree = cJSON_ParseWithLength(json, n);
    ck_assert_ptr_nonnull(tree);
    check_names(tree, begin, end);
    cJSON_Delete(tree);
}

START_TEST(info_and_health_are_described)
{
    struct tokenizer *tokenizer = mini_tokenizer(true);
    static const struct cpu cpu = {.n_usable = 1};
    static const struct model model = {.shape = {.arch = "llama"}};
    static const struct engine_plan plan = {.n_threads = 1};
    static const char *const model_names[] = {"tiny", "other"};
    struct info info = {.names = model_names,
                        .n_names = 2,
                        .version = "0",
                        .kernels = "ref",
                        .kv_type = "f16",
                        .model_print = "",
                        .arithmetic_print = "ab",
                        .cpu = &cpu,
                        .model = &model,
                        .tokenizer = tokenizer,
                        .plan = &plan,
                        .n_threads = 1,
                        .threads_why = "as asked",
                        .allowed = &cpu,
                        .group = &(struct cgroup){.place = 1}};
    char out[INFO_ROOM];
    check_document("Info", out, info_write(&info, out, sizeof out));
    struct health_report report = {.health = HEALTH_OK};
    check_document("Health", out, health_write(&report, out, sizeof out));
    tokenizer_destroy(tokenizer);
}
END_TEST

START_TEST(the_version_is_the_programs)
{
    ck_assert_ptr_nonnull(strstr(yaml, "\n  version: " SMALLMIND_VERSION "\n"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("api/openapi");
    TCase *tcase = tcase_create("reference");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, bodies_are_described_as_the_tables_read_them);
    tcase_add_test(tcase, bodies_of_other_apis_are_described_as_the_tables_read_them);
    tcase_add_test(tcase, codes_and_types_of_errors_are_listed);
    tcase_add_test(tcase, info_and_health_are_described);
    tcase_add_test(tcase, the_version_is_the_programs);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
