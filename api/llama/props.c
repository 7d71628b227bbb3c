/* props.c - what llama.cpp's clients ask of a server: its properties and its slots. Loop thread;
 * allocates nothing. */
#include "api/llama/parts.h"

#include "base/sampling_defaults.h"

#include <string.h>

/* Sequences that run at a time, which that server calls slots. */
static size_t n_slots(const struct served *served)
{
    return served->max_running;
}

static const char *template_of(const struct served *served)
{
    return served->template != NULL ? served->template : "";
}

static void put_defaults(struct json_writer *w, const struct served *served)
{
    json_raw(w, "{\"default_generation_settings\":{\"params\":{\"seed\":-1");
    json_name_double(w, ",", "temperature", SAMPLING_TEMPERATURE, 3);
    json_name_uint(w, ",", "top_k", SAMPLING_TOP_K);
    json_name_double(w, ",", "top_p", SAMPLING_TOP_P, 3);
    json_name_double(w, ",", "min_p", SAMPLING_MIN_P, 3);
    json_name_double(w, ",", "typical_p", SAMPLING_TYPICAL_P, 3);
    json_name_uint(w, ",", "repeat_last_n", SAMPLING_REPETITION_WINDOW);
    json_name_double(w, ",", "repeat_penalty", SAMPLING_REPETITION_PENALTY, 3);
    json_name_double(w, ",", "presence_penalty", SAMPLING_PRESENCE_PENALTY, 3);
    json_name_double(w, ",", "frequency_penalty", SAMPLING_FREQUENCY_PENALTY, 3);
    json_raw(w, ",\"dynatemp_range\":0.0,\"dynatemp_exponent\":1.0,\"top_n_sigma\":-1"
                ",\"xtc_probability\":0.0,\"dry_multiplier\":0.0,\"mirostat\":0"
                ",\"max_tokens\":-1,\"n_predict\":-1,\"n_keep\":0,\"n_discard\":0"
                ",\"ignore_eos\":false,\"stream\":false,\"n_probs\":0,\"min_keep\":0"
                ",\"samplers\":[\"penalties\",\"top_k\",\"typ_p\",\"top_p\",\"min_p\","
                "\"temperature\"]"
                ",\"timings_per_token\":false,\"post_sampling_probs\":false,\"lora\":[]}");
    json_name_uint(w, ",", "n_ctx", served->model->n_context);
    json_raw(w, "}");
}

static void put_token(struct json_writer *w, const struct served *served, const char *name,
                      int32_t id)
{
    struct gguf_string piece = tokenizer_piece(served->tokenizer, id, true);
    json_name(w, ",", name);
    json_string(w, piece.bytes, piece.n);
}

size_t llama_props_bound(const struct served *served)
{
    return 4096 + json_string_bound(strlen(template_of(served))) +
           json_string_bound(strlen(served->path)) + json_string_bound(strlen(served->names[0])) +
           2 * json_string_bound(tokenizer_max_piece(served->tokenizer));
}

size_t llama_props(const struct served *served, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    put_defaults(&w, served);
    json_name_uint(&w, ",", "total_slots", n_slots(served));
    json_name_text(&w, ",", "model_alias", served->names[0]);
    json_name_text(&w, ",", "model_ftype", served->model->weights);
    json_name_text(&w, ",", "model_path", served->path);
    json_raw(&w, ",\"modalities\":{\"vision\":false,\"audio\":false,\"video\":false}"
                 ",\"endpoint_slots\":true,\"endpoint_props\":false,\"endpoint_metrics\":true");
    json_name_text(&w, ",", "chat_template", template_of(served));
    json_raw(&w, ",\"chat_template_caps\":{}");
    put_token(&w, served, "bos_token", tokenizer_bos(served->tokenizer));
    put_token(&w, served, "eos_token", tokenizer_eos(served->tokenizer));
    json_name_text(&w, ",", "build_info", "smallmind-" SMALLMIND_VERSION);
    json_raw(&w, ",\"is_sleeping\":false}\n");
    return w.full ? 0 : w.n;
}

size_t llama_slots_bound(const struct served *served)
{
    return 16 + 128 * n_slots(served);
}

size_t llama_slots(const struct served *served, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    json_raw(&w, "[");
    for (size_t i = 0; i < n_slots(served); i++) {
        json_name_uint(&w, i > 0 ? ",{" : "{", "id", i);
        json_name_uint(&w, ",", "n_ctx", served->model->n_context);
        json_name_bool(&w, ",", "speculative", false);
        json_name_bool(&w, ",", "is_processing", i < served->running);
        json_raw(&w, "}");
    }
    json_raw(&w, "]\n");
    return w.full ? 0 : w.n;
}
