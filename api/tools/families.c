/* families.c - the table of syntaxes, and which of them a template means. See family.h. */
#include "api/tools/family.h"

#include <string.h>

/* U+FF5C, U+2581: what DeepSeek writes for a bar and a space. */
#define BAR             "\xef\xbd\x9c"
#define SPACE           "\xe2\x96\x81"
#define DEEPSEEK(words) "<" BAR "tool" SPACE words BAR ">"

static const struct tool_tags qwen_tags = {"<parameter=", ">", "</parameter>", true};
static const struct tool_tags glm_tags = {"<arg_key>", "</arg_key>\n<arg_value>", "</arg_value>",
                                          false};
static const struct tool_tags minimax_tags = {"<parameter name=\"", "\">", "</parameter>", false};
static const struct tool_tags escape_quotes = {.value_close = "<escape>"};
static const struct tool_tags bar_quotes = {.value_close = "<|\"|>"};

#define NAME_ARGUMENTS  "{\"name\": \"$N\", \"arguments\": $A}"
#define NAME_PARAMETERS "{\"name\": \"$N\", \"parameters\": $A}"

/* The first whose marks a template has is the one: those with more particular marks come first. */
static const struct tool_family families[] = {
    {.name = "gpt-oss",
     .marks = {"<|channel|>", "<|message|>", "functions"},
     .form = FORM_JSON,
     .call = "$N$A",
     .begin = "",
     .end = "",
     .channels = true,
     .shown = {"<|start|>", "<|channel|>", "<|message|>", "<|constrain|>", "<|end|>"}},
    {.name = "mistral-ids",
     .marks = {"[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"},
     .trigger = "[TOOL_CALLS]",
     .begin = "",
     .call = "$N\1[CALL_ID]$I\2[ARGS]$A",
     .end = "",
     .shown = {"[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"}},
    {.name = "mistral-names",
     .marks = {"[TOOL_CALLS]", "[ARGS]"},
     .trigger = "[TOOL_CALLS]",
     .begin = "",
     .call = "$N[ARGS]$A",
     .end = "",
     .shown = {"[TOOL_CALLS]", "[ARGS]"}},
    {.name = "mistral-list",
     .marks = {"[TOOL_CALLS]"},
     .trigger = "[TOOL_CALLS]",
     .begin = "\n[",
     .call = "{\"name\": \"$N\", \"arguments\": $A\1, \"id\": \"$I\"\2}",
     .between = ",\n",
     .end = "\n]",
     .shown = {"[TOOL_CALLS]"}},
    {.name = "gemma-4",
     .marks = {"<|tool_call>call:"},
     .trigger = "<|tool_call>",
     .begin = "",
     .call = "call:$N$A",
     .end = "<tool_call|>",
     .form = FORM_QUOTED,
     .tags = &bar_quotes,
     .shown = {"<|tool_call>", "<tool_call|>", "<|\"|>"}},
    {.name = "functiongemma",
     .marks = {"<start_function_call>"},
     .trigger = "<start_function_call>",
     .begin = "",
     .call = "call:$N$A",
     .end = "<end_function_call>",
     .form = FORM_QUOTED,
     .tags = &escape_quotes,
     .shown = {"<start_function_call>", "<end_function_call>", "<escape>"}},
    {.name = "deepseek-r1",
     .marks = {DEEPSEEK("calls" SPACE "begin"), DEEPSEEK("sep"), "```json"},
     .trigger = DEEPSEEK("calls" SPACE "begin"),
     .begin = "\n",
     .call = DEEPSEEK("call" SPACE "begin") "function" DEEPSEEK(
         "sep") "$N\n```json\n$A\n```" DEEPSEEK("call" SPACE "end"),
     .between = "\n",
     .end = "\n" DEEPSEEK("calls" SPACE "end"),
     .shown = {DEEPSEEK("calls" SPACE "begin"), DEEPSEEK("call" SPACE "begin"), DEEPSEEK("sep"),
               DEEPSEEK("call" SPACE "end"), DEEPSEEK("calls" SPACE "end")}},
    {.name = "deepseek-v3.1",
     .marks = {DEEPSEEK("calls" SPACE "begin"), DEEPSEEK("sep")},
     .trigger = DEEPSEEK("calls" SPACE "begin"),
     .begin = "",
     .call = DEEPSEEK("call" SPACE "begin") "$N" DEEPSEEK("sep") "$A" DEEPSEEK("call" SPACE "end"),
     .between = "\n",
     .end = "\n" DEEPSEEK("calls" SPACE "end"),
     .shown = {DEEPSEEK("calls" SPACE "begin"), DEEPSEEK("call" SPACE "begin"), DEEPSEEK("sep"),
               DEEPSEEK("call" SPACE "end"), DEEPSEEK("calls" SPACE "end")}},
    {.name = "kimi-k2",
     .marks = {"<|tool_calls_section_begin|>"},
     .trigger = "<|tool_calls_section_begin|>",
     .begin = "\n",
     .call = "<|tool_call_begin|>\nfunctions.$N:$D\n<|tool_call_argument_begin|>\n$A\n"
             "<|tool_call_end|>",
     .between = "\n",
     .end = "\n<|tool_calls_section_end|>",
     .shown = {"<|tool_calls_section_begin|>", "<|tool_call_begin|>",
               "<|tool_call_argument_begin|>", "<|tool_call_end|>", "<|tool_calls_section_end|>"}},
    {.name = "apertus",
     .marks = {"<|tools_prefix|>"},
     .trigger = "<|tools_prefix|>",
     .begin = "\n[\n",
     .call = "{\"$N\": $A}",
     .between = ",\n",
     .end = "\n]\n<|tools_suffix|>",
     .shown = {"<|tools_prefix|>", "<|tools_suffix|>"}},
    {.name = "command-r7b",
     .marks = {"<|START_ACTION|>"},
     .trigger = "<|START_ACTION|>",
     .begin = "\n[\n",
     .call = "{\n\1\"tool_call_id\": \"$D\",\n\2\"tool_name\": \"$N\",\n\"parameters\": $A\n}",
     .between = ",\n",
     .end = "\n]\n<|END_ACTION|>",
     .shown = {"<|START_ACTION|>", "<|END_ACTION|>"}},
    {.name = "command-r",
     .marks = {"Action:", "tool_name", "<results>"},
     .trigger = "Action:\n```json",
     .begin = "\n[\n",
     .call = "{\n\"tool_name\": \"$N\",\n\"parameters\": $A\n}",
     .between = ",\n",
     .end = "\n]\n```"},
    {.name = "minimax-m2",
     .marks = {"<minimax:tool_call>", "<invoke name="},
     .trigger = "<minimax:tool_call>",
     .begin = "\n",
     .call = "<invoke name=\"$N\">\n$A\n</invoke>",
     .between = "\n",
     .end = "\n</minimax:tool_call>",
     .form = FORM_TAGS,
     .tags = &minimax_tags,
     .shown = {"<minimax:tool_call>", "</minimax:tool_call>"}},
    {.name = "seed-oss",
     .marks = {"<seed:tool_call>"},
     .trigger = "<seed:tool_call>",
     .begin = "\n",
     .call = "<function=$N>\n$A\n</function>",
     .between = "\n",
     .end = "\n</seed:tool_call>",
     .form = FORM_TAGS,
     .tags = &qwen_tags,
     .shown = {"<seed:tool_call>", "</seed:tool_call>"}},
    {.name = "glm",
     .marks = {"<arg_key>", "<arg_value>"},
     .trigger = "<tool_call>",
     .begin = "",
     .call = "$N\n$A",
     .end = "\n</tool_call>",
     .form = FORM_TAGS,
     .tags = &glm_tags,
     .shown = {"<tool_call>", "</tool_call>", "<arg_key>", "</arg_key>", "<arg_value>",
               "</arg_value>"}},
    {.name = "qwen3-coder",
     .marks = {"<function=", "<parameter="},
     .trigger = "<tool_call>",
     .begin = "\n",
     .call = "<function=$N>\n$A\n</function>",
     .end = "\n</tool_call>",
     .form = FORM_TAGS,
     .tags = &qwen_tags,
     .shown = {"<tool_call>", "</tool_call>"}},
    {.name = "minimax-m1",
     .marks = {"<tool_calls>"},
     .trigger = "<tool_calls>",
     .begin = "\n",
     .call = NAME_ARGUMENTS,
     .between = "\n",
     .end = "\n</tool_calls>",
     .shown = {"<tool_calls>", "</tool_calls>"}},
    {.name = "nemotron",
     .marks = {"<TOOLCALL>"},
     .trigger = "<TOOLCALL>",
     .begin = "\n[\n",
     .call = NAME_ARGUMENTS,
     .between = ",\n",
     .end = "\n]\n</TOOLCALL>",
     .shown = {"<TOOLCALL>", "</TOOLCALL>"}},
    {.name = "lfm2",
     .marks = {"<|tool_call_start|>"},
     .trigger = "<|tool_call_start|>",
     .begin = "[",
     .call = "$N($A)",
     .between = ",\n",
     .end = "]<|tool_call_end|>",
     .form = FORM_PYTHON,
     .shown = {"<|tool_call_start|>", "<|tool_call_end|>"}},
    {.name = "phi-4",
     .marks = {"<|tool_call|>", "<|/tool_call|>"},
     .trigger = "<|tool_call|>",
     .begin = "\n[\n",
     .call = NAME_ARGUMENTS,
     .between = ",\n",
     .end = "\n]\n<|/tool_call|>",
     .shown = {"<|tool_call|>", "<|/tool_call|>"}},
    {.name = "granite-3",
     .marks = {"<|tool_call|>"},
     .trigger = "<|tool_call|>",
     .begin = "\n[\n",
     .call = NAME_ARGUMENTS,
     .between = ",\n",
     .end = "\n]",
     .shown = {"<|tool_call|>"}},
    {.name = "firefunction",
     .marks = {"functools["},
     .trigger = " functools[",
     .begin = "\n",
     .call = NAME_ARGUMENTS,
     .between = ",\n",
     .end = "\n]"},
    {.name = "hermes",
     .marks = {"<tool_call>"},
     .trigger = "<tool_call>",
     .begin = "\n",
     .call = NAME_ARGUMENTS,
     .end = "\n</tool_call>",
     .shown = {"<tool_call>", "</tool_call>"}},
    {.name = "pythonic",
     .marks = {"func_name1("},
     .begin = "[",
     .call = "$N($A)",
     .between = ",\n",
     .end = "]",
     .form = FORM_PYTHON},
    {.name = "llama-3",
     .marks = {"<|start_header_id|>", "\"parameters\": "},
     .begin = "\1<|python_tag|>\2",
     .call = NAME_PARAMETERS,
     .between = ";\n",
     .end = "",
     .shown = {"<|python_tag|>"}},
    {.name = "plain",
     .trigger = "<tool_call>",
     .begin = "\n",
     .call = NAME_ARGUMENTS,
     .end = "\n</tool_call>",
     .shown = {"<tool_call>", "</tool_call>"}},
};
enum { N_FAMILIES = sizeof families / sizeof families[0] };

