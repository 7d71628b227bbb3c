/* chat.c - conversations to prompts: templates made, rendered, tokenized. Any thread: a template is
 * read-only once made, each rendering has its own heap. */
#include "api/chat/chat.h"

#include "api/chat/opening.h"
#include "api/chat/values.h"
#include "base/utf8.h"
#include "jinja/jinja.h"
#include "jinja/print.h"
#include "jinja/text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char NAME[] = "chat template";
static const char NONE[] =
    "this model has no chat template; start the server with --chat-template NAME or FILE";

struct chat_template {
    struct jinja_template *plain, *tools; /* owned; tools NULL: plain serves both */
    char *source, *tool_source;           /* owned, NUL-terminated; tool_source NULL: as tools */
    char *fault;                          /* owned; NULL: it can be used */
    char *bos, *eos;                      /* owned; the tokens' texts */
    bool adds_bos;
    struct jinja_limits limits;
    bool takes_lists, takes_strings; /* as a message's content */
};

const char *chat_template_fault(const struct chat_template *template)
{
    return template == NULL ? NONE : template->fault;
}

bool chat_template_absent(const struct chat_template *template)
{
    return template == NULL || (template->fault != NULL && strcmp(template->fault, NONE) == 0);
}

const char *chat_template_source(const struct chat_template *template)
{
    return template == NULL || template->plain == NULL ? NULL : template->source;
}

const char *chat_template_source_for_tools(const struct chat_template *template)
{
    bool other = template != NULL && template->tools != NULL;
    return other ? template->tool_source : chat_template_source(template);
}

void chat_template_destroy(struct chat_template *template)
{
    if (template == NULL)
        return;
    jinja_destroy(template->plain);
    jinja_destroy(template->tools);
    free(template->source);
    free(template->tool_source);
    free(template->fault);
    free(template->bos);
    free(template->eos);
    free(template);
}

void chat_prompt_free(struct chat_prompt *prompt)
{
    free(prompt->text);
    free(prompt->spans);
    *prompt = (struct chat_prompt){.text = NULL};
}

/* --- a rendering --- */

struct chat_rendering {
    const struct chat_template *template;
    const struct chat_request *request;
    struct jinja_dict *variables;
    const struct jinja_text *final; /* the last message's content; NULL: not asked for */
    struct chat_opening opening;
};

static void set(struct jinja_heap *heap, struct jinja_dict *variables, const char *name,
                struct jinja_value value)
{
    jinja_dict_set(heap, variables, jinja_chars(heap, name), value);
}

