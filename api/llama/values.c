/* values.c - what a table of fields cannot say: prompts of texts and ids, biases by text, the list
 * of samplers, the members that the answer shall have. Any thread. */
#include "api/llama/parts.h"

#include "api/builder.h"

#include <cjson/cJSON.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- prompts --- */

struct ids { /* of one prompt under way; malloc'ed */
    int32_t *ids;
    size_t n, room;
};

static enum status append(struct ids *list, const int32_t *ids, size_t n, struct error *err)
{
    if (n == 0)
        return STATUS_OK;
    if (n > list->room - list->n) {
        size_t room = 2 * (list->n + n) + 64;
        int32_t *grown = realloc(list->ids, room * sizeof *grown);
        if (grown == NULL)
            return error_no_memory(err, room * sizeof *grown, "a prompt's tokens");
        list->ids = grown;
        list->room = room;
    }
    memcpy(list->ids + list->n, ids, n * sizeof *ids);
    list->n += n;
    return STATUS_OK;
}

static enum status append_text(struct ids *list, const struct asking *a, const char *text,
                               bool first, struct error *err)
{
    const struct asked *v = &a->values;
    unsigned flags = (first && v->add_special ? TOKENIZER_ADD_SPECIAL : 0U) |
                     (v->parse_special ? TOKENIZER_PARSE_SPECIAL : 0U);
    int32_t *ids = NULL;
    size_t n = 0;
    enum status status = builder_tokenize(a->names.prompt, text, strlen(text), flags,
                                          a->source->tokenizer, &ids, &n, err);
    if (status == STATUS_OK)
        status = append(list, ids, n, err);
    free(ids);
    return status;
}

static enum status append_id(struct ids *list, const struct asking *a, const struct cJSON *item,
                             size_t i, struct error *err)
{
    size_t n_vocab = tokenizer_n_vocab(a->source->tokenizer);
    double id = item->valuedouble;
    if (!(id >= 0 && id < (double)n_vocab && id == floor(id)))
        return error_set_param(err, STATUS_INVALID, a->names.prompt,
                               "%s[%zu] must be a token id, an integer from 0 to %zu, not %.17g",
                               a->names.prompt, i, n_vocab - 1, id);
    return append(list, &(int32_t){(int32_t)id}, 1, err);
}

/* A list of ids and texts, which is one prompt. */
static enum status read_mixed(struct ids *list, const struct asking *a, const struct cJSON *value,
                              struct error *err)
{
    const struct cJSON *item;
    enum status status = STATUS_OK;
    size_t i = 0;
    cJSON_ArrayForEach(item, value)
    {
        status = cJSON_IsString(item) ? append_text(list, a, item->valuestring, i == 0, err)
                                      : append_id(list, a, item, i, err);
        if (status != STATUS_OK)
            break;
        i++;
    }
    return status;
}

/* The text of the prompt's tokens, control tokens by their names; the space that encoding put in
 * front is left out. */
enum status llama_keep_text(struct choice *choice, const struct tokenizer *tokenizer,
                            struct error *err)
{
    const struct job *job = choice->job;
    size_t n = 0;
    for (size_t i = 0; i < job->n_prompt; i++)
        n += tokenizer_piece(tokenizer, job->prompt[i], true).n;
    char *text = malloc(n + 1);
    if (text == NULL)
        return error_no_memory(err, n, "the prompt's text");
    n = 0;
    for (size_t i = 0; i < job->n_prompt; i++) {
        struct gguf_string piece = tokenizer_piece(tokenizer, job->prompt[i], true);
        memcpy(text + n, piece.bytes, piece.n);
        n += piece.n;
    }
    size_t n_first = tokenizer_piece(tokenizer, job->prompt[0], true).n;
    size_t front = n_first - tokenizer_decode(tokenizer, job->prompt, 1, NULL);
    enum status status = generation_echo(choice, text + front, n - front, err);
    free(text);
    return status;
}

static enum status add(struct asking *a, struct generation *g, const struct builder_values *values,
                       struct error *err)
{
    size_t first = g->n_choices;
    enum status status = asking_build(a, g, values, err);
    for (size_t i = first; status == STATUS_OK && i < g->n_choices; i++)
        status = llama_keep_text(&g->choices[i], a->source->tokenizer, err);
    return status;
}

