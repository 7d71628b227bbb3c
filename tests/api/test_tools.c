/* test_tools.c - calls of tools in every syntax: what a grammar lets through is read, however the
 * text comes; what is no call stays text. */
#include "tool_calls.h"

#include "api/json/json.h"
#include "api/tools/grammar.h"
#include "grammar/matcher.h"

#include <stdlib.h>

static const char weather[] =
    "[{\"name\":\"get\",\"parameters\":{\"type\":\"object\",\"properties\":{}}},"
    "{\"name\":\"get_weather\",\"parameters\":{\"type\":\"object\",\"properties\":{"
    "\"city\":{\"type\":\"string\"},\"days\":{\"type\":\"integer\"},\"ok\":{\"type\":\"boolean\"},"
    "\"deep\":{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\",\"items\":{}},"
    "\"b\":{\"type\":\"string\"}}},\"note\":{\"type\":[\"string\",\"null\"]}},"
    "\"required\":[\"city\"]}},"
    "{\"name\":\"ping\"}]";

#define BAR   "\xef\xbd\x9c"
#define SPACE "\xe2\x96\x81"
#define DS(w) "<" BAR "tool" SPACE w BAR ">"

struct calling {
    const char *family, *text, *told;
};

/* One call, as the families' templates write it. */
static const struct calling calls[] = {
    {"hermes",
     "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"P \\\"q\\\" é\\nx\", "
     "\"days\": 3}}\n</tool_call>\n<tool_call>\n{\"name\": \"ping\", \"arguments\": {}}\n"
     "</tool_call>",
     "Cget_weatherA{\"city\": \"P \\\"q\\\" é\\nx\", \"days\": 3}.CpingA{}."},
    {"plain", "<tool_call>{\"name\":\"get\",\"arguments\":{}}</tool_call>", "CgetA{}."},
    {"hermes", "I'll look.\n\n<tool_call>\n{\"name\": \"get\", \"arguments\": {}}\n</tool_call>\n",
     "TI'll look.CgetA{}."},
    {"hermes", "No <tool_cat> here \n", "TNo <tool_cat> here \n"},
    {"qwen3-coder",
     "<tool_call>\n<function=get_weather>\n<parameter=city>\nPar \"q\" \\ é\nx\n</parameter>\n"
     "<parameter=days>\n3\n</parameter>\n<parameter=ok>\nTrue\n</parameter>\n<parameter=deep>\n"
     "{\"a\": [1, 2.5, null, true], \"b\": \"s\"}\n</parameter>\n<parameter=note>\nnull\n"
     "</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=ping>\n</function>\n"
     "</tool_call>",
     "Cget_weatherA{\"city\": \"Par \\\"q\\\" \\\\ é\\nx\", \"days\": 3, \"ok\": true, \"deep\": "
     "{\"a\": [1, 2.5, null, true], \"b\": \"s\"}, \"note\": null}.CpingA{}."},
    {"qwen3-coder",
     "<tool_call>\n<function=ping>\n<parameter=any_1>\n[1, 2]\n</parameter>\n<parameter=b>\n"
     "\"x\" y\n</parameter>\n<parameter=c>\n\n</parameter>\n</function>\n</tool_call>",
     "CpingA{\"any_1\": [1, 2], \"b\": \"\\\"x\\\" y\", \"c\": \"\"}."},
    {"seed-oss",
     "<seed:tool_call>\n<function=get_weather>\n<parameter=city>Paris</parameter>\n</function>\n"
     "</seed:tool_call>",
     "Cget_weatherA{\"city\": \"Paris\"}."},
    {"minimax-m2",
     "<minimax:tool_call>\n<invoke name=\"get_weather\">\n<parameter name=\"city\">Par\nis"
     "</parameter>\n<parameter name=\"days\">-2</parameter>\n</invoke>\n<invoke name=\"get\">\n"
     "</invoke>\n</minimax:tool_call>",
     "Cget_weatherA{\"city\": \"Par\\nis\", \"days\": -2}.CgetA{}."},
    {"glm",
     "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Par \"q\" \\ é\nx</arg_value>\n"
     "<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>\n<tool_call>ping\n"
     "</tool_call>",
     "Cget_weatherA{\"city\": \"Par \\\"q\\\" \\\\ é\\nx\", \"days\": 3}.CpingA{}."},
    {"llama-3", "{\"name\": \"get_weather\", \"parameters\": {\"city\": \"Par {\\\"q\\\"}\"}}",
     "Cget_weatherA{\"city\": \"Par {\\\"q\\\"}\"}."},
    {"llama-3", "<|python_tag|>{\"name\":\"ping\", \"parameters\":{}}", "CpingA{}."},
    {"llama-3", "{\"name\": \"Bob\", \"age\": 5}", "T{\"name\": \"Bob\", \"age\": 5}"},
    {"llama-3", "Hello {\"name\": \"ping\"", "THello {\"name\": \"ping\""},
    {"pythonic",
     "[get_weather(city=\"Par 'q' \\n\", days=3, ok=True, note=None), get(), "
     "ping(x='it\\'s \"y\"', z=[1, {\"k\": false}])]",
     "Cget_weatherA{\"city\": \"Par 'q' \\n\", \"days\": 3, \"ok\": true, \"note\": null}."
     "CgetA{}.CpingA{\"x\": \"it's \\\"y\\\"\", \"z\": [1, {\"k\": false}]}."},
    {"pythonic", "[1, 2] are few", "T[1, 2] are few"},
    {"lfm2", "<|tool_call_start|>[get_weather(city=\"Paris\")]<|tool_call_end|>",
     "Cget_weatherA{\"city\": \"Paris\"}."},
    {"mistral-list",
     "[TOOL_CALLS][{\"name\": \"get_weather\", \"arguments\": {\"city\": \"x\"}, \"id\": "
     "\"abcdefgh1\"}, {\"name\": \"ping\", \"arguments\": {}, \"id\": \"abcdefgh2\"}]",
     "Cget_weatherA{\"city\": \"x\"}.CpingA{}."},
    {"mistral-list", "[TOOL_CALLS] [{\"name\": \"get\", \"arguments\": {}}]", "CgetA{}."},
    {"mistral-ids",
     "[TOOL_CALLS]get_weather[CALL_ID]abcdefgh1[ARGS]{\"city\": \"x\"}[TOOL_CALLS]ping[ARGS]{}",
     "Cget_weatherA{\"city\": \"x\"}.CpingA{}."},
    {"mistral-names", "Well[TOOL_CALLS]get[ARGS]{}", "TWellCgetA{}."},
    {"gemma-4",
     "<|tool_call>call:get_weather{city:<|\"|>Par \"q\" \\ é\nx<|\"|>,days:3,ok:true,deep:"
     "{a:[1,2.5,None,true,<|\"|>z<|\"|>,[]],b:<|\"|>s<|\"|>}}<tool_call|><|tool_call>call:ping{}"
     "<tool_call|>",
     "Cget_weatherA{\"city\": \"Par \\\"q\\\" \\\\ é\\nx\", \"days\": 3, \"ok\": true, \"deep\": "
     "{\"a\": [1, 2.5, null, true, \"z\", []], \"b\": \"s\"}}.CpingA{}."},
    {"functiongemma",
     "<start_function_call>call:get_weather{city:<escape>Paris<escape>}<end_function_call>",
     "Cget_weatherA{\"city\": \"Paris\"}."},
    {"granite-3",
     "<|tool_call|>[{\"name\": \"get_weather\", \"arguments\": {\"city\": \"x\"}}, "
     "{\"name\": \"get\", \"arguments\": {}}]",
     "Cget_weatherA{\"city\": \"x\"}.CgetA{}."},
    {"phi-4", "<|tool_call|>[{\"name\": \"get\", \"arguments\": {}}]<|/tool_call|>", "CgetA{}."},
    {"deepseek-r1",
     DS("calls" SPACE "begin") DS("call" SPACE "begin") "function" DS(
         "sep") "get_weather\n```json\n{\"city\": "
                "\"x\"}\n```" DS("call" SPACE "end") "\n" DS("call" SPACE "begin") "function" DS(
                    "sep") "ping\n```"
                           "json\n{}"
                           "\n```" DS("call" SPACE "end") DS("ca"
                                                             "ll"
                                                             "s" SPACE "en"
                                                             "d"),
     "Cget_weatherA{\"city\": \"x\"}.CpingA{}."},
    {"deepseek-v3.1",
     DS("calls" SPACE "begin")
         DS("call" SPACE "begin") "get_weather" DS("sep") "{\"city\": \"x\"}" DS("call" SPACE "end")
             DS("call" SPACE "begin") "ping" DS("sep") "{}" DS("call" SPACE "end")
                 DS("calls" SPACE "end"),
     "Cget_weatherA{\"city\": \"x\"}.CpingA{}."},
    {"kimi-k2",
     "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0"
     "<|tool_call_argument_begin|>{\"city\": \"x\"}<|tool_call_end|><|tool_call_begin|>"
     "functions.ping:1<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>",
     "Cget_weatherA{\"city\": \"x\"}.CpingA{}."},
    {"apertus",
     "<|tools_prefix|>[{\"get_weather\": {\"city\": \"x\"}}, {\"ping\": {}}]<|tools_suffix|>",
     "Cget_weatherA{\"city\": \"x\"}.CpingA{}."},
    {"command-r7b",
     "<|START_ACTION|>[\n    {\"tool_call_id\": \"0\", \"tool_name\": \"get_weather\", "
     "\"parameters\": {\"city\": \"x\"}}\n]<|END_ACTION|>",
     "Cget_weatherA{\"city\": \"x\"}."},
    {"command-r",
     "Action:\n```json\n[\n    {\n        \"tool_name\": \"get_weather\",\n        "
     "\"parameters\": {\n            \"city\": \"x\"\n        }\n    },\n    {\n        "
     "\"tool_name\": \"ping\",\n        \"parameters\": {}\n    }\n]```",
     "Cget_weatherA{\n            \"city\": \"x\"\n        }.CpingA{}."},
    {"minimax-m1",
     "<tool_calls>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"x\"}}\n"
     "{\"name\": \"ping\", \"arguments\": {}}\n</tool_calls>",
     "Cget_weatherA{\"city\": \"x\"}.CpingA{}."},
    {"nemotron", "<TOOLCALL>[{\"name\": \"get\", \"arguments\": {}}]</TOOLCALL>", "CgetA{}."},
    {"firefunction", " functools[{\"name\": \"get\", \"arguments\": {}}]", "CgetA{}."},
    {"gpt-oss",
     "<|channel|>analysis<|message|>User asks.<|end|><|start|>assistant<|channel|>commentary "
     "to=functions.get_weather <|constrain|>json<|message|>{\"city\": \"x\"}",
     "?User asks.Cget_weatherA{\"city\": \"x\"}."},
    {"gpt-oss", " to=functions.ping<|channel|>commentary json<|message|>{}", "CpingA{}."},
    {"gpt-oss",
     "<|channel|>commentary<|message|>I'll look.<|end|><|start|>assistant<|channel|>final"
     "<|message|>Done < now",
     "TI'll look.Done < now"},
};
enum { N_CALLS = sizeof calls / sizeof calls[0] };

