/* ends.c - which tokens end a generation: those that the file's keys name, and those whose text is
 * one by which models end a text, a turn or a file.
 *
 * Files often give no key for them, or declare them plain text, and then name another end: a chat
 * model would write past its own turn. The names and their exceptions are llama.cpp's, with those
 * of Llama 4 and DeepSeek Coder. Creation only.
 */
#include "text/tokenizer/internal.h"

#include <assert.h>
#include <string.h>

/* U+FF5C, U+2581: what DeepSeek writes for a bar and a space. The name is cut after each, since a
 * hexadecimal escape takes as many digits as follow. */
#define WIDE_BAR   "\xef\xbd\x9c"
#define LOW_SQUARE "\xe2\x96\x81"

static const char *const names[] = {
    "<|eot_id|>",
    "<|eom_id|>",
    "<|eot|>",
    "<|eom|>",
    "<|EOT|>",
    "<EOT>",
    "_<EOT>",
    "\xe2\x96\x81<EOT>", /* U+2581 */
    "[EOT]",
    "[EOS]",
    "</s>",
    "<eos>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<turn|>",
    "<|tool_response>",
    "<end_of_utterance>",
    "<|end_of_text|>",
    "<|endoftext|>",
    "<" WIDE_BAR "end" LOW_SQUARE "of" LOW_SQUARE "sentence" WIDE_BAR ">",
    "[e~[",
    /* of a model that fills in the middle: beyond its text, into another file or repository */
    "<|fim_pad|>",
    "<fim-pad>",
    "<fim_pad>",
    "<PAD>",
    "[PAD]",
    "<|fim_repo|>",
    "<|repo_name|>",
    "<fim-repo>",
    "<REPO>",
    "<reponame>",
    "<|file_sep|>",
};

/* Keys add some: EOS, EOT, EOM and three of a model that fills in the middle. */
static_assert(sizeof names / sizeof names[0] + 6 <= TOKENIZER_MAX_ENDS, "all ends fit the list");

/* Where both others are in the vocabulary, this one closes a part of the answer and more follows.
 */
static const struct {
    const char *name, *with, *and; /* and: NULL where one is enough */
} exceptions[] = {
    {"<|end|>", "<|return|>", "<|call|>"}, /* gpt-oss */
    {"<|end|>", "<|calls|>", "<|flush|>"}, /* Solar Open */
    {"</s>", "<|tool_response>", NULL},    /* Gemma 4, where it is plain text */
};

/* The parts of an answer in gpt-oss's format: without their names the parts run together. What a
 * request says still never becomes one of them. */
static const char *const shown[] = {"<|start|>", "<|channel|>", "<|message|>", "<|constrain|>",
                                    "<|end|>"};

static int32_t find(const struct tokenizer *t, const char *name)
{
    return text_table_find(t, name, strlen(name));
}

static void find_shown(struct tokenizer *t)
{
    if (find(t, "<|return|>") == TOKEN_NONE || find(t, "<|call|>") == TOKEN_NONE)
        return;
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++) {
        int32_t id = find(t, shown[i]);
        if (id != TOKEN_NONE && !(t->flags[id] & TOKEN_FLAG_END))
            t->flags[id] |= TOKEN_FLAG_SHOWN;
    }
}

static bool is_exception(const struct tokenizer *t, const char *name)
{
    for (size_t i = 0; i < sizeof exceptions / sizeof exceptions[0]; i++) {
        if (strcmp(name, exceptions[i].name) == 0 && find(t, exceptions[i].with) != TOKEN_NONE &&
            (exceptions[i].and == NULL || find(t, exceptions[i].and) != TOKEN_NONE))
            return true;
    }
    return false;
}

void tokenizer_find_ends(struct tokenizer *t)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        int32_t id = find(t, names[i]);
        if (id == TOKEN_NONE)
            continue;
        if (is_exception(t, names[i])) {
            if (id != t->eos)
                t->flags[id] &= (uint8_t)~TOKEN_FLAG_END;
            continue;
        }
        if (!(t->flags[id] & TOKEN_FLAG_END))
            t->flags[id] |= TOKEN_FLAG_END | TOKEN_FLAG_BY_TEXT;
        t->types[id] = TOKEN_CONTROL;
    }
    find_shown(t);
    for (size_t id = 0; id < t->n_vocab; id++) {
        if (t->flags[id] & TOKEN_FLAG_END)
            t->ends[t->n_ends++] = (int32_t)id;
    }
}
