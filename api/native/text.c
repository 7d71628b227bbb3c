/* text.c - the bodies of POST /tokenize and POST /detokenize, and their answers. Decoders run on
 * the loop thread or libuv's pool; results are malloc'ed for the caller. */
#include "api/native/native.h"

#include "api/builder.h"
#include "api/json/values.h"
#include "base/checked.h"
#include "base/utf8.h"

#include <cjson/cJSON.h>

#include <stdlib.h>
#include <string.h>

struct tokenize_values {
    const struct cJSON *text, *content;
    bool add_special, parse_special, normalize, with_pieces;
};

static const struct field tokenize_rows[] = {
    {"text", FIELD_ANY, .offset = offsetof(struct tokenize_values, text)},
    {"content", FIELD_ANY, .offset = offsetof(struct tokenize_values, content)},
    {"add_special", FIELD_BOOL, .offset = offsetof(struct tokenize_values, add_special)},
    {"parse_special", FIELD_BOOL, .offset = offsetof(struct tokenize_values, parse_special)},
    {"normalize", FIELD_BOOL, .initial = true,
     .offset = offsetof(struct tokenize_values, normalize)},
    {"with_pieces", FIELD_BOOL, .offset = offsetof(struct tokenize_values, with_pieces)},
};
const struct field_table native_tokenize_fields = {
    .fields = tokenize_rows, .n_fields = sizeof tokenize_rows / sizeof tokenize_rows[0]};

struct detokenize_values {
    const struct cJSON *tokens;
};

static const struct field detokenize_rows[] = {
    {"tokens", FIELD_ANY, .offset = offsetof(struct detokenize_values, tokens)},
};
const struct field_table native_detokenize_fields = {
    .fields = detokenize_rows, .n_fields = sizeof detokenize_rows / sizeof detokenize_rows[0]};

static struct field_limits limits_of(const struct api_limits *limits)
{
    return (struct field_limits){.max_depth = limits->max_json_depth,
                                 .max_nodes = limits->max_json_nodes};
}

enum status native_tokenize(const char *body, size_t n, const struct tokenizer *tokenizer,
                            const struct api_limits *limits, int32_t **ids, size_t *n_ids,
                            bool *pieces, struct error *err)
{
    struct tokenize_values values;
    struct field_limits bounds = limits_of(limits);
    struct fields_found found = {.root = NULL};
    enum status status =
        fields_read(&native_tokenize_fields, &bounds, body, n, &values, &found, err);
    if (status != STATUS_OK)
        return status;
    const char *field = values.text != NULL ? "text" : "content";
    const struct cJSON *text = values.text != NULL ? values.text : values.content;
    if (text == NULL) {
        status = error_set_param(err, STATUS_INVALID, "text",
                                 "text is missing (content is another name for it)");
        goto done;
    }
    if (values.text != NULL && values.content != NULL) {
        status = error_set_param(err, STATUS_INVALID, "content",
                                 "text and content are two names for one field: give one");
        goto done;
    }
    if (!cJSON_IsString(text)) {
        status = error_set_param(err, STATUS_INVALID, field, "%s must be a string, not %s", field,
                                 fields_type_name(text));
        goto done;
    }
    unsigned flags = (values.add_special ? TOKENIZER_ADD_SPECIAL : 0U) |
                     (values.parse_special ? TOKENIZER_PARSE_SPECIAL : 0U) |
                     (values.normalize ? 0U : TOKENIZER_NO_NORMALIZE);
    status = builder_tokenize(field, text->valuestring, strlen(text->valuestring), flags, tokenizer,
                              ids, n_ids, err);
    *pieces = values.with_pieces;
done:
    fields_free(&found);
    return status;
}