/* {"prompt_string"}: a text that could come with media. */
static enum status text_of_object(const struct asking *a, const struct cJSON *value,
                                  const char **text, struct error *err)
{
    const struct cJSON *string = cJSON_GetObjectItemCaseSensitive(value, "prompt_string");
    const struct cJSON *media = cJSON_GetObjectItemCaseSensitive(value, "multimodal_data");
    if (media != NULL && !cJSON_IsNull(media) && !(cJSON_IsArray(media) && media->child == NULL))
        return error_set_param(err, STATUS_UNSUPPORTED, a->names.prompt,
                               "%s: multimodal_data: this model reads text only", a->names.prompt);
    if (!cJSON_IsString(string))
        return error_set_param(err, STATUS_INVALID, a->names.prompt,
                               "%s: an object must have a prompt_string", a->names.prompt);
    *text = string->valuestring;
    return STATUS_OK;
}

static enum status add_prompt(struct asking *a, struct generation *g, const struct cJSON *value,
                              struct error *err)
{
    struct builder_values values = a->builder;
    struct ids list = {NULL, 0, 0};
    enum status status = STATUS_OK;
    if (cJSON_IsString(value))
        values.text = value->valuestring;
    else if (cJSON_IsObject(value))
        status = text_of_object(a, value, &values.text, err);
    else if (cJSON_IsArray(value) && value->child != NULL)
        status = read_mixed(&list, a, value, err);
    else
        status = error_set_param(err, STATUS_INVALID, a->names.prompt,
                                 "%s must be a string, or an array of token ids and strings, not "
                                 "%s",
                                 a->names.prompt,
                                 cJSON_IsArray(value) ? "an empty array" : fields_type_name(value));
    if (values.text != NULL)
        values.n_text = strlen(values.text);
    values.ids = list.ids;
    values.n_ids = list.n;
    if (status == STATUS_OK)
        status = add(a, g, &values, err);
    free(list.ids);
    return status;
}

/* Whether an array is one prompt: of ids, or of ids and texts. */
static bool is_one_prompt(const struct cJSON *list)
{
    const struct cJSON *item;
    bool numbers = false;
    cJSON_ArrayForEach(item, list)
    {
        if (!cJSON_IsNumber(item) && !cJSON_IsString(item))
            return false;
        numbers = numbers || cJSON_IsNumber(item);
    }
    return numbers;
}

enum status llama_add_prompts(struct asking *a, struct generation *g, struct error *err)
{
    const struct cJSON *prompt = a->values.prompt, *item;
    if (prompt == NULL)
        return error_set_param(err, STATUS_INVALID, a->names.prompt,
                               "%s is missing: give a string, or an array of token ids",
                               a->names.prompt);
    if (!cJSON_IsArray(prompt) || prompt->child == NULL || is_one_prompt(prompt))
        return add_prompt(a, g, prompt, err);
    enum status status = STATUS_OK;
    cJSON_ArrayForEach(item, prompt)
    {
        status = add_prompt(a, g, item, err);
        if (status != STATUS_OK)
            break;
    }
    return status;
}

/* --- biases --- */

struct bias_reading {
    const struct asking *a;
    struct logit_bias *list;
    size_t n, room;
};

static enum status put_bias(struct bias_reading *r, int32_t id, float bias, struct error *err)
{
    if (r->n == r->room) {
        size_t room = 2 * r->room + 32;
        struct logit_bias *grown = realloc(r->list, room * sizeof *grown);
        if (grown == NULL)
            return error_no_memory(err, room * sizeof *grown, "logit biases");
        r->list = grown;
        r->room = room;
    }
    r->list[r->n++] = (struct logit_bias){id, bias};
    return STATUS_OK;
}

/* Every token of a text. */
static enum status put_text_bias(struct bias_reading *r, const char *text, float bias,
                                 struct error *err)
{
    int32_t *ids = NULL;
    size_t n = 0;
    enum status status = builder_tokenize(r->a->names.logit_bias, text, strlen(text), 0,
                                          r->a->source->tokenizer, &ids, &n, err);
    for (size_t i = 0; status == STATUS_OK && i < n; i++)
        status = put_bias(r, ids[i], bias, err);
    free(ids);
    return status;
}

static enum status read_amount(const struct bias_reading *r, const struct cJSON *value, float *bias,
                               struct error *err)
{
    double amount = cJSON_IsNumber(value) ? value->valuedouble : NAN;
    *bias = cJSON_IsFalse(value) ? -INFINITY : (float)amount;
    if (cJSON_IsFalse(value) || (isfinite(amount) && fabs(amount) <= 1e6))
        return STATUS_OK;
    return error_set_param(err, STATUS_INVALID, r->a->names.logit_bias,
                           "%s: a bias must be a number from -1000000 to 1000000, or false to ban "
                           "the token",
                           r->a->names.logit_bias);
}

static enum status put_id_bias(struct bias_reading *r, double id, float bias, struct error *err)
{
    size_t n_vocab = tokenizer_n_vocab(r->a->source->tokenizer);
    if (!(id >= 0 && id < (double)n_vocab && id == floor(id)))
        return error_set_param(err, STATUS_INVALID, r->a->names.logit_bias,
                               "%s: a token id is an integer from 0 to %zu, not %.17g",
                               r->a->names.logit_bias, n_vocab - 1, id);
    return put_bias(r, (int32_t)id, bias, err);
}

