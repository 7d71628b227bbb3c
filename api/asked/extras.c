/* extras.c - the fields that inference servers add to the APIs of others, in one table that every
 * such dialect chains after its own rows. Read-only. */
#include "api/asked/asked.h"

#define IGNORED(name)                                                                              \
    {                                                                                              \
        (name), FIELD_NONE, .no_effect = true                                                      \
    }
#define LATER(name)                                                                                \
    {                                                                                              \
        (name), FIELD_NONE, .refused = "this server does not support it"                           \
    }
static const char one_way[] = "only plain sampling is supported";

/* clang-format off */
static const struct field rows[] = {
    {"seed", FIELD_SEED, .of_64_bits = true, .minus_one = true, .nullable = true, ASKED(seed)},
    {"top_k", FIELD_UINT, BOUND_VOCABULARY, .minus_one = true, .nullable = true, ASKED(top_k)},
    {"min_p", FIELD_NUMBER, .max = 1, .nullable = true, ASKED(min_p)},
    {"typical_p", FIELD_NUMBER, .max = 1, .initial = 1, .nullable = true, ASKED(typical_p)},
    {"repetition_penalty", FIELD_NUMBER, .min = 0.1, .max = 10, .initial = 1, .nullable = true,
     ASKED(repetition_penalty)},
    {"repeat_penalty", FIELD_NUMBER, .min = 0.1, .max = 10, .initial = 1, .nullable = true,
     ASKED(repetition_penalty)},
    {"repeat_last_n", FIELD_UINT, BOUND_CONTEXT, .initial = ASKED_WHOLE_WINDOW, .minus_one = true,
     .nullable = true, ASKED(repetition_window)},
    {"ignore_eos", FIELD_BOOL, .nullable = true, ASKED(ignore_eos)},
    {"min_tokens", FIELD_UINT, .max = ASKED_EXACT, .nullable = true, ASKED(min_tokens)},
    {"stop_token_ids", FIELD_ANY, .nullable = true, ASKED(stop_token_ids)},
    {"include_stop_str_in_output", FIELD_BOOL, .nullable = true, ASKED(keep_stop)},
    {"deadline_ms", FIELD_UINT, .min = 1, .max = ASKED_LONGEST, .nullable = true,
     ASKED(deadline_ms)},
    {"cache_prompt", FIELD_BOOL, .initial = true, .nullable = true, ASKED(cache_prompt)},
    IGNORED("priority"), IGNORED("request_id"), IGNORED("id_slot"), IGNORED("cache_salt"),
    IGNORED("skip_special_tokens"), IGNORED("spaces_between_special_tokens"),
    {"use_beam_search", FIELD_NONE, .refused = one_way},
    {"length_penalty", FIELD_NONE, .no_effect = true}, /* of beams alone */
    {"mirostat", FIELD_NONE, .refused = one_way},
    {"dry_multiplier", FIELD_NONE, .refused = one_way},
    {"xtc_probability", FIELD_NONE, .refused = one_way},
    {"dynatemp_range", FIELD_NONE, .refused = one_way},
    {"structured_outputs", FIELD_ANY, .nullable = true, ASKED(structured)},
    {"guided_json", FIELD_ANY, .nullable = true, ASKED(guided_json)},
    {"guided_regex", FIELD_ANY, .nullable = true, ASKED(guided_regex)},
    {"guided_choice", FIELD_ANY, .nullable = true, ASKED(guided_choice)},
    {"guided_grammar", FIELD_ANY, .nullable = true, ASKED(guided_grammar)},
    {"json_schema", FIELD_ANY, .nullable = true, ASKED(json_schema)},
    {"grammar", FIELD_ANY, .nullable = true, ASKED(grammar)},
    IGNORED("guided_decoding_backend"), LATER("guided_whitespace_pattern"),
    LATER("logits_processors"), LATER("truncate_prompt_tokens"),
    LATER("prompt_logprobs"), LATER("return_tokens_as_token_ids"),
};
/* clang-format on */

const struct field_table asked_extras = {.fields = rows, .n_fields = sizeof rows / sizeof rows[0]};