static const struct reasoning no_reasoning;

static struct matcher *matcher_for(const struct tool_set *set, enum tool_thought thought,
                                   const struct reasoning_tags *tags, struct automaton **a)
{
    struct grammar_builder *b;
    struct matcher *m;
    struct error err = {.text = ""};
    ck_assert_int_eq(expr_builder_create(&b, &grammar_limits_default, &err), STATUS_OK);
    uint32_t root = rule_declare(b, "root", 4);
    rule_define(b, root, tool_grammar(b, set, NULL, thought, tags));
    enum status status = automaton_build(a, b, root, &grammar_limits_default, 64, &err);
    ck_assert_msg(status == STATUS_OK, "%s: %s", set->family->name, err.text);
    ck_assert_int_eq(matcher_create(&m, *a, &err), STATUS_OK);
    expr_builder_destroy(b);
    return m;
}

START_TEST(calls_are_read_however_the_text_comes)
{
    const struct calling *c = &calls[_i];
    struct tool_set set = tools_of(c->family, weather);
    size_t n = strlen(c->text);
    for (size_t first = 0; first < n; first++) {
        struct told_answer told = tell_answer_by(&set, &no_reasoning, c->text, first, n);
        ck_assert_msg(strcmp(told.text, c->told) == 0, "%s: %s", c->family, told.text);
    }
    for (size_t step = 1; step < 9; step++) {
        struct told_answer told = tell_answer_by(&set, &no_reasoning, c->text, 0, step);
        ck_assert_msg(strcmp(told.text, c->told) == 0, "%s: %s", c->family, told.text);
    }
    tool_set_free(&set);
}
END_TEST

