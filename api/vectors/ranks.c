/* ranks.c - POST /rerank: how well each document answers a query, the best first. A body with
 * documents speaks Jina's words, one with texts those of Text Embeddings Inference, and each is
 * answered in its own. The decoder on any thread, the writer on the loop thread. */
#include "api/llama/llama.h"

#include "api/vectors/parts.h"

#include <cjson/cJSON.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
static const struct field rows[] = {
    {"model", FIELD_ANY, .nullable = true, VECTORS(model)},
    {"query", FIELD_ANY, VECTORS(query)},
    {"documents", FIELD_ANY, .nullable = true, VECTORS(documents)},
    {"top_n", FIELD_UINT, .min = 1, .max = 1048576, .nullable = true, VECTORS(top_n)},
    {"return_documents", FIELD_BOOL, .nullable = true, VECTORS(return_text)},
    {"texts", FIELD_ANY, .nullable = true, VECTORS(texts)},
    {"raw_scores", FIELD_BOOL, .nullable = true, VECTORS(raw_scores)},
    {"return_text", FIELD_BOOL, .nullable = true, VECTORS(return_text)},
    {"truncate", FIELD_BOOL, .nullable = true, VECTORS(truncate)},
    {"truncation_direction", FIELD_ANY, .nullable = true, VECTORS(direction)},
};
/* clang-format on */
const struct field_table vectors_ranks_fields = {
    .fields = rows, .n_fields = sizeof rows / sizeof rows[0], .lenient = true};

/* --- a query and a document as one sequence --- */

struct ranked_pair {
    const char *query, *document;
};

/* The template with both put in: what they say never becomes a control token. */
static enum status fill_template(const struct generation_source *source,
                                 const struct ranked_pair *pair, int32_t **ids, size_t *n_ids,
                                 struct error *err)
{
    const struct gguf_string template = source->rank_template;
    const char *at = template.bytes, *end = at + template.n;
    const size_t n_query = strlen(pair->query), n_document = strlen(pair->document);
    struct tokenizer_span spans[8];
    size_t n_spans = 0, n = 0, room = template.n + 8 * (n_query + n_document) + 1;
    char *text = malloc(room);
    if (text == NULL)
        return error_no_memory(err, room, "a query with its document");
    while (at < end) {
        bool query = end - at >= 7 && memcmp(at, "{query}", 7) == 0;
        bool document = end - at >= 10 && memcmp(at, "{document}", 10) == 0;
        if ((!query && !document) || n_spans == sizeof spans / sizeof spans[0]) {
            text[n++] = *at++;
            continue;
        }
        size_t n_part = query ? n_query : n_document;
        memcpy(text + n, query ? pair->query : pair->document, n_part);
        spans[n_spans++] = (struct tokenizer_span){n, n + n_part};
        n += n_part;
        at += query ? 7 : 10;
    }
    *ids = malloc((tokenizer_max_ids(source->tokenizer, n) + 1) * sizeof **ids);
    enum status status = *ids == NULL ? error_no_memory(err, n * sizeof **ids, "a text's tokens")
                                      : tokenizer_encode_around(source->tokenizer, text, n, 0,
                                                                spans, n_spans, *ids, n_ids, err);
    free(text);
    return status;
}

/* As cross-encoders are trained: [CLS] query [SEP] document [SEP]; where the vocabulary is
 * RoBERTa's, <s> query </s></s> document </s>. */
static enum status join(const struct generation_source *source, const struct ranked_pair *pair,
                        int32_t **ids, size_t *n_ids, struct error *err)
{
    const struct tokenizer *tokenizer = source->tokenizer;
    const bool doubled = strcmp(tokenizer_model(tokenizer), "bert") != 0;
    int32_t *second = NULL;
    size_t n = 0, n_second = 0, skip;
    enum status status = builder_tokenize("query", pair->query, strlen(pair->query),
                                          TOKENIZER_ADD_SPECIAL, tokenizer, ids, &n, err);
    if (status == STATUS_OK)
        status = builder_tokenize("documents", pair->document, strlen(pair->document),
                                  TOKENIZER_ADD_SPECIAL, tokenizer, &second, &n_second, err);
    if (status != STATUS_OK)
        return status;
    skip = n_second > 0 && tokenizer_adds_bos(tokenizer) && second[0] == tokenizer_bos(tokenizer);
    int32_t *grown = realloc(*ids, (n + n_second + 2) * sizeof *grown);
    if (grown == NULL) {
        free(second);
        return error_no_memory(err, (n + n_second) * sizeof *grown, "a text's tokens");
    }
    if (doubled && n > 0 && tokenizer_is_control(tokenizer, grown[n - 1])) {
        grown[n] = grown[n - 1];
        n++;
    }
    memcpy(grown + n, second + skip, (n_second - skip) * sizeof *grown);
    *ids = grown;
    *n_ids = n + n_second - skip;
    free(second);
    return STATUS_OK;
}

