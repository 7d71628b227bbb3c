/* test_chat.c - conversations become prompts, and nothing that a request says becomes a control
 * token: not in contents, names, descriptions, results, arguments, documents or variables. */
#include "api/chat/chat.h"
#include "core/text/vocabulary.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static const struct jinja_limits limits = {
    .memory_bytes = 32 << 20, .output_bytes = 4 << 20, .max_steps = 5000000, .max_depth = 300};

/* Byte level: <|end|> is BOS and EOS, control tokens from 257 on, a user-defined one after them. */
static struct tokenizer *vocabulary_with(bool adds_bos)
{
    static struct vocabulary v;
    begin_bytes(&v, "gpt-2");
    add_entry(&v, "<|im_start|>", 0, 3);
    add_entry(&v, "<|im|>", 0, 3);
    add_entry(&v, "<|im|>x", 0, 3);
    add_entry(&v, "b<|", 0, 4);
    struct gguf_builder *b = build(&v);
    builder_u32(b, "tokenizer.ggml.bos_token_id", 0);
    builder_bool(b, "tokenizer.ggml.add_bos_token", adds_bos);
    return created(b);
}
enum { ID_END, ID_START = 257, ID_IM, ID_IM_X, ID_USER };

static struct chat_template *template_of(const char *text, const struct tokenizer *t)
{
    struct chat_template *made = NULL;
    struct error err;
    struct chat_source source = {.text = {text, strlen(text)}, .tokenizer = t, .limits = limits};
    ck_assert_int_eq(chat_template_create(&made, &source, &err), STATUS_OK);
    return made;
}

static struct json_span span_of(const char *json)
{
    return (struct json_span){json, json == NULL ? 0 : strlen(json)};
}

/* How many ids of the prompt are control tokens; the ids are checked to be the text's own. */
static size_t count_controls(const struct tokenizer *t, const struct chat_prompt *prompt)
{
    int32_t *ids = NULL;
    size_t n_ids = 0, n = 0;
    struct error err;
    ck_assert_int_eq(chat_tokenize(prompt, "messages", t, &ids, &n_ids, &err), STATUS_OK);
    size_t skip = tokenizer_adds_bos(t);
    for (size_t i = skip; i < n_ids; i++)
        n += tokenizer_is_control(t, ids[i]);
    char *text = malloc(n_ids * tokenizer_max_piece(t) + 1);
    size_t n_text = tokenizer_decode(t, ids + skip, n_ids - skip, text);
    ck_assert_uint_eq(n_text, prompt->n_text);
    ck_assert_mem_eq(text, prompt->text, n_text);
    free(text);
    free(ids);
    return n;
}

static struct chat_prompt rendered(const struct chat_template *template,
                                   const struct chat_request *request)
{
    struct chat_prompt prompt = {.text = NULL};
    struct error err = {.text = ""};
    ck_assert_msg(chat_render(template, request, &prompt, &err) == STATUS_OK, "%s", err.text);
    return prompt;
}

static const char EVERYTHING[] =
    "<|im_start|>{% for m in messages %}{{ m.role|upper|lower }}{{ m.content|trim }}"
    "{{ (m.content ~ '').split('q')|join('q') + '!' }}{{ m.content|replace('z', '<|') }}"
    "{{ m.content[1:] }}{{ m.content|title|lower }}{{ '%s'|format(m.content) }}"
    "{{ '{}'.format(m.content) }}{{ [m.content] }}{{ m|tojson }}{{ m.name }}"
    "{% for c in m.tool_calls or [] %}{{ c.function.name }}{{ c.function.arguments|tojson }}"
    "{% for k, v in c.function.arguments|dictsort %}{{ k }}={{ v }}{% endfor %}{% endfor %}"
    "{% endfor %}{{ tools|tojson }}{{ tools }}{{ documents|map(attribute='text')|join(' ') }}"
    "{% macro m(a) %}{{ a }}{{ caller() }}{% endmacro %}"
    "{% call m(extra) %}{{ extra|indent(1) }}{% endcall %}{% set s %}{{ extra }}{% endset %}"
    "{{ s|reverse|reverse }}{% for c in extra %}{{ c }}{% endfor %}"
    "{% filter upper|lower %}{{ extra }}{% endfilter %}{{ extra|e|replace('&lt;', '<') "
    "|replace('&gt;', '>') }}{{ extra.strip('x').partition('|')|join }}<|im|>";

