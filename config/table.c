/* table.c - the table itself: every verb and every setting of the program, once. Static data; any
 * thread. */
#include "config/table.h"

#include "base/sampling_defaults.h"

#include <ctype.h>
#include <string.h>

#define COMPUTE                                                                                    \
    (VERB_SERVE | VERB_GENERATE | VERB_PERPLEXITY | VERB_BENCH | VERB_PROFILE | VERB_CHAT)
#define DRAW (VERB_GENERATE | VERB_CHAT)
#define CHAT (VERB_SERVE | VERB_CHAT)
#define TEXT (VERB_TOKENIZE | VERB_DETOKENIZE)
#define ALL                                                                                        \
    (VERB_SERVE | VERB_GENERATE | VERB_INSPECT | VERB_TOKENIZE | VERB_DETOKENIZE |                 \
     VERB_PERPLEXITY | VERB_QUANTIZE | VERB_BENCH | VERB_PROFILE | VERB_PULL | VERB_LIST |         \
     VERB_RM | VERB_CHAT | VERB_CHECK)
#define FIELD(name) offsetof(struct settings, name), sizeof(((struct settings *)0)->name)

/* clang-format off */
const struct verb_info settings_verbs[] = {
    {"serve", VERB_SERVE, NULL, "answer HTTP requests (the default verb)", NULL},
    {"generate", VERB_GENERATE, "[PROMPT]",
     "write one completion to standard output as it is generated",
     "Without PROMPT it is read from standard input, all of it. The options are the fields of "
     "POST /generate: the same values and the same seed give the same text."},
    {"chat", VERB_CHAT, NULL, "a conversation in the terminal, with the model's chat template",
     "On a terminal lines are edited and remembered, and Ctrl-C stops an answer; /help lists the "
     "commands. In a pipe each line is a message, and answers are plain text."},
    {"inspect", VERB_INSPECT, "FILE", "say what a GGUF file holds and needs, or why it is refused",
     "FILE may be builtin. A file that holds a vocabulary alone is shown as far as it goes. The "
     "weights' values are not read."},
    {"tokenize", VERB_TOKENIZE, NULL, "standard input to token ids, on one line", NULL},
    {"detokenize", VERB_DETOKENIZE, NULL, "token ids on standard input back to text", NULL},
    {"perplexity", VERB_PERPLEXITY, "FILE", "how well the model predicts a text",
     "The text (-: standard input) is cut into windows of --context tokens, and the second half "
     "of each is scored. The last line is the result and its standard error."},
    {"quantize", VERB_QUANTIZE, "IN OUT TYPE", "write a GGUF file in another weight type",
     "TYPE is one of: F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q2_K Q3_K Q3_K_M Q4_K Q4_K_S Q4_K_M "
     "Q5_K Q5_K_S Q5_K_M Q6_K IQ4_NL IQ4_XS MXFP4. A plain type is every matrix's; _S and _M are "
     "mixes that give more bits to what matters most. Q4_K_M suits most models."},
    {"bench", VERB_BENCH, "[A B]",
     "measure the model and its kernels against this machine's limits, or compare two reports",
     NULL},
    {"profile", VERB_PROFILE, "[FILE] [FILE]",
     "where the time of a workload goes, and the bytes; or compare two reports",
     "The report is Markdown on standard output, or with --json, --html or --trace goes to FILE. "
     "--compare A.json B.json compares two."},
    {"pull", VERB_PULL, "REF", "get a model by name, to be used as --model REF",
     "REF is hf:OWNER/REPO/FILE.gguf, hf:OWNER/REPO:Q4_K_M (the file of that type), "
     "ollama:NAME:TAG or https://HOST/FILE.gguf. What was cut goes on where it was; SHA-256 is "
     "checked where the source names it. The last line is the file's path. HF_TOKEN, HF_ENDPOINT, "
     "OLLAMA_ENDPOINT and the proxies' variables are honoured."},
    {"list", VERB_LIST, NULL, "the models that pull has got", NULL},
    {"rm", VERB_RM, "NAME", "remove a model that pull has got, or has begun to get", NULL},
    {"check", VERB_CHECK, "[URL]", "ask whether a running service takes work: exit 0 or 1",
     "URL is http://HOST:PORT or unix:PATH; without it the service of the same settings is asked, on "
     "this machine. Its /readyz says loading or draining where it takes none."},
    {"version", VERB_VERSION, NULL, "the version", NULL},
    {"help", VERB_HELP, "[VERB]", "this text, or one verb's", NULL},
};
const size_t settings_verbs_n = sizeof settings_verbs / sizeof settings_verbs[0];