static enum status add_pair(struct vectors_reading *r, struct generation *g, const char *field,
                            const struct ranked_pair *pair, struct error *err)
{
    int32_t *ids = NULL;
    size_t n_ids = 0;
    enum status status = r->source->rank_template.n > 0
                             ? fill_template(r->source, pair, &ids, &n_ids, err)
                             : join(r->source, pair, &ids, &n_ids, err);
    if (status == STATUS_OK)
        status = vectors_add_ids(r, g, field, ids, n_ids, err);
    free(ids);
    return status;
}

/* --- the body --- */

/* A document: a string, or an object with its text. NULL: neither. */
static const char *text_of(const struct cJSON *document)
{
    if (cJSON_IsObject(document))
        document = values_member(document, "text");
    return cJSON_IsString(document) ? document->valuestring : NULL;
}

static enum status add_documents(struct vectors_reading *r, struct generation *g, const char *field,
                                 const struct cJSON *list, struct error *err)
{
    const struct cJSON *document;
    const struct cJSON *query = r->values.query;
    if (query == NULL || !cJSON_IsString(query))
        return error_set_param(err, STATUS_INVALID, "query", "query must be a string, not %s",
                               query == NULL ? "missing" : fields_type_name(query));
    if (list == NULL || !cJSON_IsArray(list) || list->child == NULL)
        return error_set_param(err, STATUS_INVALID, field,
                               "%s must be an array of at least one text", field);
    cJSON_ArrayForEach(document, list)
    {
        const struct ranked_pair pair = {query->valuestring, text_of(document)};
        if (pair.document == NULL)
            return error_set_param(err, STATUS_INVALID, field,
                                   "%s must hold strings, or objects with a text", field);
        enum status status = add_pair(r, g, field, &pair, err);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static size_t text_bytes(const struct cJSON *list)
{
    size_t n = 0;
    const struct cJSON *document;
    cJSON_ArrayForEach(document, list) n += strlen(text_of(document));
    return n;
}

/* The documents' texts after the wishes, in their memory. */
static void keep_texts(struct vectors_wishes *wishes, size_t n_texts, const struct cJSON *list)
{
    struct vectors_text *texts = (struct vectors_text *)(void *)(wishes + 1);
    char *bytes = (char *)(texts + n_texts);
    const struct cJSON *document;
    size_t i = 0;
    wishes->texts = texts;
    cJSON_ArrayForEach(document, list)
    {
        const char *text = text_of(document);
        size_t n = 0;
        for (; text[n] != '\0'; n++) /* their lengths stand beside them */
            bytes[n] = text[n];
        texts[i++] = (struct vectors_text){bytes, n};
        bytes += n;
    }
}

static enum status decode(struct generation *g, const struct generation_source *source,
                          struct error *err)
{
    struct vectors_reading r = {.source = NULL};
    const struct vectors_values *v = &r.values;
    struct vectors_wishes *wishes = NULL;
    enum status status = vectors_read(&r, &vectors_ranks_fields, source, true, err);
    const bool tei = v->documents == NULL && v->texts != NULL;
    const struct cJSON *list = tei ? v->texts : v->documents;
    size_t n_extra = 0;
    if (tei && !VECTORS_HAS(&r, truncate))
        r.truncate = true;
    if (status == STATUS_OK)
        status = add_documents(&r, g, tei ? "texts" : "documents", list, err);
    if (status == STATUS_OK && v->return_text)
        n_extra = g->n_choices * sizeof(struct vectors_text) + text_bytes(list);
    if (status == STATUS_OK && (wishes = vectors_wish(&r, g, n_extra, err)) == NULL)
        status = STATUS_INVALID;
    if (status == STATUS_OK) {
        wishes->tei = tei;
        wishes->raw_scores = v->raw_scores;
        wishes->top_n = VECTORS_HAS(&r, top_n) ? (size_t)v->top_n : SIZE_MAX;
        if (v->return_text)
            keep_texts(wishes, g->n_choices, list);
    }
    return vectors_end(&r, g, status);
}

/* --- the answer --- */

static float score_of(const struct generation *g, size_t i)
{
    return g->choices[i].job->vector[0];
}

struct ranked {
    float score;
    size_t index;
};

/* Scores descend, equal ones in the order of the documents. */
static int compare(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

/* TEI answers with probabilities unless it is asked not to; a head that gives probabilities itself
 * has two scores, "yes" and "no". */
static float answered_score(const struct generation *g, const struct vectors_wishes *wishes,
                            const struct ranked *r)
{
    bool is_logit = g->choices[r->index].job->n_vector == 1;
    if (!wishes->tei || wishes->raw_scores || !is_logit)
        return r->score;
    return (float)(1 / (1 + exp(-(double)r->score)));
}

static void put_ranked(struct json_writer *w, const struct generation *g, const struct ranked *r)
{
    const struct vectors_wishes *wishes = g->wishes;
    json_name_uint(w, "{", "index", r->index);
    json_name(w, ",", wishes->tei ? "score" : "relevance_score");
    json_float(w, answered_score(g, wishes, r));
    if (wishes->texts != NULL) {
        json_raw(w, wishes->tei ? ",\"text\":" : ",\"document\":{\"text\":");
        json_string(w, wishes->texts[r->index].bytes, wishes->texts[r->index].n);
        json_raw(w, wishes->tei ? "" : "}");
    }
    json_raw(w, "}");
}

/* The list is sorted in the answer's own room, of which it needs the last part. */
static size_t ranked_bytes(const struct generation *g)
{
    return (g->n_choices + 1) * sizeof(struct ranked);
}

static size_t whole_bound(const struct generation *g)
{
    const struct vectors_wishes *wishes = g->wishes;
    size_t bound = 256 + json_string_bound(strlen(g->model)) + ranked_bytes(g);
    for (size_t i = 0; i < g->n_choices; i++)
        bound += 128 + (wishes->texts != NULL ? json_string_bound(wishes->texts[i].n) : 0);
    return bound;
}

static size_t whole(const struct generation *g, char *out, size_t room)
{
    const struct vectors_wishes *wishes = g->wishes;
    const struct generation_usage usage = generation_usage(g);
    if (room < ranked_bytes(g))
        return 0;
    size_t at = (room - ranked_bytes(g)) / sizeof(struct ranked) * sizeof(struct ranked);
    struct ranked *list = (struct ranked *)(void *)(out + at);
    struct json_writer w = {.out = out, .room = at};
    for (size_t i = 0; i < g->n_choices; i++)
        list[i] = (struct ranked){score_of(g, i), i};
    qsort(list, g->n_choices, sizeof *list, compare);
    if (!wishes->tei) {
        json_name_text(&w, "{", "model", g->model);
        json_name_text(&w, ",", "object", "list");
        json_name_uint(&w, ",\"usage\":{", "prompt_tokens", usage.prompt);
        json_name_uint(&w, ",", "total_tokens", usage.prompt);
        json_raw(&w, "},\"results\":");
    }
    json_raw(&w, "[");
    for (size_t i = 0; i < g->n_choices && i < wishes->top_n; i++) {
        json_raw(&w, i > 0 ? "," : "");
        put_ranked(&w, g, &list[i]);
    }
    json_raw(&w, wishes->tei ? "]\n" : "]}\n");
    return w.full ? 0 : w.n;
}

static size_t write_error(const struct api_error *what, const char *message, const char *param,
                          char *out, size_t room)
{
    return llama_completion.error(what, message, param, out, room);
}

const struct dialect vectors_ranks = {.name = "rerank",
                                      .fields = &vectors_ranks_fields,
                                      .decode = decode,
                                      .whole_bound = whole_bound,
                                      .whole = whole,
                                      .error = write_error,
                                      VECTORS_WRITERS};