START_TEST(the_grammar_takes_what_templates_write)
{
    const struct calling *c = &calls[_i];
    struct tool_set set = tools_of(c->family, weather);
    struct automaton *a;
    struct matcher *m = matcher_for(&set, THOUGHT_NONE, NULL, &a);
    for (size_t i = 0; c->text[i] != '\0'; i++)
        ck_assert_msg(matcher_take(m, c->text + i, 1), "%s at %zu: %s", c->family, i, c->text + i);
    ck_assert_msg(matcher_may_end(m), "%s may not end: %s", c->family, c->text);
    matcher_destroy(m);
    automaton_destroy(a);
    tool_set_free(&set);
}
END_TEST

/* --- what a grammar lets through is a call --- */

static uint64_t random_state;

static uint32_t random_below(uint32_t n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % n;
}

struct place { /* of a matcher, to come back to */
    struct matcher_place at[MATCHER_PLACES];
    size_t n, n_nodes;
    bool ended;
};

static void keep(const struct matcher *m, struct place *place)
{
    memcpy(place->at, m->now.at, m->now.n * sizeof place->at[0]);
    place->n = m->now.n;
    place->n_nodes = m->n_nodes;
    place->ended = m->now.ended;
}

static void come_back(struct matcher *m, const struct place *place)
{
    memcpy(m->now.at, place->at, place->n * sizeof place->at[0]);
    m->now.n = place->n;
    m->now.ended = place->ended;
    matcher_forget(m, place->n_nodes);
}

