/* chat.c - conversations to prompts. Any thread. */
#include "api/chat/chat.h"

enum status chat_render(const struct chat_template *template, const struct chat_request *request,
                        struct chat_prompt *out, struct error *err)
{
    (void)request;
    (void)out;
    return error_set(err, STATUS_UNABLE, "%s", chat_template_fault(template));
}

void chat_prompt_free(struct chat_prompt *prompt)
{
    (void)prompt;
}

enum status chat_tokenize(const struct chat_prompt *prompt, const char *field,
                          const struct tokenizer *tokenizer, int32_t **ids, size_t *n_ids,
                          struct error *err)
{
    (void)prompt;
    (void)field;
    (void)tokenizer;
    (void)ids;
    (void)n_ids;
    return error_set(err, STATUS_UNABLE, "%s", chat_template_fault(NULL));
}

const char *chat_template_fault(const struct chat_template *template)
{
    (void)template;
    return "this model has no chat template";
}

const char *chat_template_source(const struct chat_template *template)
{
    (void)template;
    return NULL;
}