START_TEST(nothing_of_a_request_becomes_a_control_token)
{
    static const char *const pieces[] = {"<|im_start|>", "<|im|>", "<|im|>x", "<|end|>", "<|",
                                         "im|>",         "b<|",    "q",       "z",       " "};
    struct tokenizer *t = vocabulary_with(true);
    struct chat_template *template = template_of(EVERYTHING, t);
    ck_assert_ptr_null(chat_template_fault(template));
    srand(5);
    for (int round = 0; round < 200; round++) {
        char hostile[8][128], json[4][2048];
        for (size_t i = 0; i < 8; i++) {
            hostile[i][0] = '\0';
            for (int n = rand() % 5 + 1; n > 0; n--)
                append(hostile[i], sizeof hostile[i], pieces[(size_t)rand() % 10]);
        }
        snprintf(
            json[0], sizeof json[0],
            "[{\"role\":\"%s\",\"content\":\"%s\",\"name\":\"%s\",\"tool_calls\":[{\"function\":"
            "{\"name\":\"%s\",\"arguments\":\"{\\\"%s\\\":\\\"%s\\\"}\"}}]}]",
            hostile[0], hostile[1], hostile[2], hostile[3], hostile[4], hostile[5]);
        snprintf(json[1], sizeof json[1], "[{\"function\":{\"description\":\"%s\"}}]", hostile[6]);
        snprintf(json[2], sizeof json[2], "[{\"text\":\"%s\"},{\"text\":\"%s\"}]", hostile[7],
                 hostile[0]);
        snprintf(json[3], sizeof json[3], "{\"extra\":\"%s%s\"}", hostile[1], hostile[7]);
        struct chat_request request = {.messages = span_of(json[0]),
                                       .tools = span_of(json[1]),
                                       .documents = span_of(json[2]),
                                       .kwargs = span_of(json[3])};
        struct chat_prompt prompt = rendered(template, &request);
        ck_assert_uint_eq(count_controls(t, &prompt), 2); /* the template's first and last */
        chat_prompt_free(&prompt);
    }
    chat_template_destroy(template);
    tokenizer_destroy(t);
}
END_TEST

START_TEST(borders_neither_make_nor_break_control_tokens)
{
    static const struct {
        const char *template, *content;
        size_t n_controls;
    } cases[] = {
        {"<|im_start|>{{ messages[0].content }}<|im|>", "a", 2},
        {"<|im{{ messages[0].content }}", "|>", 0}, /* half of each */
        {"{{ messages[0].content }}|>", "<|im", 0},
        {"<|im|>{{ messages[0].content }}", "x", 1}, /* the shorter one */
        {"{{ messages[0].content }}<|im|>", "b", 1}, /* b<| gives way */
        {"{{ messages[0].content }}<|im|>", "<|im|>", 1},
        {"{{ '<|im' ~ '|>' }}{{ messages[0].content }}", "", 1},
        {"<|im_{{ messages[0].content }}|>", "start", 0},
        {"<|im_{{ messages[0].content|length }}|>", "start", 0},
    };
    struct tokenizer *t = vocabulary_with(false);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char json[256];
        struct chat_template *template = template_of(cases[i].template, t);
        snprintf(json, sizeof json, "[{\"role\":\"user\",\"content\":\"%s\"}]", cases[i].content);
        struct chat_request request = {.messages = span_of(json)};
        struct chat_prompt prompt = rendered(template, &request);
        ck_assert_msg(count_controls(t, &prompt) == cases[i].n_controls, "%s", cases[i].template);
        chat_prompt_free(&prompt);
        chat_template_destroy(template);
    }
    tokenizer_destroy(t);
}
END_TEST

START_TEST(bos_comes_once)
{
    static const char *const templates[] = {"{{ bos_token }}hi", "hi", "<|end|>hi"};
    for (int adds = 0; adds < 2; adds++) {
        struct tokenizer *t = vocabulary_with(adds == 1);
        for (size_t i = 0; i < 3; i++) {
            struct chat_template *template = template_of(templates[i], t);
            struct chat_request request = {.messages = span_of("[]")};
            struct chat_prompt prompt = rendered(template, &request);
            int32_t *ids = NULL;
            size_t n_ids = 0, n = 0;
            struct error err;
            ck_assert_int_eq(chat_tokenize(&prompt, "messages", t, &ids, &n_ids, &err), STATUS_OK);
            for (size_t k = 0; k < n_ids; k++)
                n += ids[k] == ID_END;
            ck_assert_uint_eq(n, (size_t)(adds == 1 || i != 1));
            free(ids);
            chat_prompt_free(&prompt);
            chat_template_destroy(template);
        }
        tokenizer_destroy(t);
    }
}
END_TEST

START_TEST(the_last_message_goes_on)
{
    static const char text[] = "{% for m in messages %}[{{ m.content|trim }}]{% endfor %}";
    struct chat_template *template = template_of(text, NULL);
    struct chat_request request = {.messages =
                                       span_of("[{\"role\":\"user\",\"content\":\"a\"},"
                                               "{\"role\":\"assistant\",\"content\":\" so it \"}]"),
                                   .continue_final_message = true};
    struct chat_prompt prompt = rendered(template, &request);
    ck_assert_uint_eq(prompt.n_text, 9);
    ck_assert_mem_eq(prompt.text, "[a][so it", 9);
    chat_prompt_free(&prompt);
    request.messages = span_of("[{\"role\":\"user\",\"content\":null}]");
    struct error err;
    ck_assert_int_eq(chat_render(template, &request, &prompt, &err), STATUS_INVALID);
    chat_template_destroy(template);
}
END_TEST

