/* mini_vocab.h - a vocabulary small enough to read, made in memory, and jobs that hold what a
 * worker would have written. For the API's tests alone.
 *
 * SentencePiece: <unk> <s> </s>, the 256 bytes, then the pieces below. A text is its BOS, the space
 * in front, and what the scores merge.
 */
#pragma once

#include "engine/job.h"
#include "engine/output.h"
#include "gguf/gguf.h"
#include "text/tokenizer/tokenizer.h"

#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MINI_UNK,
    MINI_BOS,
    MINI_EOS,
    MINI_BYTE,
    MINI_PIECE = MINI_BYTE + 256,
    MINI_SPACE = MINI_PIECE,
    MINI_A,
    MINI_B,
    MINI_C,
    MINI_AB,
    MINI_ABC,
    MINI_EURO,
    MINI_QUOTES,
    MINI_LONG,
    MINI_VOCAB
};

static const char *const mini_pieces[MINI_VOCAB - MINI_PIECE] = {
    "\xe2\x96\x81",
    "a",
    "b",
    "c",
    "ab",
    "abc",
    "\xe2\x82\xac",
    "\"\\\n\x01",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", /* 64 */
};

struct mini_bytes {
    uint8_t bytes[32768];
    size_t n;
};

static inline void mini_put(struct mini_bytes *b, const void *bytes, size_t n)
{
    ck_assert_uint_le(b->n + n, sizeof b->bytes);
    memcpy(b->bytes + b->n, bytes, n);
    b->n += n;
}

static inline void mini_u32(struct mini_bytes *b, uint32_t value)
{
    mini_put(b, &value, sizeof value); /* little endian, as the file and the machines are */
}

static inline void mini_u64(struct mini_bytes *b, uint64_t value)
{
    mini_put(b, &value, sizeof value);
}

static inline void mini_string(struct mini_bytes *b, const char *text)
{
    mini_u64(b, strlen(text));
    mini_put(b, text, strlen(text));
}

static inline void mini_array(struct mini_bytes *b, const char *key, enum gguf_value_type type)
{
    mini_string(b, key);
    mini_u32(b, GGUF_ARRAY);
    mini_u32(b, type);
    mini_u64(b, MINI_VOCAB);
}

static inline void mini_bool(struct mini_bytes *b, const char *key, bool value)
{
    mini_string(b, key);
    mini_u32(b, GGUF_BOOL);
    mini_put(b, &(uint8_t){value}, 1);
}

static inline void mini_id(struct mini_bytes *b, const char *key, uint32_t id)
{
    mini_string(b, key);
    mini_u32(b, GGUF_U32);
    mini_u32(b, id);
}

/* add_bos: does the model put BOS in front? */
static inline struct tokenizer *mini_tokenizer(bool add_bos)
{
    static struct mini_bytes b;
    b.n = 0;
    mini_put(&b, "GGUF", 4);
    mini_u32(&b, 3);
    mini_u64(&b, 0);
    mini_u64(&b, 8);
    mini_string(&b, "tokenizer.ggml.model");
    mini_u32(&b, GGUF_STRING);
    mini_string(&b, "llama");
    mini_id(&b, "tokenizer.ggml.bos_token_id", MINI_BOS);
    mini_id(&b, "tokenizer.ggml.eos_token_id", MINI_EOS);
    mini_bool(&b, "tokenizer.ggml.add_bos_token", add_bos);
    mini_bool(&b, "tokenizer.ggml.add_eos_token", false);
    mini_array(&b, "tokenizer.ggml.tokens", GGUF_STRING);
    static const char *const special[] = {"<unk>", "<s>", "</s>"};
    for (size_t id = 0; id < MINI_VOCAB; id++) {
        char byte[8];
        snprintf(byte, sizeof byte, "<0x%02X>", (unsigned)(id - MINI_BYTE) & 0xff);
        mini_string(&b, id < MINI_BYTE    ? special[id]
                        : id < MINI_PIECE ? byte
                                          : mini_pieces[id - MINI_PIECE]);
    }
    mini_array(&b, "tokenizer.ggml.scores", GGUF_F32);
    for (size_t id = 0; id < MINI_VOCAB; id++) {
        float score = id < MINI_PIECE ? 0 : -(float)id;
        mini_put(&b, &score, sizeof score);
    }
    mini_array(&b, "tokenizer.ggml.token_type", GGUF_I32);
    for (size_t id = 0; id < MINI_VOCAB; id++)
        mini_u32(&b, id == MINI_UNK ? 2 : id < MINI_BYTE ? 3 : id < MINI_PIECE ? 6 : 1);
    struct gguf *gguf;
    struct tokenizer *tokenizer;
    struct error err = {.text = ""};
    ck_assert_msg(gguf_open(&gguf, b.bytes, b.n, &err) == STATUS_OK, "%s", err.text);
    ck_assert_msg(tokenizer_create(&tokenizer, gguf, &err) == STATUS_OK, "%s", err.text);
    gguf_close(gguf);
    return tokenizer;
}

/* A job with room for n_tokens, and for stop strings of one string when stop is not NULL. */
static inline struct job *mini_job(const struct tokenizer *tokenizer, size_t n_tokens,
                                   int n_logprobs, const char *stop)
{
    struct job *job;
    struct error err;
    struct job_size size = {.n_prompt = 3,
                            .max_tokens = n_tokens,
                            .stop_bytes = stop != NULL ? strlen(stop) : 0,
                            .max_piece = tokenizer_max_piece(tokenizer),
                            .logprobs = n_logprobs >= 0};
    ck_assert_int_eq(job_create(&job, &size, &err), STATUS_OK);
    job->n_prompt = 3;
    job->max_tokens = n_tokens;
    job->n_logprobs = n_logprobs;
    if (stop != NULL) {
        memcpy(job_stop_bytes(job), stop, strlen(stop));
        job->stops[0] = (struct stop_string){job_stop_bytes(job), strlen(stop)};
        job->n_stops = 1;
    }
    output_begin(job);
    return job;
}

/* The worker samples one more; true when a stop string ended the text. */
static inline bool mini_step(struct job *job, const struct tokenizer *tokenizer, int32_t id)
{
    if (job->logprobs != NULL) {
        struct logprob_record *record = &job->logprobs[job->n_tokens];
        record->logprob = -0.5f - (float)id / 3;
        record->n_top = (uint32_t)job->n_logprobs;
        for (uint32_t k = 0; k < record->n_top; k++)
            record->top[k] = (struct logprob){(id + (int32_t)k) % MINI_VOCAB, -(float)k / 7};
    }
    job->n_completion++;
    bool stopped = output_append(job, tokenizer, id);
    if (!stopped)
        atomic_store(&job->n_ready, output_n_ready(job));
    return stopped;
}

static inline void mini_finish(struct job *job, bool stopped, enum finish_reason reason)
{
    if (!stopped)
        output_end(job);
    job->finish = reason;
    atomic_store(&job->n_ready, (uint32_t)job->n_tokens);
    atomic_store(&job->finished, true);
}
