/* logprobs.c - each token as text, as number and as bytes. Loop thread. */
#include "api/json/logprobs.h"

static void put_bytes(struct json_writer *w, struct gguf_string piece)
{
    json_raw(w, "[");
    for (size_t i = 0; i < piece.n; i++) {
        json_raw(w, i > 0 ? "," : "");
        json_uint(w, (unsigned char)piece.bytes[i]);
    }
    json_raw(w, "]");
}

/* {"token","logprob","bytes", left open. */
static void put_token(struct json_writer *w, const struct tokenizer *tokenizer, int32_t id,
                      float logprob)
{
    struct gguf_string piece = tokenizer_piece(tokenizer, id, true);
    json_raw(w, "{\"token\":");
    json_string(w, piece.bytes, piece.n);
    json_raw(w, ",\"logprob\":");
    json_float(w, logprob);
    json_raw(w, ",\"bytes\":");
    put_bytes(w, piece);
}

void json_logprobs(struct json_writer *w, const struct tokenizer *tokenizer, const struct job *job,
                   size_t begin, size_t end)
{
    json_raw(w, "[");
    for (size_t i = begin; i < end && !w->full; i++) {
        const struct logprob_record *record = &job->logprobs[i];
        json_raw(w, i > begin ? "," : "");
        put_token(w, tokenizer, job->tokens[i].id, record->logprob);
        json_raw(w, ",\"top_logprobs\":[");
        for (size_t k = 0; k < record->n_top; k++) {
            json_raw(w, k > 0 ? "," : "");
            put_token(w, tokenizer, record->top[k].id, record->top[k].logprob);
            json_raw(w, "}");
        }
        json_raw(w, "]}");
    }
    json_raw(w, "]");
}

size_t json_logprob_bound(const struct tokenizer *tokenizer, const struct job *job)
{
    /* As text, each byte an escape of six at most, and as numbers of four; and the names. */
    return ((size_t)job->n_logprobs + 1) * (10 * tokenizer_max_piece(tokenizer) + 96);
}