static bool is_word_letter(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* Whether the word stands in the text, as the name of a variable does. */
static bool has_word(const char *text, const char *word)
{
    const size_t n = strlen(word);
    for (const char *at = text; (at = strstr(at, word)) != NULL; at += n)
        if ((at == text || !is_word_letter(at[-1])) && !is_word_letter(at[n]))
            return true;
    return false;
}

/* A few templates (Firefunction's) do not know of `tools`: they read the tools as a text of JSON,
 * `functions`, and a `datetime`. The day is all that they are told: a text that differs at every
 * second would keep prompts from being found in the cache. */
static void set_functions(struct jinja_heap *heap, struct jinja_dict *variables, const char *source,
                          struct jinja_value tools)
{
    struct jinja_builder text = {.heap = heap};
    char day[32];
    struct tm now;
    const time_t seconds = time(NULL);
    if (has_word(source, "tools") || !has_word(source, "functions"))
        return;
    if (tools.kind == JINJA_LIST) {
        const struct jinja_print_json how = {.comma = jinja_chars(heap, ", ").text,
                                             .colon = jinja_chars(heap, ": ").text};
        jinja_print_json(&text, tools, &how);
    }
    if (jinja_dict_text(heap, variables, "functions", 9) == NULL)
        set(heap, variables, "functions", jinja_string(jinja_finish(&text)));
    if (jinja_dict_text(heap, variables, "datetime", 8) == NULL &&
        gmtime_r(&seconds, &now) != NULL && strftime(day, sizeof day, "%b %d %Y", &now) > 0)
        set(heap, variables, "datetime",
            jinja_string(jinja_text_new(heap, day, strlen(day), false)));
}

static struct jinja_value optional(struct jinja_heap *heap, struct json_span json)
{
    return json.n == 0 ? jinja_none() : chat_value(heap, json);
}

/* The text that the last message's content is, or whose last text part it is. */
static const struct jinja_text *final_text(struct jinja_heap *heap, struct jinja_value messages)
{
    const struct jinja_value *content = NULL;
    if (messages.list->n > 0)
        content =
            jinja_dict_text(heap, messages.list->items[messages.list->n - 1].dict, "content", 7);
    if (content != NULL && content->kind == JINJA_LIST) {
        const struct jinja_list *parts = content->list;
        content = NULL;
        for (size_t i = parts->n; content == NULL && i-- > 0;)
            if (parts->items[i].kind == JINJA_DICT)
                content = jinja_dict_text(heap, parts->items[i].dict, "text", 4);
    }
    if (content == NULL || content->kind != JINJA_STRING)
        jinja_fail(heap, "continue_final_message needs a last message whose content is text");
    return content->text;
}

static void build(struct jinja_heap *heap, void *context)
{
    static const char *const ours[] = {"messages", "tools", "documents", "add_generation_prompt"};
    struct chat_rendering *what = context;
    const struct chat_template *template = what->template;
    const struct chat_request *request = what->request;
    struct jinja_dict *variables = jinja_dict_new(heap);
    set(heap, variables, "bos_token", jinja_chars(heap, template->bos));
    set(heap, variables, "eos_token", jinja_chars(heap, template->eos));
    if (request->kwargs.n > 0) {
        struct jinja_value kwargs = chat_value(heap, request->kwargs);
        for (size_t i = 0; kwargs.kind == JINJA_DICT && i < kwargs.dict->n; i++) {
            const struct jinja_pair *pair = &kwargs.dict->pairs[i];
            for (size_t k = 0; k < sizeof ours / sizeof ours[0]; k++)
                if (jinja_is(pair->key.text, ours[k]))
                    jinja_fail(heap, "chat_template_kwargs must not name %s", ours[k]);
            jinja_dict_set(heap, variables, pair->key, pair->value);
        }
    }
    struct jinja_value messages = chat_messages(heap, chat_value(heap, request->messages));
    what->opening = chat_opening_of(heap, messages);
    if (request->continue_final_message)
        what->final = final_text(heap, messages);
    bool lists_alone = template->takes_lists && !template->takes_strings;
    if (request->join_parts)
        messages = chat_fill_content(heap, messages, lists_alone);
    if (request->join_parts && template->takes_lists != template->takes_strings)
        messages = chat_join_parts(heap, messages, lists_alone);
    set(heap, variables, "messages", messages);
    struct jinja_value tools = optional(heap, request->tools);
    if (request->join_parts) {
        tools = chat_tools(heap, tools);
        set_functions(heap, variables, template->source, tools);
    }
    set(heap, variables, "tools", tools);
    set(heap, variables, "documents", optional(heap, request->documents));
    set(heap, variables, "add_generation_prompt", jinja_bool(request->add_generation_prompt));
    what->variables = variables;
}

/* Cuts the text after the last message's content. */
static enum status end_at_final(const struct jinja_text **text, struct jinja_heap *heap,
                                const struct jinja_text *final, struct error *err);

struct final_cut {
    const struct jinja_text *text, *final;
};

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void cut_after(struct jinja_heap *heap, void *context)
{
    struct final_cut *cut = context;
    const struct jinja_text *final = cut->final;
    size_t begin = 0, end = final->n;
    while (begin < end && is_blank(final->bytes[begin]))
        begin++;
    while (end > begin && is_blank(final->bytes[end - 1]))
        end--;
    const struct jinja_text *core = jinja_part(heap, final, begin, end);
    ptrdiff_t at = jinja_find_last(heap, cut->text, core, 0, cut->text->n);
    if (at == JINJA_NOWHERE)
        jinja_fail(heap, "continue_final_message is set, but the final message does not appear in "
                         "the prompt that the chat template makes");
    size_t whole = final->n - begin, left = cut->text->n - (size_t)at;
    bool kept = whole <= left && memcmp(cut->text->bytes + at, final->bytes + begin, whole) == 0;
    cut->text = jinja_part(heap, cut->text, 0, (size_t)at + (kept ? whole : core->n));
}

static enum status end_at_final(const struct jinja_text **text, struct jinja_heap *heap,
                                const struct jinja_text *final, struct error *err)
{
    struct final_cut cut = {*text, final};
    enum status status = jinja_build(heap, cut_after, &cut, err);
    if (status == STATUS_OK)
        *text = cut.text;
    return status;
}

/* The rendered text out of the heap, without a BOS in front that tokenizing adds anyway. */
static enum status copy_out(const struct chat_template *template, const struct jinja_text *text,
                            const struct chat_opening *opening, struct chat_prompt *out,
                            struct error *err)
{
    size_t n_bos = strlen(template->bos), skip = 0;
    if (template->adds_bos && n_bos > 0 && text->n >= n_bos &&
        memcmp(text->bytes, template->bos, n_bos) == 0 && !jinja_from_request(text, 0, n_bos))
        skip = n_bos;
    struct chat_prompt prompt = {.n_text = text->n - skip, .n_spans = text->n_spans};
    prompt.text = malloc(prompt.n_text + 1);
    prompt.spans = malloc((prompt.n_spans + 1) * sizeof *prompt.spans);
    if (prompt.text == NULL || prompt.spans == NULL) {
        chat_prompt_free(&prompt);
        return error_no_memory(err, text->n, "a prompt");
    }
    memcpy(prompt.text, text->bytes + skip, prompt.n_text);
    for (size_t i = 0; i < prompt.n_spans; i++)
        prompt.spans[i] =
            (struct tokenizer_span){text->spans[i].begin - skip, text->spans[i].end - skip};
    prompt.n_common = chat_opening_end(opening, prompt.text, prompt.spans, prompt.n_spans);
    *out = prompt;
    return STATUS_OK;
}

/* The request's part that a failed rendering is laid to. */
static enum status of_request(struct error *err, enum status status)
{
    if (status == STATUS_NO_MEMORY || err == NULL)
        return status;
    struct error cause = *err;
    bool kwargs = strstr(cause.text, "chat_template_kwargs") != NULL;
    const char *text = cause.text;
    if (strncmp(text, "chat template: messages", 23) == 0 || kwargs)
        text += strlen("chat template: ");
    return error_set_param(err, status, kwargs ? "chat_template_kwargs" : "messages", "%s", text);
}

static enum status check_list(const char *field, struct json_span list, struct error *err)
{
    return list.n == 0 || list.at[0] == '['
               ? STATUS_OK
               : error_set_param(err, STATUS_INVALID, field, "%s must be an array", field);
}

enum status chat_render(const struct chat_template *template, const struct chat_request *request,
                        struct chat_prompt *out, struct error *err)
{
    if (request->other != NULL)
        template = request->other;
    const char *fault = chat_template_fault(template);
    if (fault != NULL)
        return error_set(err, STATUS_UNABLE, "%s", fault);
    if (request->continue_final_message && request->add_generation_prompt)
        return error_set_param(err, STATUS_INVALID, "continue_final_message",
                               "continue_final_message and add_generation_prompt exclude each "
                               "other");
    struct jinja_heap *heap = NULL;
    struct chat_rendering what = {.template = template, .request = request};
    const struct jinja_text *text = NULL;
    enum status status = check_list("tools", request->tools, err);
    if (status == STATUS_OK)
        status = check_list("documents", request->documents, err);
    if (status == STATUS_OK)
        status = jinja_begin(&heap, NAME, &template->limits, err);
    if (status == STATUS_OK)
        status = jinja_build(heap, build, &what, err);
    if (status == STATUS_OK)
        status = jinja_render(request->tools.n > 0 && template->tools != NULL ? template->tools
                                                                              : template->plain,
                              heap, what.variables, (int64_t)time(NULL), &text, err);
    if (status == STATUS_OK && what.final != NULL)
        status = end_at_final(&text, heap, what.final, err);
    if (status != STATUS_OK)
        status = of_request(err, status);
    else
        status = copy_out(template, text, &what.opening, out, err);
    jinja_end(heap);
    return status;
}

enum status chat_tokenize(const struct chat_prompt *prompt, const char *field,
                          const struct tokenizer *tokenizer, int32_t **ids, size_t *n_ids,
                          struct error *err)
{
    size_t room = tokenizer_max_ids(tokenizer, prompt->n_text);
    if (room > SIZE_MAX / sizeof **ids - 1)
        return error_set_param(err, STATUS_TOO_LARGE, field, "%s is too long", field);
    int32_t *made = malloc((room + 1) * sizeof *made);
    if (made == NULL)
        return error_no_memory(err, room * sizeof *made, "the prompt's tokens");
    /* BOS by hand: what else tokenizing adds belongs to whole texts, and this one is to go on. */
    size_t n = 0, n_bos = tokenizer_adds_bos(tokenizer) && tokenizer_bos(tokenizer) != TOKEN_NONE;
    if (n_bos > 0)
        made[0] = tokenizer_bos(tokenizer);
    enum status status =
        tokenizer_encode_around(tokenizer, prompt->text, prompt->n_text, 0, prompt->spans,
                                prompt->n_spans, made + n_bos, &n, err);
    if (status != STATUS_OK) {
        free(made);
        struct error cause = err != NULL ? *err : (struct error){.text = ""};
        return error_set_param(err, status, field, "%s: %s", field, cause.text);
    }
    *ids = made;
    *n_ids = n + n_bos;
    return STATUS_OK;
}

size_t chat_common_ids(const struct chat_prompt *prompt, const struct tokenizer *tokenizer,
                       const int32_t *ids, size_t n_ids)
{
    size_t n = 0, n_bytes = 0;
    if (tokenizer_adds_bos(tokenizer) && n_ids > 0 && ids[0] == tokenizer_bos(tokenizer))
        n = 1; /* which is not in the text */
    for (; n < n_ids; n++) {
        n_bytes += tokenizer_piece(tokenizer, ids[n], true).n;
        if (n_bytes > prompt->n_common)
            break;
    }
    return prompt->n_common > 0 ? n : 0;
}

/* --- making one --- */

static char *copy_text(const char *bytes, size_t n)
{
    char *copy = malloc(n + 1);
    if (copy != NULL) {
        if (n > 0)
            memcpy(copy, bytes, n);
        copy[n] = '\0';
    }
    return copy;
}

static char *token_text(const struct tokenizer *tokenizer, int32_t id)
{
    struct gguf_string text = {"", 0};
    if (tokenizer != NULL && id != TOKEN_NONE)
        text = tokenizer_entry(tokenizer, id);
    return copy_text(text.bytes, text.n);
}

/* Does a conversation with this content come out with its text, and not as a list is written? */
static bool probe(const struct chat_template *template, const char *messages)
{
    static const char mark[] = "hUb7q";
    struct chat_prompt prompt = {.text = NULL};
    struct chat_request request = {.messages = {messages, strlen(messages)},
                                   .add_generation_prompt = true};
    struct error err;
    if (chat_render(template, &request, &prompt, &err) != STATUS_OK)
        return false;
    bool found = memmem(prompt.text, prompt.n_text, mark, sizeof mark - 1) != NULL &&
                 memmem(prompt.text, prompt.n_text, "'type'", 6) == NULL &&
                 memmem(prompt.text, prompt.n_text, "\"type\"", 6) == NULL;
    chat_prompt_free(&prompt);
    return found;
}

/* Parses one of the texts; a fault is noted, STATUS_NO_MEMORY is not. */
static enum status parse(struct chat_template *template, struct jinja_template **out,
                         struct gguf_string text, struct error *err)
{
    struct error cause = {.text = ""};
    size_t n_valid = utf8_check(text.bytes, text.n);
    enum status status = STATUS_FORMAT;
    if (n_valid < text.n)
        error_set(&cause, status, "%s: it is not UTF-8 at byte %zu", NAME, n_valid);
    else
        status = jinja_parse(out, NAME, text.bytes, text.n, &template->limits, &cause);
    if (status == STATUS_OK)
        return STATUS_OK;
    if (status != STATUS_NO_MEMORY && template->fault == NULL)
        template->fault = copy_text(cause.text, strlen(cause.text));
    if (status == STATUS_NO_MEMORY || template->fault == NULL)
        return error_no_memory(err, text.n, "the chat template");
    return STATUS_OK;
}

/* Parses both texts, and finds out what a message's content may be. */
static enum status prepare(struct chat_template *template, struct gguf_string text,
                           struct gguf_string tool_text, struct error *err)
{
    enum status status = STATUS_OK;
    template->source = copy_text(text.bytes, text.n);
    if (template->bos == NULL || template->eos == NULL || template->source == NULL)
        return error_no_memory(err, text.n, "the chat template");
    if (text.bytes == NULL)
        template->fault = copy_text(NONE, strlen(NONE));
    if (text.bytes == NULL)
        return template->fault == NULL ? error_no_memory(err, sizeof NONE, "an error") : STATUS_OK;
    status = parse(template, &template->plain, text, err);
    if (status == STATUS_OK && tool_text.bytes != NULL) {
        template->tool_source = copy_text(tool_text.bytes, tool_text.n);
        status = template->tool_source != NULL
                     ? parse(template, &template->tools, tool_text, err)
                     : error_no_memory(err, tool_text.n, "the chat template");
    }
    if (status != STATUS_OK || template->fault != NULL)
        return status;
    template->takes_strings = probe(template, "[{\"role\":\"user\",\"content\":\"hUb7q\"}]");
    template->takes_lists = probe(
        template, "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"hUb7q\"}]}]");
    return STATUS_OK;
}

enum status chat_template_create(struct chat_template **out, const struct chat_source *source,
                                 struct error *err)
{
    struct chat_template *template = calloc(1, sizeof *template);
    if (template == NULL)
        return error_no_memory(err, sizeof *template, "the chat template");
    const struct tokenizer *t = source->tokenizer;
    template->limits = source->limits;
    template->bos = token_text(t, t == NULL ? TOKEN_NONE : tokenizer_bos(t));
    template->eos = token_text(t, t == NULL ? TOKEN_NONE : tokenizer_eos(t));
    template->adds_bos = t != NULL &&tokenizer_adds_bos(t);
    enum status status = prepare(template, source->text, source->tool_text, err);
    if (status != STATUS_OK)
        chat_template_destroy(template);
    else
        *out = template;
    return status;
}

enum status chat_template_other(struct chat_template **out, const struct chat_template *model,
                                const char *text, size_t n, struct error *err)
{
    struct chat_template *template = calloc(1, sizeof *template);
    if (template == NULL)
        return error_no_memory(err, sizeof *template, "the chat template");
    template->limits = model->limits;
    template->bos = copy_text(model->bos, strlen(model->bos));
    template->eos = copy_text(model->eos, strlen(model->eos));
    template->adds_bos = model->adds_bos;
    enum status status =
        prepare(template, (struct gguf_string){text, n}, (struct gguf_string){NULL, 0}, err);
    if (status == STATUS_OK && template->fault != NULL)
        status = error_set_param(err, STATUS_INVALID, "chat_template", "%s", template->fault);
    if (status != STATUS_OK)
        chat_template_destroy(template);
    else
        *out = template;
    return status;
}