/* [id or text, number or false] */
static enum status read_pair(struct bias_reading *r, const struct cJSON *pair, struct error *err)
{
    const struct cJSON *token = cJSON_IsArray(pair) ? pair->child : NULL;
    float bias;
    if (token == NULL || cJSON_GetArraySize(pair) != 2 ||
        (!cJSON_IsNumber(token) && !cJSON_IsString(token)))
        return error_set_param(err, STATUS_INVALID, r->a->names.logit_bias,
                               "%s must hold pairs of a token id or a text and a number or false",
                               r->a->names.logit_bias);
    enum status status = read_amount(r, token->next, &bias, err);
    if (status != STATUS_OK)
        return status;
    return cJSON_IsNumber(token) ? put_id_bias(r, token->valuedouble, bias, err)
                                 : put_text_bias(r, token->valuestring, bias, err);
}

/* "id or text": number or false */
static enum status read_member(struct bias_reading *r, const struct cJSON *item, struct error *err)
{
    const char *name = item->string;
    float bias;
    enum status status = read_amount(r, item, &bias, err);
    if (status != STATUS_OK)
        return status;
    bool is_id = name[0] != '\0' && strlen(name) <= 10 && name[strspn(name, "0123456789")] == '\0';
    return is_id ? put_id_bias(r, strtod(name, NULL), bias, err)
                 : put_text_bias(r, name, bias, err);
}

static int by_id(const void *a, const void *b)
{
    const struct logit_bias *left = a, *right = b;
    return (left->id > right->id) - (left->id < right->id);
}

/* Sorted; what is said of one token more than once adds up. */
static size_t join(struct logit_bias *list, size_t n)
{
    size_t n_joined = 0;
    if (n > 0)
        qsort(list, n, sizeof *list, by_id);
    for (size_t i = 0; i < n; i++) {
        if (n_joined > 0 && list[n_joined - 1].id == list[i].id)
            list[n_joined - 1].bias += list[i].bias;
        else
            list[n_joined++] = list[i];
    }
    return n_joined;
}

enum status llama_read_biases(struct asking *a, struct logit_bias **biases, struct error *err)
{
    const struct cJSON *value = a->values.biases, *item;
    struct bias_reading r = {.a = a};
    enum status status = STATUS_OK;
    a->names.logit_bias = "logit_bias";
    if (value == NULL)
        return STATUS_OK;
    if (!cJSON_IsArray(value) && !cJSON_IsObject(value))
        return error_set_param(err, STATUS_INVALID, "logit_bias",
                               "logit_bias must be an array of pairs or an object, not %s",
                               fields_type_name(value));
    cJSON_ArrayForEach(item, value)
    {
        status = cJSON_IsArray(value) ? read_pair(&r, item, err) : read_member(&r, item, err);
        if (status != STATUS_OK)
            break;
    }
    if (status != STATUS_OK) {
        free(r.list);
        return status;
    }
    a->builder.sampling.n_biases = join(r.list, r.n);
    a->builder.sampling.biases = *biases = r.list;
    return STATUS_OK;
}

/* --- samplers --- */

enum { PENALTIES, DRY, SIGMA, TOP_K, TYPICAL_P, TOP_P, MIN_P, XTC, TEMPERATURE, N_SAMPLERS };
/* In the order in which they are applied here. */
static const struct {
    const char *name, *other;
    char letter;
} samplers[N_SAMPLERS] = {
    [PENALTIES] = {"penalties", "penalties", 'e'},
    [DRY] = {"dry", "dry", 'd'},
    [SIGMA] = {"top_n_sigma", "top-n-sigma", 's'},
    [TOP_K] = {"top_k", "top-k", 'k'},
    [TYPICAL_P] = {"typ_p", "typical_p", 'y'},
    [TOP_P] = {"top_p", "top-p", 'p'},
    [MIN_P] = {"min_p", "min-p", 'm'},
    [XTC] = {"xtc", "xtc", 'x'},
    [TEMPERATURE] = {"temperature", "temp", 't'},
};

static size_t find_sampler(const char *name, char letter)
{
    size_t i = 0;
    while (i < N_SAMPLERS && !(name != NULL ? strcmp(samplers[i].name, name) == 0 ||
                                                  strcmp(samplers[i].other, name) == 0
                                            : samplers[i].letter == letter))
        i++;
    return i;
}