/* Byte k of those that are tried. */
static char candidate(uint32_t k, uint32_t first)
{
    static const char likely[] = "\"\"{}[]:,<>=/()'\n  abct10tfn|_-.";
    if (k < 40)
        return likely[random_below(sizeof likely - 1)];
    return k < 140 ? (char)(' ' + (first + k) % 95) : (char)(k - 140);
}

/* A text of the grammar: bytes drawn, and the shortest way to its end after some. */
static size_t draw(struct matcher *m, char *out, size_t room, size_t long_enough)
{
    static struct place place;
    size_t n = 0;
    while (n + 1 < room) {
        const bool closing = n > long_enough;
        const uint32_t before = matcher_distance(m), first = random_below(95);
        bool took = false;
        if (matcher_may_end(m) && (closing || random_below(8) == 0))
            break;
        keep(m, &place);
        for (uint32_t k = 0; k < 140 + 256 && !took; k++) {
            char c = candidate(k, first);
            took = matcher_take(m, &c, 1);
            if (took && closing && matcher_distance(m) >= before) {
                come_back(m, &place);
                took = false;
            }
            if (took)
                out[n++] = c;
        }
        if (!took && matcher_may_end(m))
            break;
        ck_assert_msg(took, "stuck after %.*s, %u from the end", (int)n, out, before);
    }
    out[n] = '\0';
    return n;
}

static void check_arguments(const struct tool *tool, const char *json, size_t n)
{
    struct cJSON *value = cJSON_ParseWithLength(json, n);
    ck_assert_msg(json_check(json, n, JSON_DEPTH_MAX, 100000, NULL) == STATUS_OK, "%.*s", (int)n,
                  json);
    ck_assert_msg(cJSON_IsObject(value), "%.*s", (int)n, json);
    for (size_t i = 0; i < tool->n_parameters; i++) {
        const struct tool_parameter *p = &tool->parameters[i];
        const struct cJSON *found = cJSON_GetObjectItemCaseSensitive(value, p->key);
        ck_assert_msg(!p->needed || found != NULL, "%s is missing: %s", p->key, json);
        if (found != NULL && strcmp(p->key, "city") == 0)
            ck_assert(cJSON_IsString(found));
        if (found != NULL && strcmp(p->key, "days") == 0)
            ck_assert(cJSON_IsNumber(found));
        if (found != NULL && strcmp(p->key, "ok") == 0)
            ck_assert(cJSON_IsBool(found));
    }
    cJSON_Delete(value);
}