const struct setting settings_table[] = {
    {"model", "model", KIND_TEXT, FIELD(model), COMPUTE | TEXT, 0, 0, NULL, NULL, "builtin", "FILE",
     "GGUF file, builtin, or a model that `smallmind pull` has got (serve gets hf:... by itself)",
     "Name your own model's GGUF file; the built-in one only tells very short stories."},
    {"models-dir", "model", KIND_TEXT, FIELD(models_dir),
     COMPUTE | TEXT | VERB_INSPECT | VERB_PULL | VERB_LIST | VERB_RM, 0, 0, NULL, NULL, "", "DIR",
     "where models lie that pull has got (default: smallmind/models in XDG_CACHE_HOME or ~/.cache)",
     "When they belong on another disk, or the service's user has no home."},
    {"pull-stall-seconds", "model", KIND_NUMBER, FIELD(pull_stall_seconds), VERB_PULL | VERB_SERVE,
     1, 3600, NULL, NULL, "30", "N",
     "how long a download may stand still before it is tried again",
     "Raise it for very slow lines."},
    {"pull-tries", "model", KIND_NUMBER, FIELD(pull_tries), VERB_PULL | VERB_SERVE, 1, 100, NULL,
     NULL, "5", "N",
     "tries in a row without progress until a download is given up",
     "Raise it where the line is often away for long."},
    {"served-model-name", "model", KIND_TEXT, FIELD(served_model_name), VERB_SERVE, 0, 0, NULL,
     NULL, "", "NAME[,ALIAS...]",
     "what answers call the model, and other names that requests may use (default: the file's "
     "name)",
     "Set it when clients expect a certain name."},
    {"strict-model", "model", KIND_SWITCH, FIELD(strict_model), VERB_SERVE, 0, 0, NULL, NULL, "off",
     "on|off",
     "refuse a request that names another model",
     "On when clients may reach several services and must not take one for another."},
    {"chat-template", "model", KIND_TEXT, FIELD(chat_template), CHAT, 0, 0, NULL, NULL, "",
     "NAME|FILE",
     "how chats become prompts: a known format or a file of Jinja (default: the model's own)",
     "For a model whose file has none or a wrong one. Known: alpaca chatml command-r gemma llama2 "
     "llama3 mistral phi3 phi4 vicuna zephyr."},
    {"chat-history", "model", KIND_SWITCH, FIELD(chat_history), VERB_CHAT, 0, 0, NULL, NULL, "on",
     "on|off",
     "keep what is typed for later runs, below XDG_STATE_HOME or ~/.local/state",
     "Off where what is typed must not be left on disk."},
    {"reasoning", "model", KIND_CHOICE, FIELD(reasoning), VERB_SERVE, 0, 0, NULL, "auto off",
     "auto", "auto|off",
     "auto: reasoning that the chat template marks is answered apart; off: it stays in the text",
     "Off for clients that look for <think> themselves."},
    {"pooling", "model", KIND_CHOICE, FIELD(pooling), VERB_SERVE, 0, 0, NULL,
     "auto none mean cls last rank", "auto", "KIND",
     "how a text's hidden states become its vector: auto none mean cls last rank",
     "Auto is what the model's file says; mean, cls or last make embeddings of any model."},
    {"context", "model", KIND_NUMBER, FIELD(context), COMPUTE | VERB_INSPECT, 1, 16777216, "auto",
     NULL, "auto", "N",
     "positions one sequence may use (auto: the model's, at most 4096)",
     "Raise it for long prompts, up to what the model was made for; lower it to save KV memory."},

    {"threads", "compute", KIND_NUMBER, FIELD(threads), COMPUTE | VERB_QUANTIZE, 1, 1024, "auto",
     NULL, "auto", "N",
     "all compute threads, shared out evenly over the workers",
     "Lower it to leave cores to other programs; more threads than physical cores seldom help."},
    {"workers", "compute", KIND_NUMBER, FIELD(workers), VERB_SERVE | VERB_BENCH, 1, 256, "auto",
     NULL, "auto", "N",
     "independent teams of threads, each with its own batch and KV cache",
     "One a last-level cache is usual; more pay for tiny models with many clients."},
    {"cgroup-root", "compute", KIND_TEXT, FIELD(cgroup_root), VERB_SERVE, 0, 0, NULL, NULL, "",
     "DIR",
     "folder whose proc/self/cgroup and sys/fs/cgroup say what may be used, not the system's",
     "Where control groups are mounted elsewhere, and for trying out limits."},
    {"cpu", "compute", KIND_CHOICE, FIELD(cpu), COMPUTE, 0, 0, NULL,
     "auto ref avx2 avxvnni avx512 amx neon", "auto", "NAME",
     "kernels: auto ref avx2 avxvnni avx512 amx neon",
     "Only to compare: all of them give the same bits, auto takes the fastest."},

    {"kv-type", "memory", KIND_CHOICE, FIELD(kv_type), COMPUTE | VERB_INSPECT, 0, 0, NULL,
     "f32 f16 q8", "f16", "TYPE",
     "how keys and values are kept: f32 f16 q8",
     "q8 needs about half of f16's KV memory; f32 doubles it: published figures are measured "
     "with it, and models with numbers beyond f16's get it by default."},
    {"kv-memory", "memory", KIND_BYTES, FIELD(kv_memory), COMPUTE, 1024, 1125899906842624.0, "auto",
     NULL, "auto", "BYTES",
     "KV memory of all workers, taken as it is needed (512M, 2G)",
     "Auto holds 8 whole contexts (max_batch, where that is given) or 1 GB, whichever is less, "
     "at most a quarter of the memory allowed; raise it for more long requests at once and to "
     "keep more prefixes."},
    {"prefix-cache", "memory", KIND_SWITCH, FIELD(prefix_cache), VERB_SERVE, 0, 0, NULL, NULL, "on",
     "on|off",
     "keep computed prefixes for later requests",
     "Off when no two prompts begin alike, or to measure without it."},

    {"step-tokens", "batching", KIND_NUMBER, FIELD(step_tokens), COMPUTE, 1, 65536, NULL, NULL,
     "512", "N",
     "most prompt tokens in one step; the real budget is time",
     "Lower it to bound the step's buffers; higher values seldom help."},
    {"max-batch", "batching", KIND_NUMBER, FIELD(max_batch), VERB_SERVE, 1, 1024, "auto", NULL,
     "auto", "N",
     "sequences in one step of one worker",
     "Auto takes 32, or up to 128 where memory and the measured steps allow it; raise it for more "
     "clients at once (each then gets its tokens more slowly), lower it to save memory."},
    {"max-queue", "batching", KIND_NUMBER, FIELD(max_queue), VERB_SERVE, 1, 1000000, NULL, NULL,
     "128", "N",
     "requests waiting; one more is refused with 429",
     "Lower it to refuse sooner rather than let clients wait; raise it for bursts."},
    {"max-wait-seconds", "batching", KIND_NUMBER, FIELD(max_wait_seconds), VERB_SERVE, 1, 86400,
     "off", NULL, "300", "N",
     "a request predicted to wait longer is refused with 429",
     "Set it to how long your clients are willing to wait."},

    {"host", "network", KIND_LIST, FIELD(hosts), VERB_SERVE | VERB_CHECK, 0, 0, NULL, NULL,
     "127.0.0.1", "ADDRESS",
     "address or name to listen on, IPv4 or IPv6; may be repeated, or several with commas "
     "between; localhost is both 127.0.0.1 and ::1",
     "0.0.0.0 or :: to be reached from other machines; set an API key then, or put a proxy in "
     "front."},
    {"port", "network", KIND_NUMBER, FIELD(port), VERB_SERVE | VERB_CHECK, 0, 65535, NULL, NULL,
     "8080", "N",
     "port to listen on; 0 takes a free one",
     "When 8080 is taken."},
    {"port-file", "network", KIND_TEXT, FIELD(port_file), VERB_SERVE, 0, 0, NULL, NULL, "", "FILE",
     "file that gets the port's number once connections are accepted",
     "With port 0, so that a script learns the port."},
    {"unix", "network", KIND_TEXT, FIELD(unix_path), VERB_SERVE | VERB_CHECK, 0, 0, NULL, NULL, "",
     "PATH",
     "listen on this Unix socket; beside addresses only where --host or --port is given too",
     "For a proxy on the same machine."},
    {"unix-mode", "network", KIND_MODE, FIELD(unix_mode), VERB_SERVE, 0, 0777, NULL, NULL, "0600",
     "OCTAL",
     "permissions of the Unix socket's file: who may connect",
     "0660 with a group that the proxy's user is in, or 0666 for every user of this machine."},
    {"drain-delay", "network", KIND_NUMBER, FIELD(drain_delay), VERB_SERVE, 0, 86400, NULL, NULL,
     "0", "N",
     "seconds after SIGTERM in which /readyz says 503 but new work is still taken",
     "As long as a load balancer needs to notice: its probes' interval times the failures it "
     "waits for."},
    {"drain-seconds", "network", KIND_NUMBER, FIELD(drain_seconds), VERB_SERVE, 0, 86400, NULL,
     NULL, "30", "N",
     "after SIGTERM (and the delay), how long running and queued requests may take",
     "Keep it below what your supervisor waits before it kills."},

    {"api-key-file", "access", KIND_TEXT, FIELD(api_key_file), VERB_SERVE, 0, 0, NULL, NULL, "",
     "FILE",
     "file with one API key a line; requests must then carry one",
     "Whenever others can reach the port."},
    {"allow-origin", "access", KIND_LIST, FIELD(allow_origins), VERB_SERVE, 0, 0, NULL, NULL, "",
     "ORIGIN",
     "origin of web pages that may call the service (*: any); may be repeated",
     "When a page served from elsewhere uses it: https://app.example."},
    {"allow-host", "access", KIND_LIST, FIELD(allow_hosts), VERB_SERVE, 0, 0, NULL, NULL, "",
     "NAME",
     "name that a Host header may carry while bound to loopback (*: any); may be repeated",
     "When a proxy on this machine passes on the Host of its clients: llm.example."},
    {"trusted-proxy", "access", KIND_LIST, FIELD(trusted_proxies), VERB_SERVE, 0, 0, NULL, NULL, "",
     "CIDR",
     "proxies whose X-Forwarded-For the log believes (10.0.0.0/8, ::1, unix); may be repeated",
     "Behind a proxy: its address, so that the log shows its clients and not itself."},

    {"max-connections", "limits", KIND_NUMBER, FIELD(max_connections), VERB_SERVE, 1, 100000, NULL,
     NULL, "1024", "N",
     "connections at once",
     "Raise it for more waiting clients (about 20 KiB each); the limit on open files must allow "
     "it."},
    {"max-header-bytes", "limits", KIND_BYTES, FIELD(max_header_bytes), VERB_SERVE, 1024, 1048576,
     NULL, NULL, "16K", "BYTES",
     "request line and headers of one request; more is refused with 431",
     "When a proxy adds very long headers."},
    {"max-body-bytes", "limits", KIND_BYTES, FIELD(max_body_bytes), VERB_SERVE, 1024, 1073741824,
     NULL, NULL, "4M", "BYTES",
     "body of one request; more is refused with 413",
     "Raise it for prompts of several megabytes; a request may take some twenty times its body "
     "in memory."},
    {"max-body-memory", "limits", KIND_BYTES, FIELD(max_body_memory), VERB_SERVE, 4096,
     1099511627776, NULL, NULL, "256M", "BYTES",
     "bodies of all requests together, until they are decoded; more is refused with 503",
     "Lower it where memory is short: many clients may send large bodies at once."},
    {"max-json-depth", "limits", KIND_NUMBER, FIELD(max_json_depth), VERB_SERVE, 2, 512, NULL, NULL,
     "64", "N",
     "nesting of a request's JSON",
     "No request of this API needs more than a few levels."},
    {"max-json-nodes", "limits", KIND_NUMBER, FIELD(max_json_nodes), VERB_SERVE, 16, 10000000, NULL,
     NULL, "200000", "N",
     "values in a request's JSON",
     "Raise it for prompts given as very long arrays of ids (about 80 bytes of memory each)."},
    {"request-templates", "limits", KIND_SWITCH, FIELD(request_templates), VERB_SERVE, 0, 0, NULL,
     NULL, "off", "on|off",
     "take chat templates that are sent with requests",
     "On only where every client is trusted with the time and memory that the next lines allow."},
    {"template-steps", "limits", KIND_NUMBER, FIELD(template_steps), CHAT, 1000,
     1000000000000.0, NULL, NULL, "20000000", "N",
     "steps that a chat template may take for one request",
     "Raise it for conversations of many thousand messages."},
    {"template-depth", "limits", KIND_NUMBER, FIELD(template_depth), CHAT, 20, 2000, NULL,
     NULL, "500", "N",
     "expressions, blocks and calls of a chat template inside each other",
     "Raise it for tools whose parameters are nested very deep."},
    {"template-memory", "limits", KIND_BYTES, FIELD(template_memory), CHAT, 1048576,
     68719476736.0, NULL, NULL, "128M", "BYTES",
     "memory that a chat template may take for one request",
     "Raise it with max_body_bytes: a conversation takes some ten times its size."},
    {"template-output", "limits", KIND_BYTES, FIELD(template_output), CHAT, 1024,
     536870912.0, NULL, NULL, "16M", "BYTES",
     "text that a chat template may make of one request",
     "Raise it with max_body_bytes."},
    {"template-ms", "limits", KIND_NUMBER, FIELD(template_ms), CHAT, 1, 600000, NULL, NULL,
     "5000", "MS",
     "time that a chat template may take for one request",
     "Lower it where templates are sent with requests."},
    {"grammar-states", "limits", KIND_NUMBER, FIELD(grammar_states), VERB_SERVE | VERB_GENERATE,
     100, 10000000, NULL, NULL, "100000", "N",
     "states of the automaton that an answer's shape is compiled to",
     "Raise it for schemas that are refused as too large; compiling takes longer then."},
    {"grammar-depth", "limits", KIND_NUMBER, FIELD(grammar_depth), VERB_SERVE | VERB_GENERATE, 10,
     1000, NULL, NULL, "200", "N",
     "expressions of an answer's shape inside each other",
     "Raise it for schemas that are nested very deep."},
    {"grammar-memory", "limits", KIND_BYTES, FIELD(grammar_memory), VERB_SERVE | VERB_GENERATE,
     1048576, 68719476736.0, NULL, NULL, "64M", "BYTES",
     "memory that one answer's shape may take, compiled and while it is compiled",
     "Raise it with grammar_states."},
    {"grammar-cache", "limits", KIND_BYTES, FIELD(grammar_cache), VERB_SERVE, 0,
     1099511627776.0, NULL, NULL, "256M", "BYTES",
     "memory for compiled shapes that later requests may ask for again",
     "Raise it where many different schemas are in use; smallmind_grammar_compiles_total tells."},
    {"max-choices", "limits", KIND_NUMBER, FIELD(max_choices), VERB_SERVE, 1, 1024, NULL, NULL,
     "64", "N",
     "answers of one request: its prompts times n",
     "Raise it for evaluation programs that send many prompts at once; the queue must hold them."},
    {"max-inputs", "limits", KIND_NUMBER, FIELD(max_inputs), VERB_SERVE, 1, 16384, NULL, NULL,
     "2048", "N",
     "texts of one request that become vectors or are ranked",
     "Together they take one place of the queue; lower it where requests must stay short."},
    {"max-prompt-tokens", "limits", KIND_NUMBER, FIELD(max_prompt_tokens), VERB_SERVE, 1, 16777216,
     "off", NULL, "off", "N",
     "tokens of one prompt (off: what the context allows)",
     "To keep single requests from taking a whole context's time."},
    {"max-output-tokens", "limits", KIND_NUMBER, FIELD(max_output_tokens), VERB_SERVE, 1, 16777216,
     "off", NULL, "off", "N",
     "most that max_tokens may ask for (off: what the context allows)",
     "To keep single requests short."},
    {"request-seconds", "limits", KIND_NUMBER, FIELD(request_seconds), VERB_SERVE, 1, 86400, NULL,
     NULL, "30", "N",
     "from a request's first byte to its last; slower clients are closed",
     "Raise it for large bodies over slow lines."},
    {"idle-seconds", "limits", KIND_NUMBER, FIELD(idle_seconds), VERB_SERVE, 1, 86400, NULL, NULL,
     "75", "N",
     "how long a connection may stay open between requests",
     "Keep it above the idle time of the proxy or load balancer in front (most have 60 s), which "
     "must be the one to close."},
    {"stall-seconds", "limits", KIND_NUMBER, FIELD(stall_seconds), VERB_SERVE, 1, 86400, NULL, NULL,
     "30", "N",
     "how long a client may take nothing of its answer before it is closed",
     "Raise it for readers that pause."},

    {"log-format", "log", KIND_CHOICE, FIELD(log_format), VERB_SERVE, 0, 0, NULL, "text json",
     "text", "text|json",
     "form of the log's lines",
     "json when a collector reads the log."},
    {"log-file", "log", KIND_TEXT, FIELD(log_file), VERB_SERVE, 0, 0, NULL, NULL, "", "FILE",
     "where the log goes (default: standard error); opened anew on SIGHUP",
     "Where no supervisor keeps what is written to standard error; a rotation then sends SIGHUP."},
    {"log-level", "log", KIND_CHOICE, FIELD(log_level), VERB_SERVE, 0, 0, NULL,
     "debug info warn error", "info", "LEVEL",
     "least weight of a line: debug info warn error",
     "warn leaves out the line that each request writes."},

    {"metrics-names", "log", KIND_CHOICE, FIELD(metrics_names), VERB_SERVE, 0, 0, NULL,
     "smallmind vllm", "smallmind", "NAMES",
     "names of /metrics: smallmind, or vllm for its gauges of load too",
     "vllm for endpoint pickers and autoscalers that know no other names."},

    {"max-tokens", "generate", KIND_NUMBER, FIELD(max_tokens), DRAW, 1, 16777216, "auto",
     NULL, "auto", "N",
     "tokens to generate (auto: 128, or what the context leaves)",
     "Longer or shorter completions."},
    {"min-tokens", "generate", KIND_NUMBER, FIELD(min_tokens), DRAW, 0, 16777216, NULL,
     NULL, "0", "N",
     "the end token is not drawn before this many",
     "When completions end too soon."},
    {"temperature", "generate", KIND_REAL, FIELD(temperature), DRAW | VERB_PROFILE, 0, 5,
     NULL, NULL,
     SAMPLING_TEXT(SAMPLING_TEMPERATURE), "T",
     "0 is greedy, higher is more varied",
     "0 for the same text each time."},
    {"top-k", "generate", KIND_NUMBER, FIELD(top_k), DRAW, 0, 2147483647, NULL, NULL,
     SAMPLING_TEXT(SAMPLING_TOP_K), "N",
     "draw from the N likeliest; 0 is off",
     "Lower for safer text."},
    {"top-p", "generate", KIND_REAL, FIELD(top_p), DRAW, 0, 1, NULL, NULL,
     SAMPLING_TEXT(SAMPLING_TOP_P), "P",
     "draw from the likeliest that together have P; 1 is off",
     "Lower for safer text."},
    {"min-p", "generate", KIND_REAL, FIELD(min_p), DRAW, 0, 1, NULL, NULL,
     SAMPLING_TEXT(SAMPLING_MIN_P), "P",
     "draw from those with at least P of the likeliest's probability; 0 is off",
     "Higher for safer text."},
    {"typical-p", "generate", KIND_REAL, FIELD(typical_p), DRAW, 0, 1, NULL, NULL,
     SAMPLING_TEXT(SAMPLING_TYPICAL_P), "P",
     "draw from the most typical that together have P; 1 is off",
     "Instead of top_p."},
    {"repetition-penalty", "generate", KIND_REAL, FIELD(repetition_penalty), DRAW, 0.1, 10,
     NULL, NULL,
     SAMPLING_TEXT(SAMPLING_REPETITION_PENALTY), "X",
     "divides the odds of tokens in the window; 1 is off",
     "1.1 when the model repeats itself."},
    {"repetition-window", "generate", KIND_NUMBER, FIELD(repetition_window), DRAW, 0,
     16777216, NULL, NULL,
     SAMPLING_TEXT(SAMPLING_REPETITION_WINDOW), "N",
     "last tokens the penalties look at, the prompt's included",
     "Longer against repeated paragraphs."},
    {"presence-penalty", "generate", KIND_REAL, FIELD(presence_penalty), DRAW, -2, 2, NULL,
     NULL,
     SAMPLING_TEXT(SAMPLING_PRESENCE_PENALTY), "X",
     "taken from the logit of each token in the window",
     "Above 0 for new subjects."},
    {"frequency-penalty", "generate", KIND_REAL, FIELD(frequency_penalty), DRAW, -2, 2,
     NULL, NULL,
     SAMPLING_TEXT(SAMPLING_FREQUENCY_PENALTY), "X",
     "the same, once for each time it stands there",
     "Above 0 against repeated words."},
    {"logit-bias", "generate", KIND_BIASES, offsetof(struct settings, biases), 0, DRAW,
     -100, 100, NULL, NULL, "", "ID:X,...",
     "added to the logits of these token ids; -100 bans",
     "To forbid or favour single tokens."},
    {"stop", "generate", KIND_STOPS, FIELD(stop), DRAW, 0, 0, NULL, NULL, "", "TEXT",
     "end before this text (up to 16 times)",
     "When a mark ends the answer you want."},
    {"seed", "generate", KIND_SEED, FIELD(seed), VERB_SERVE | DRAW | VERB_PROFILE, 0, 0,
     NULL, NULL, "random", "N",
     "generate: the draw's seed; serve: of the seeds drawn for requests without one",
     "For the same text each time."},
    {"ignore-eos", "generate", KIND_FLAG, FIELD(ignore_eos), DRAW, 0, 0, NULL, NULL, "off",
     NULL,
     "the end token is never drawn",
     "To measure with a fixed number of tokens."},
    {"parse-special", "generate", KIND_FLAG, FIELD(parse_special), VERB_GENERATE, 0, 0, NULL, NULL,
     "off", NULL,
     "special tokens in the prompt's text become control tokens",
     "When the prompt carries a chat format of its own."},

    {"schema", "generate", KIND_TEXT, FIELD(schema), VERB_GENERATE, 0, 0, NULL, NULL, "", "FILE",
     "the answer is JSON that is valid by the JSON Schema in this file",
     "When a program reads the answer."},
    {"grammar", "generate", KIND_TEXT, FIELD(grammar), VERB_GENERATE, 0, 0, NULL, NULL, "", "FILE",
     "the answer is a text of the GBNF grammar in this file",
     "For shapes that are not JSON."},
    {"regex", "generate", KIND_TEXT, FIELD(regex), VERB_GENERATE, 0, 0, NULL, NULL, "", "EXPR",
     "the answer matches this regular expression from end to end",
     "For short shapes: a date, a number, yes or no."},
    {"choice", "generate", KIND_LIST, FIELD(choices), VERB_GENERATE, 0, 0, NULL, NULL, "",
     "TEXT,...",
     "the answer is one of these texts (may be given several times)",
     "To sort a text into one of several classes."},

    {"special", "tokenize", KIND_FLAG, FIELD(special), VERB_TOKENIZE, 0, 0, NULL, NULL, "off", NULL,
     "special tokens in the text become control tokens",
     "To see a chat format's tokens."},
    {"add-special", "tokenize", KIND_FLAG, FIELD(add_special), VERB_TOKENIZE, 0, 0, NULL, NULL,
     "off", NULL,
     "add BOS and EOS as the model says",
     "To see what a request's prompt becomes."},
    {"no-normalize", "tokenize", KIND_FLAG, FIELD(no_normalize), VERB_TOKENIZE, 0, 0, NULL, NULL,
     "off", NULL,
     "take the text as it stands, where the model's tokenizer normalizes it first",
     "To compare with programs that do not; detokenize then gives the text back byte for byte."},

    {"force", NULL, KIND_FLAG, FIELD(force), VERB_QUANTIZE, 0, 0, NULL, NULL, "off", NULL,
     "overwrite OUT", NULL},
    {"tensors", NULL, KIND_FLAG, FIELD(tensors), VERB_INSPECT, 0, 0, NULL, NULL, "off", NULL,
     "list every tensor", NULL},
    {"header-only", NULL, KIND_FLAG, FIELD(header_only), VERB_INSPECT, 0, 0, NULL, NULL, "off",
     NULL,
     "look at no weight's value: at once, however large the file", NULL},
    {"json", NULL, KIND_FLAG, FIELD(json), VERB_INSPECT | VERB_BENCH | VERB_PROFILE | VERB_LIST, 0,
     0, NULL, NULL, "off", NULL,
     "print the report as JSON", NULL},
    {"quick", NULL, KIND_FLAG, FIELD(quick), VERB_BENCH, 0, 0, NULL, NULL, "off", NULL,
     "a few cells only, each measured shortly", NULL},
    {"cells", NULL, KIND_TEXT, FIELD(cells), VERB_BENCH, 0, 0, NULL, NULL, "", "NAME,...",
     "only cells whose names begin so, such as: prefill 128, decode, batch 8, matmul, softmax, "
     "gelu, silu, attend", NULL},
    {"compare", NULL, KIND_FLAG, FIELD(compare), VERB_BENCH | VERB_PROFILE, 0, 0, NULL, NULL, "off",
     NULL,
     "compare two reports, A.json and B.json, instead of measuring (profile: with --json as JSON)",
     NULL},
    {"sessions", NULL, KIND_NUMBER, FIELD(sessions), VERB_PROFILE, 1, 100000, NULL, NULL, "3", "N",
     "requests to run", NULL},
    {"tokens", NULL, KIND_NUMBER, FIELD(tokens), VERB_PROFILE, 1, 16777216, NULL, NULL, "50", "N",
     "tokens that each generates", NULL},
    {"prompt", NULL, KIND_NUMBER, FIELD(prompt), VERB_PROFILE, 1, 16777216, NULL, NULL, "32", "N",
     "tokens of each one's prompt", NULL},
    {"batch", NULL, KIND_NUMBER, FIELD(batch), VERB_PROFILE, 1, 1024, NULL, NULL, "1", "N",
     "requests at once", NULL},
    {"html", NULL, KIND_FLAG, FIELD(html), VERB_PROFILE, 0, 0, NULL, NULL, "off", NULL,
     "the report as a page with a flame graph and a timeline, to FILE or standard output", NULL},
    {"trace", NULL, KIND_FLAG, FIELD(trace), VERB_PROFILE, 0, 0, NULL, NULL, "off", NULL,
     "the steps in detail as trace events (chrome://tracing, Perfetto), to FILE or standard output",
     NULL},
    {"sizes", NULL, KIND_FLAG, FIELD(sizes), VERB_PROFILE, 0, 0, NULL, NULL, "off", NULL,
     "the same workload on models of several sizes, too", NULL},
    {"fail-on-regression", NULL, KIND_REAL, FIELD(fail_on_regression), VERB_PROFILE, 0, 1000000,
     NULL, NULL, "", "PERCENT",
     "with --compare: exit 1 when B is slower than A by more than this, beyond the noise (0: by "
     "anything beyond it), or the two are not comparable", NULL},
    {"config", NULL, KIND_TEXT, FIELD(config), ALL, 0, 0, NULL, NULL, "", "FILE",
     "INI file with settings (config/smallmind.ini shows them all)", NULL},
    {"print-config", NULL, KIND_FLAG, FIELD(print_config), ALL, 0, 0, NULL, NULL, "off", NULL,
     "print each setting, its value and where it came from, and end", NULL},
    {"help", NULL, KIND_FLAG, FIELD(help), ALL | VERB_VERSION | VERB_HELP, 0, 0, NULL, NULL, "off",
     NULL,
     "print the verb's usage and end (also -h)", NULL},
};
/* clang-format on */
const size_t settings_table_n = sizeof settings_table / sizeof settings_table[0];

const struct setting *settings_find(const char *name)
{
    for (size_t i = 0; i < settings_table_n; i++)
        if (strcmp(settings_table[i].name, name) == 0)
            return &settings_table[i];
    return NULL;
}

const char *settings_verb_name(enum verb verb)
{
    for (size_t i = 0; i < settings_verbs_n; i++)
        if (settings_verbs[i].verb == verb)
            return settings_verbs[i].name;
    return "";
}

void settings_env_name(const struct setting *setting, char *out)
{
    out = stpcpy(out, "SMALLMIND_");
    const char *name = setting->name;
    for (; *name != '\0'; name++)
        *out++ = *name == '-' ? '_' : (char)toupper((unsigned char)*name);
    *out = '\0';
}

void settings_ini_name(const struct setting *setting, char *out)
{
    const char *name = setting->name;
    for (; *name != '\0'; name++)
        *out++ = *name == '-' ? '_' : *name;
    *out = '\0';
}
