/* scope.c - the scopes' names. Static data; any thread. */
#include "profile/scope.h"

const struct scope_info scope_infos[SCOPES] = {
    [SCOPE_SCHEDULE] = {"schedule", "scheduling", PLACE_STEP},
    [SCOPE_EMBED] = {"embed", "embedding", PLACE_STEP},
    [SCOPE_ATTN_NORM] = {"attention_norm", "attention norm", PLACE_LAYER},
    [SCOPE_QKV] = {"qkv", "QKV", PLACE_LAYER},
    [SCOPE_ROPE] = {"rope", "RoPE and KV store", PLACE_LAYER},
    [SCOPE_ATTENTION] = {"attention", "attention", PLACE_LAYER},
    [SCOPE_ATTENTION_MERGE] = {"attention_merge", "attention merge", PLACE_LAYER},
    [SCOPE_CONV] = {"convolution", "short convolution", PLACE_LAYER},
    [SCOPE_RECURRENCE] = {"recurrence", "recurrence", PLACE_LAYER},
    [SCOPE_OUTPUT_ROUND] = {"output_round", "output input rounding", PLACE_LAYER},
    [SCOPE_OUTPUT] = {"output", "attention output", PLACE_LAYER},
    [SCOPE_FFN_NORM] = {"ffn_norm", "FFN norm", PLACE_LAYER},
    [SCOPE_ROUTER] = {"ffn_router", "expert routing", PLACE_LAYER},
    [SCOPE_GATE_UP] = {"ffn_gate_up", "FFN gate/up", PLACE_LAYER},
    [SCOPE_ACTIVATION] = {"ffn_activation", "activation", PLACE_LAYER},
    [SCOPE_DOWN_ROUND] = {"ffn_down_round", "down input rounding", PLACE_LAYER},
    [SCOPE_DOWN] = {"ffn_down", "FFN down", PLACE_LAYER},
    [SCOPE_HEAD_NORM] = {"head_norm", "head norm", PLACE_HEAD},
    [SCOPE_HEAD] = {"head", "logits", PLACE_HEAD},
    [SCOPE_MASK] = {"mask", "grammar masks", PLACE_STEP},
    [SCOPE_SAMPLE] = {"sample", "sampler", PLACE_STEP},
    [SCOPE_TEXT] = {"text", "ids to text", PLACE_STEP},
    [SCOPE_PUBLISH] = {"publish", "publishing", PLACE_STEP},
    [SCOPE_RECORD] = {"record", "profiler", PLACE_STEP},
};