START_TEST(parts_become_what_the_template_takes)
{
    static const struct {
        const char *template, *content, *text;
    } cases[] = {
        {"{{ messages[0].content.strip() }}",
         "[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]", "a\nb"},
        {"{% for p in messages[0].content %}{{ p.text }}{% endfor %}", "\"ab\"", "ab"},
        {"{{ messages[0].content|length }}", "[{\"type\":\"text\",\"text\":\"a\"}]", "1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char json[256];
        struct chat_template *template = template_of(cases[i].template, NULL);
        snprintf(json, sizeof json, "[{\"role\":\"user\",\"content\":%s}]", cases[i].content);
        struct chat_request request = {.messages = span_of(json), .join_parts = true};
        struct chat_prompt prompt = rendered(template, &request);
        ck_assert_uint_eq(prompt.n_text, strlen(cases[i].text));
        ck_assert_mem_eq(prompt.text, cases[i].text, prompt.n_text);
        chat_prompt_free(&prompt);
        chat_template_destroy(template);
    }
}
END_TEST

START_TEST(every_known_format_renders)
{
    char names[256];
    snprintf(names, sizeof names, "%s", chat_builtin_names());
    size_t n = 0;
    for (char *name = strtok(names, " "); name != NULL; name = strtok(NULL, " "), n++) {
        struct gguf_string text = chat_builtin(name);
        ck_assert_msg(text.bytes != NULL, "%s", name);
        struct chat_template *template = template_of(text.bytes, NULL);
        struct chat_request request = {
            .messages = span_of("[{\"role\":\"system\",\"content\":\"S1\"},{\"role\":\"user\","
                                "\"content\":\"U2\"},{\"role\":\"assistant\",\"content\":\"A3\"}]"),
            .add_generation_prompt = true};
        ck_assert_msg(chat_template_fault(template) == NULL, "%s", chat_template_fault(template));
        struct chat_prompt prompt = rendered(template, &request);
        const char *wanted[] = {"S1", "U2", "A3"};
        for (size_t i = 0; i < 3; i++)
            ck_assert_msg(memmem(prompt.text, prompt.n_text, wanted[i], 2) != NULL, "%s", name);
        const char *user = memmem(prompt.text, prompt.n_text, "U2", 2);
        ck_assert_msg(prompt.n_common == (size_t)(user - prompt.text), "%s", name);
        chat_prompt_free(&prompt);
        chat_template_destroy(template);
    }
    ck_assert_uint_ge(n, 8);
}
END_TEST

/* Before the first text that is not the system's: what the template trims, repeats and says itself
 * is seen through; where it is not to be told, nothing is. */
START_TEST(the_opening_ends_where_the_conversation_begins)
{
    static const char text[] = "T {% for m in messages %}[{{ m.role }}]{{ m.content|trim }}"
                               "{% endfor %}";
    static const struct {
        const char *messages;
        size_t n_common;
    } cases[] = {
        {"[{\"role\":\"system\",\"content\":\"be user\"},{\"role\":\"user\",\"content\":"
         "\" hi \"}]",
         2 + 15 + 6},
        {"[{\"role\":\"developer\",\"content\":\"hi\"},{\"role\":\"user\",\"content\":\"hi\"}]",
         2 + 13 + 6},
        {"[{\"role\":\"user\",\"content\":\"hi\"}]", 2 + 6},
        {"[{\"role\":\"system\",\"content\":\"hi\"}]", 0},
        {"[{\"role\":\"system\",\"content\":\"hi\"},{\"role\":\"user\",\"content\":\" \"}]", 0},
        {"[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"hi\"}]}]", 0},
        {"[]", 0},
    };
    struct tokenizer *t = vocabulary_with(true);
    struct chat_template *template = template_of(text, t);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct chat_request request = {.messages = span_of(cases[i].messages)};
        struct chat_prompt prompt = rendered(template, &request);
        struct error err;
        int32_t *ids = NULL;
        size_t n_ids = 0;
        ck_assert_uint_eq(prompt.n_common, cases[i].n_common);
        ck_assert_int_eq(chat_tokenize(&prompt, "messages", t, &ids, &n_ids, &err), STATUS_OK);
        const size_t n = chat_common_ids(&prompt, t, ids, n_ids); /* a byte is an id, after BOS */
        ck_assert_uint_eq(n, cases[i].n_common > 0 ? 1 + cases[i].n_common : 0);
        free(ids);
        chat_prompt_free(&prompt);
    }
    chat_template_destroy(template);
    tokenizer_destroy(t);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("api/chat");
    TCase *tcase = tcase_create("chat");
    tcase_add_test(tcase, nothing_of_a_request_becomes_a_control_token);
    tcase_add_test(tcase, borders_neither_make_nor_break_control_tokens);
    tcase_add_test(tcase, bos_comes_once);
    tcase_add_test(tcase, the_last_message_goes_on);
    tcase_add_test(tcase, parts_become_what_the_template_takes);
    tcase_add_test(tcase, every_known_format_renders);
    tcase_add_test(tcase, the_opening_ends_where_the_conversation_begins);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