/* One sampler more; they come in the order that they have here. */
static enum status take_sampler(size_t i, bool on[N_SAMPLERS], struct error *err)
{
    if (i == N_SAMPLERS)
        return error_set_param(err, STATUS_INVALID, "samplers",
                               "samplers names a sampler that this server does not have");
    for (size_t later = i; later < N_SAMPLERS; later++)
        if (on[later])
            return error_set_param(err, STATUS_UNSUPPORTED, "samplers",
                                   "samplers: '%s' cannot come after '%s' here", samplers[i].name,
                                   samplers[later].name);
    on[i] = true;
    return STATUS_OK;
}

static void turn_off(struct sampling *s, const bool on[N_SAMPLERS])
{
    if (!on[PENALTIES]) {
        s->repetition_penalty = 1;
        s->presence_penalty = s->frequency_penalty = 0;
    }
    if (!on[TOP_K])
        s->top_k = 0;
    if (!on[TYPICAL_P])
        s->typical_p = 1;
    if (!on[TOP_P])
        s->top_p = 1;
    if (!on[MIN_P])
        s->min_p = 0;
    if (!on[TEMPERATURE])
        s->temperature = 1;
}

enum status llama_read_samplers(struct asking *a, struct error *err)
{
    const struct cJSON *value = a->values.samplers, *item;
    bool on[N_SAMPLERS] = {false};
    enum status status = STATUS_OK;
    if (value == NULL)
        return STATUS_OK;
    if (cJSON_IsString(value)) {
        for (const char *c = value->valuestring; status == STATUS_OK && *c != '\0'; c++)
            status = take_sampler(find_sampler(NULL, *c), on, err);
    } else if (cJSON_IsArray(value)) {
        cJSON_ArrayForEach(item, value)
        {
            const char *name = cJSON_IsString(item) ? item->valuestring : "";
            status = take_sampler(find_sampler(name, 0), on, err);
            if (status != STATUS_OK)
                break;
        }
    } else {
        status = error_set_param(err, STATUS_INVALID, "samplers",
                                 "samplers must be an array of names or a string of letters, not "
                                 "%s",
                                 fields_type_name(value));
    }
    if (status == STATUS_OK)
        turn_off(&a->builder.sampling, on);
    return status;
}

/* --- the answer's members --- */

enum { PATHS_MAX = 64 };

/* The list of paths, each at most once: no part of the answer is written over and over. */
static enum status check_paths(const struct cJSON *list, size_t *n_paths, size_t *n_bytes,
                               struct error *err)
{
    const struct cJSON *item;
    if (list != NULL && !cJSON_IsArray(list))
        return error_set_param(err, STATUS_INVALID, "response_fields",
                               "response_fields must be an array of strings, not %s",
                               fields_type_name(list));
    cJSON_ArrayForEach(item, list)
    {
        if (!cJSON_IsString(item))
            return error_set_param(err, STATUS_INVALID, "response_fields",
                                   "response_fields[%zu] must be a string, not %s", *n_paths,
                                   fields_type_name(item));
        for (const struct cJSON *other = list->child; other != item; other = other->next)
            if (strcmp(other->valuestring, item->valuestring) == 0)
                return error_set_param(err, STATUS_INVALID, "response_fields",
                                       "response_fields names '%.64s' more than once",
                                       item->valuestring);
        if (++*n_paths > PATHS_MAX)
            return error_set_param(err, STATUS_INVALID, "response_fields",
                                   "response_fields holds more than %d names", PATHS_MAX);
        *n_bytes += strlen(item->valuestring) + 1;
    }
    return STATUS_OK;
}

enum status llama_read_wishes(const struct asking *a, struct generation *g, struct error *err)
{
    const struct asked *v = &a->values;
    const struct cJSON *list = v->response_fields, *item;
    size_t n_paths = 0, n_bytes = 0;
    enum status status = check_paths(list, &n_paths, &n_bytes, err);
    if (status != STATUS_OK)
        return status;
    struct llama_wishes *wishes = malloc(sizeof *wishes + n_bytes);
    if (wishes == NULL)
        return error_no_memory(err, sizeof *wishes + n_bytes, "response_fields");
    *wishes = (struct llama_wishes){
        .return_tokens = v->return_tokens,
        .timings_per_token = v->timings_per_token,
        .return_progress = v->return_progress,
        .verbose = v->verbose,
        .n_predict = a->builder.has_max_tokens ? (int64_t)v->max_tokens : -1,
        .n_fields = n_paths,
        .n_bytes = n_bytes,
    };
    char *at = wishes->paths;
    cJSON_ArrayForEach(item, list)
    {
        size_t n = strlen(item->valuestring) + 1;
        memcpy(at, item->valuestring, n);
        at += n;
    }
    g->wishes = wishes;
    return STATUS_OK;
}
