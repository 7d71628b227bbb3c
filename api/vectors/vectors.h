/* vectors.h - texts that become vectors or scores, in the words of several APIs: rows of the
 * dialect table.
 *
 * One job for each text; a text's vector is written as the body asked for it: normalized or not,
 * all of its dimensions or the first ones, as numbers or in base64. Decoders on any thread, writers
 * on the loop thread; errors as in api/native/native.h. Knows nothing of sockets.
 */
#pragma once

#include "api/dialect.h"
#include "api/json/fields.h"

/* OpenAI's POST /v1/embeddings. */
extern const struct dialect vectors_openai;
extern const struct field_table vectors_openai_fields;
/* Ollama's POST /api/embed, and POST /api/embeddings of one text. */
extern const struct dialect vectors_ollama, vectors_ollama_one;
extern const struct field_table vectors_ollama_fields, vectors_ollama_one_fields;
/* Text Embeddings Inference's POST /embed. */
extern const struct dialect vectors_tei;
extern const struct field_table vectors_tei_fields;
/* llama.cpp's POST /embedding. */
extern const struct dialect vectors_llama;
extern const struct field_table vectors_llama_fields;
/* POST /rerank: documents in Jina's words, which llama.cpp's server has too, or texts in those of
 * Text Embeddings Inference. */
extern const struct dialect vectors_ranks;
extern const struct field_table vectors_ranks_fields;