START_TEST(whatever_a_grammar_lets_through_is_calls)
{
    const struct tool_family *family = tool_family_row((size_t)_i);
    struct tool_set set = tools_of(family->name, weather);
    char text[6000];
    random_state = 11 + (uint64_t)_i;
    set.choice = TOOLS_REQUIRED;
    struct automaton *a;
    struct matcher *m = matcher_for(&set, THOUGHT_NONE, NULL, &a);
    static struct place begin;
    keep(m, &begin);
    for (int round = 0; round < 20; round++) {
        come_back(m, &begin);
        draw(m, text, sizeof text, 40 + 20 * (size_t)round);
        ck_assert(matcher_may_end(m));
        struct told_answer told = tell_answer_by(&set, &no_reasoning, text, 0, 1 + random_below(9));
        char *at = told.text;
        ck_assert_msg(strchr(told.text, 'C') != NULL, "%s: %s", family->name, text);
        if (!family->channels)
            ck_assert_msg(told.text[0] == 'C', "%s: %s: %s", family->name, text, told.text);
        /* again, for whole arguments */
        struct tool_reader r;
        struct tool_event e;
        char arguments[6000];
        size_t n = 0;
        tool_reader_begin(&r, &set, &no_reasoning);
        while (tool_reader_next(&r, text, strlen(text), true, &e)) {
            if (e.kind == TOOL_CALL)
                n = 0;
            else if (e.kind == TOOL_ARGUMENTS) {
                memcpy(arguments + n, e.bytes, e.n);
                n += e.n;
            } else if (e.kind == TOOL_CALL_END) {
                arguments[n] = '\0';
                check_arguments(e.tool, arguments, n);
                at = arguments;
            } else
                ck_assert_msg(family->channels, "%s: %s tells %s", family->name, text, told.text);
        }
        ck_assert_msg(at == arguments, "%s: %s", family->name, text);
    }
    matcher_destroy(m);
    automaton_destroy(a);
    tool_set_free(&set);
}
END_TEST

/* --- edges --- */

static void check_told(const struct tool_set *set, const struct reasoning *reasoning,
                       const char *text, const char *expected)
{
    for (size_t step = 1; step < 12; step++) {
        struct told_answer told = tell_answer_by(set, reasoning, text, 0, step);
        ck_assert_str_eq(told.text, expected);
    }
}

START_TEST(malformed_calls_stay_text)
{
    static const char *const texts[] = {
        "<tool_call>\n{\"name\": \"other\", \"arguments\": {}}\n</tool_call> x",
        "<tool_call>{\"name\": \"get_weather\", \"arguments\": 5}</tool_call>",
        "<tool_call>{\"nam",
        "<tool_call>",
        "a <tool_call> b <tool_call> c",
    };
    struct tool_set set = tools_of("hermes", weather);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char expected[256];
        snprintf(expected, sizeof expected, "T%s", texts[i]);
        check_told(&set, &no_reasoning, texts[i], expected);
    }
    check_told(&set, &no_reasoning,
               "<tool_call>no</tool_call><tool_call>{\"name\":\"get\",\"arguments\":{}}",
               "T<tool_call>no</tool_call>CgetA{}.");
    check_told(&set, &no_reasoning, "<tool_call>{\"name\":\"get\",\"arguments\":{}}</t> x",
               "CgetA{}.T}</t> x");
    tool_set_free(&set);
}
END_TEST

START_TEST(a_call_that_is_cut_keeps_what_there_is)
{
    struct tool_set set = tools_of("hermes", weather), tags = tools_of("qwen3-coder", weather);
    check_told(&set, &no_reasoning, "<tool_call>{\"name\": \"get_weather\", \"arguments\": {\"ci",
               "Cget_weatherA{\"ci");
    check_told(&set, &no_reasoning, "<tool_call>{\"name\": \"get\", \"arguments\": {}}\n</tool_",
               "CgetA{}.");
    check_told(&tags, &no_reasoning, "<tool_call>\n<function=get_weather>\n<parameter=city>\nPar",
               "Cget_weatherA{\"city\": \"Par");
    tool_set_free(&set);
    tool_set_free(&tags);
}
END_TEST