/* The ids' bytes as valid UTF-8. */
static enum status decode(const struct tokenizer *tokenizer, const struct id_list *list,
                          char **text, size_t *n_text, struct error *err)
{
    size_t n_bytes = tokenizer_decode(tokenizer, list->ids, list->n, NULL), n_valid;
    if (!checked_add(n_bytes, 3, &n_valid) || !checked_mul(n_valid, 3, &n_valid))
        return error_set_param(err, STATUS_TOO_LARGE, "tokens", "tokens are too many");
    char *bytes = malloc(n_bytes + 1), *valid = malloc(n_valid);
    if (bytes == NULL || valid == NULL) {
        free(bytes);
        free(valid);
        return error_no_memory(err, n_bytes + n_valid, "a text");
    }
    struct utf8_stream stream = {.n_held = 0};
    n_bytes = tokenizer_decode(tokenizer, list->ids, list->n, bytes);
    *n_text = utf8_stream_push(&stream, bytes, n_bytes, valid);
    *n_text += utf8_stream_end(&stream, valid + *n_text);
    *text = valid;
    free(bytes);
    return STATUS_OK;
}

enum status native_detokenize(const char *body, size_t n, const struct tokenizer *tokenizer,
                              const struct api_limits *limits, char **text, size_t *n_text,
                              struct error *err)
{
    struct detokenize_values values;
    struct field_limits bounds = limits_of(limits);
    struct fields_found found = {.root = NULL};
    struct id_list list = {NULL, 0};
    enum status status =
        fields_read(&native_detokenize_fields, &bounds, body, n, &values, &found, err);
    if (status != STATUS_OK)
        return status;
    if (values.tokens == NULL)
        status = error_set_param(err, STATUS_INVALID, "tokens",
                                 "tokens is missing: give an array of token ids");
    else if (!cJSON_IsArray(values.tokens))
        status = error_set_param(err, STATUS_INVALID, "tokens",
                                 "tokens must be an array of token ids, not %s",
                                 fields_type_name(values.tokens));
    else
        status = values_ids("tokens", values.tokens, tokenizer, &list, err);
    if (status == STATUS_OK)
        status = decode(tokenizer, &list, text, n_text, err);
    free(list.ids);
    fields_free(&found);
    return status;
}

/* --- the answers --- */

size_t native_tokens_bound(size_t n_ids)
{
    return 12 * n_ids + 17;
}

size_t native_tokens(const int32_t *ids, size_t n_ids, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    json_raw(&w, "{\"tokens\":[");
    for (size_t i = 0; i < n_ids; i++) {
        json_raw(&w, i > 0 ? "," : "");
        json_int(&w, ids[i]);
    }
    json_raw(&w, "]}\n");
    return w.full ? 0 : w.n;
}

size_t native_pieces_bound(const struct tokenizer *tokenizer, const int32_t *ids, size_t n_ids)
{
    size_t bound = 17;
    for (size_t i = 0; i < n_ids; i++)
        bound += 36 + json_string_bound(tokenizer_piece(tokenizer, ids[i], true).n);
    return bound;
}

static void put_piece(struct json_writer *w, struct gguf_string piece)
{
    if (utf8_check(piece.bytes, piece.n) == piece.n) {
        json_string(w, piece.bytes, piece.n);
        return;
    }
    json_raw(w, "[");
    for (size_t i = 0; i < piece.n; i++) {
        json_raw(w, i > 0 ? "," : "");
        json_uint(w, (unsigned char)piece.bytes[i]);
    }
    json_raw(w, "]");
}

size_t native_pieces(const struct tokenizer *tokenizer, const int32_t *ids, size_t n_ids, char *out,
                     size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    json_raw(&w, "{\"tokens\":[");
    for (size_t i = 0; i < n_ids; i++) {
        json_raw(&w, i > 0 ? ",{\"id\":" : "{\"id\":");
        json_int(&w, ids[i]);
        json_raw(&w, ",\"piece\":");
        put_piece(&w, tokenizer_piece(tokenizer, ids[i], true));
        json_raw(&w, "}");
    }
    json_raw(&w, "]}\n");
    return w.full ? 0 : w.n;
}

size_t native_text_bound(size_t n_text)
{
    return 2 * json_string_bound(n_text) + 25;
}

size_t native_text(const char *text, size_t n_text, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    json_raw(&w, "{\"text\":");
    json_string(&w, text, n_text);
    json_raw(&w, ",\"content\":");
    json_string(&w, text, n_text);
    json_raw(&w, "}\n");
    return w.full ? 0 : w.n;
}