/* Marks by which templates that show no call are known: they list the tools, and the model knows
 * the rest. */
static const struct {
    const char *mark, *family;
} hints[] = {
    {"<|tool_list_start|>", "lfm2"},
    {"List of tools: [", "lfm2"},
};

static bool has_marks(const char *template, const struct tool_family *family)
{
    if (family->marks[0] == NULL)
        return false;
    for (size_t i = 0; i < FAMILY_MARKS && family->marks[i] != NULL; i++)
        if (strstr(template, family->marks[i]) == NULL)
            return false;
    return true;
}

const struct tool_family *tool_family_find(const char *template)
{
    if (template == NULL)
        return tool_family_plain();
    for (size_t i = 0; i < N_FAMILIES; i++)
        if (has_marks(template, &families[i]))
            return &families[i];
    for (size_t i = 0; i < sizeof hints / sizeof hints[0]; i++)
        if (strstr(template, hints[i].mark) != NULL)
            return tool_family_named(hints[i].family);
    return tool_family_plain();
}

const struct tool_family *tool_family_named(const char *name)
{
    for (size_t i = 0; i < N_FAMILIES; i++)
        if (strcmp(families[i].name, name) == 0)
            return &families[i];
    return NULL;
}

const struct tool_family *tool_family_row(size_t i)
{
    return i < N_FAMILIES ? &families[i] : NULL;
}

const struct tool_family *tool_family_plain(void)
{
    return &families[N_FAMILIES - 1];
}

const char *tool_family_begins(const struct tool_family *family)
{
    if (family->channels)
        return "to=functions.";
    if (family->trigger != NULL)
        return family->trigger;
    return family->form == FORM_PYTHON ? "(" : "{\"name\":";
}