START_TEST(thoughts_are_told_before_calls)
{
    struct tool_set set = tools_of("hermes", weather);
    struct reasoning thinks;
    const char prompt[] = "x<think>\n";
    reasoning_begin(&thinks, reasoning_find("</think>"), prompt, strlen(prompt));
    check_told(&set, &thinks,
               "I use <tool_call>.\n</think>\n\n<tool_call>{\"name\":\"get\",\"arguments\":{}}",
               "?I use <tool_call>.CgetA{}.");
    struct automaton *a;
    struct matcher *m = matcher_for(&set, THOUGHT_UNDER_WAY, thinks.tags, &a);
    const char text[] = "I use <tool_call>.\n</think>\n\n<tool_call>\n{\"name\": \"ping\", "
                        "\"arguments\": {}}\n</tool_call>";
    ck_assert(matcher_take(m, text, strlen(text)));
    ck_assert(matcher_may_end(m));
    matcher_destroy(m);
    automaton_destroy(a);
    tool_set_free(&set);
}
END_TEST

START_TEST(where_none_may_be_called_no_call_begins)
{
    struct tool_set set = tools_of("hermes", weather);
    struct automaton *a;
    set.choice = TOOLS_NONE;
    struct matcher *m = matcher_for(&set, THOUGHT_NONE, NULL, &a);
    ck_assert(matcher_take(m, "Text <tool", 10));
    ck_assert(!matcher_take(m, "_call>", 6));
    ck_assert(matcher_may_end(m));
    check_told(&set, &no_reasoning, "Text <tool ", "TText <tool ");
    matcher_destroy(m);
    automaton_destroy(a);
    tool_set_free(&set);
}
END_TEST

START_TEST(bad_tools_are_refused)
{
    static const struct {
        const char *name, *parameters, *part;
    } cases[] = {
        {"\"\"", "{}", "name"},
        {"\"a b\"", "{}", "name"},
        {"5", "{}", "name"},
        {"\"ok\"", "[]", "parameters"},
        {"\"ok\"", "{\"type\":\"string\"}", "\"object\""},
        {"\"ping\"", "{}", "another"},
    };
    struct tool_set set = tools_of("hermes", weather);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cJSON *name = cJSON_Parse(cases[i].name);
        struct cJSON *parameters = cJSON_Parse(cases[i].parameters);
        struct error err;
        ck_assert_int_eq(tool_set_add(&set, "tools[0]", name, parameters, &err), STATUS_INVALID);
        ck_assert_str_eq(err.param, "tools[0]");
        ck_assert_ptr_nonnull(strstr(err.text, cases[i].part));
        cJSON_Delete(name);
        cJSON_Delete(parameters);
    }
    tool_set_free(&set);
}
END_TEST

START_TEST(families_are_known_by_their_templates_text)
{
    static const struct {
        const char *template, *family;
    } cases[] = {
        {"{{ '<tool_call>\\n{\"name\": ' }}", "hermes"},
        {"<function=example><parameter=x></parameter> <tool_call>", "qwen3-coder"},
        {"{{ messages[0].content }}", "plain"},
        {"'[TOOL_CALLS]' '[ARGS]'", "mistral-names"},
        {"List of tools: [", "lfm2"},
        {"<start_function_call>call:", "functiongemma"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ck_assert_str_eq(tool_family_find(cases[i].template)->name, cases[i].family);
    ck_assert_str_eq(tool_family_find(NULL)->name, "plain");
}
END_TEST

int main(void)
{
    int n_families = 0;
    while (tool_family_row((size_t)n_families) != NULL)
        n_families++;
    Suite *suite = suite_create("tools");
    TCase *tcase = tcase_create("tools");
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, calls_are_read_however_the_text_comes, 0, N_CALLS);
    tcase_add_loop_test(tcase, the_grammar_takes_what_templates_write, 0, N_CALLS);
    tcase_add_loop_test(tcase, whatever_a_grammar_lets_through_is_calls, 0, n_families);
    tcase_add_test(tcase, malformed_calls_stay_text);
    tcase_add_test(tcase, a_call_that_is_cut_keeps_what_there_is);
    tcase_add_test(tcase, thoughts_are_told_before_calls);
    tcase_add_test(tcase, where_none_may_be_called_no_call_begins);
    tcase_add_test(tcase, bad_tools_are_refused);
    tcase_add_test(tcase, families_are_known_by_their_templates_text);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
