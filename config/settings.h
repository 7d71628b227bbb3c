/* settings.h - every setting of the program: defaults < INI file < environment < flags, from one
 * table.
 *
 * One row a setting: its name (flag --max-queue, environment SMALLMIND_MAX_QUEUE, INI max_queue are
 * derived from it), type, range, default, the verbs it belongs to and one line of help. Resolved
 * and validated once, by the main thread, into a struct that is const from then on. The INI file is
 * read with libinih, here alone. Knows nothing of the engine or HTTP.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum verb { /* bits, so that a row can belong to several */
            VERB_SERVE = 1,
            VERB_GENERATE = 2,
            VERB_INSPECT = 4,
            VERB_TOKENIZE = 8,
            VERB_DETOKENIZE = 16,
            VERB_PERPLEXITY = 32,
            VERB_VERSION = 64,
            VERB_HELP = 128,
            VERB_QUANTIZE = 256,
            VERB_BENCH = 512,
            VERB_PROFILE = 1024,
            VERB_PULL = 2048,
            VERB_LIST = 4096,
            VERB_RM = 8192,
            VERB_CHAT = 16384,
            VERB_CHECK = 32768,
};

enum reasoning_mode { REASONING_AUTO, REASONING_OFF };
enum metrics_names { METRICS_SMALLMIND, METRICS_VLLM };
enum log_format { LOG_TEXT, LOG_JSON };
enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

enum { SETTINGS_ARGUMENTS = 3, SETTINGS_STOPS = 16, SETTINGS_BIASES = 1024, SETTINGS_ITEMS = 32 };

struct setting_list {
    const char *items[SETTINGS_ITEMS];
    size_t n;
};

struct setting_bias {
    int32_t id;
    float bias; /* -100..100 */
};

struct settings { /* strings are owned by the settings; NULL: not set */
    enum verb verb;
    const char *argument; /* the first after the verb: FILE or PROMPT; NULL when absent */
    const char *arguments[SETTINGS_ARGUMENTS]; /* all of them */

    const char *model;      /* "builtin", a path, or what `pull` has got */
    const char *models_dir; /* where that lies; NULL: below XDG_CACHE_HOME or HOME */
    unsigned pull_stall_seconds, pull_tries; /* of a download */
    unsigned threads, workers;               /* 0: automatic */
    const char *cgroup_root;                 /* NULL: the system's */
    size_t context;                          /* 0: the model's, at most 4096 */
    int cpu;          /* enum kernel_level: the table's words stand in its order */
    int kv_type;      /* enum kv_type, likewise */
    size_t kv_memory; /* bytes; 0: automatic */
    bool prefix_cache;
    const char *pack_cache; /* the folder of packed weights; NULL: none is kept */
    size_t pack_cache_bytes;
    bool chat_history; /* lines typed in chat are kept for later runs */
    size_t step_tokens, max_batch, max_queue;

    struct setting_list hosts; /* addresses or names to listen on, at the port */
    unsigned port;
    const char *unix_path, *port_file;
    bool unix_alone;    /* the Unix socket and no address: neither host nor port was given */
    unsigned unix_mode; /* permissions of its file */
    unsigned drain_delay, drain_seconds; /* before it, new work is still taken; of the drain */
    const char *api_key_file;
    struct setting_list allow_origins, allow_hosts;
    struct setting_list trusted_proxies; /* networks; "unix" */
    int metrics_names;                   /* enum metrics_names */
    const char *served_model_name;       /* NAME[,ALIAS...]; NULL: from the file's name */
    bool strict_model;
    int pooling;               /* 0: as the model says; else enum pooling + 1 */
    const char *chat_template; /* a well-known one's name, or a file; NULL: the model's */
    int reasoning;             /* enum reasoning_mode */
    bool has_seed;
    uint64_t seed;
    int log_format, log_level;                /* enum log_format, enum log_level */
    const char *log_file;                     /* NULL: standard error */
    const char *otlp_endpoint, *otlp_headers; /* NULL: not set; the headers may be keys */
    float otlp_sample;                        /* 0 to 1 */

    /* limits of the service (DESIGN section 7) */
    size_t max_connections, max_header_bytes, max_body_bytes, max_json_depth, max_json_nodes;
    bool request_templates; /* those sent with requests are taken */
    size_t template_steps, template_depth, template_memory, template_output, template_ms;
    size_t grammar_states, grammar_depth, grammar_memory; /* of the shape of one answer */
    size_t grammar_cache;                                 /* bytes of compiled shapes */
    size_t max_choices;                                   /* answers of one request */
    size_t max_inputs;                           /* texts of one request that become vectors */
    size_t max_body_memory;                      /* of all requests' bodies together */
    size_t max_prompt_tokens, max_output_tokens; /* 0: what the context allows */
    unsigned max_wait_seconds;                   /* predicted queue wait that is refused; 0: none */
    unsigned request_seconds;                    /* from a request's first byte to its last */
    unsigned idle_seconds, stall_seconds;        /* idle keep-alive; a reader that takes nothing */

    /* generate: the API's fields as flags */
    size_t max_tokens, min_tokens; /* 0: absent */
    float temperature, top_p, min_p, typical_p, repetition_penalty, presence_penalty,
        frequency_penalty;
    unsigned top_k, repetition_window;
    bool ignore_eos, parse_special;
    const char *schema, *grammar, *regex; /* the answer's shape: two files, an expression; NULL */
    struct setting_list choices;          /* one of these texts */
    const char *stop[SETTINGS_STOPS];
    size_t n_stop;
    struct setting_bias *biases; /* [n_biases], owned; as given, ids not checked */
    size_t n_biases;

    bool force;          /* quantize: overwrite */
    bool json;           /* bench, inspect: the report as JSON */
    bool tensors;        /* inspect: every one */
    bool header_only;    /* inspect: not the weights' values */
    bool quick, compare; /* bench: fewer cells; two reports instead of a run */
    const char *cells;   /* bench: beginnings of wanted cells' names, between commas; NULL: all */

    /* profile; json and compare as above */
    size_t sessions, tokens, prompt, batch;
    bool html, trace, sizes;
    float fail_on_regression; /* percent; NAN: not set */

    /* tokenize */
    bool special, add_special, no_normalize;

    const char *config; /* the INI file read */
    bool print_config;
    bool help; /* VERB --help */
};

/* Resolves everything. argv as main got it; env as environ. Lines for the log that are no errors
 * (an ignored SMALLMIND_PORT=tcp://...) are written to notes, one a line, cut to its size.
 * STATUS_INVALID names the flag, variable or file and line at fault and the nearest right name;
 * STATUS_IO for the INI file. */
enum status settings_resolve(struct settings **out, int argc, char *const *argv, char *const *env,
                             char *notes, size_t notes_bytes, struct error *err);
void settings_free(struct settings *settings); /* takes NULL */

/* Once a model's name is known to mean this file: model, or inspect's FILE. STATUS_NO_MEMORY. */
enum status settings_use_file(struct settings *settings, const char *path, struct error *err);

/* In which form `serve` was asked to log, as far as that can be told of settings that are refused;
 * LOG_TEXT for other verbs. */
enum log_format settings_log_format(int argc, char *const *argv, char *const *env);

/* Whether it still has its default: no file, variable or flag gave it a value ("model", as in the
 * flag). */
bool settings_is_default(const struct settings *settings, const char *name);
/* Whether the command line gave it: what is only there for a verb's other uses may stand in a file
 * or the environment, but not on the command line, to no effect. */
bool settings_is_flag(const struct settings *settings, const char *name);

/* Whether the verb has an option of this name, without hyphens. */
bool settings_has_option(enum verb verb, const char *name);

/* --print-config: each value and where it came from (default, file:line, environment, flag). */
void settings_print(const struct settings *settings, FILE *out);
/* The whole usage (verb 0) or one verb's, made from the table, in lines of at most n_columns (40 to
 * 120). */
void settings_help(enum verb verb, size_t n_columns, FILE *out);
/* The INI file with every setting, its default and when to change it: config/smallmind.ini is this
 * function's output. */
void settings_write_ini(FILE *out);
