/* http_load.c - a closed-loop load client for streaming completions: N connections, each asking
 * again as soon as its answer is complete, for a given time; counts tokens, and the time to the
 * first one and between two of a stream.
 *
 * One thread, epoll, no allocation while it runs, so that it is not itself the limit. Speaks to
 * SmallMind's POST /generate and, with --openai, to any server's POST /v1/completions
 * (llama-server's, say): there a token is one `data:` event that does not finish the answer. With
 * --requests, requests come from a file, "PATH BODY" a line, which the clients take in turn (for
 * dialects mixed: bench/dialects.py); their tokens are not counted, only their answers. With
 * --beside N one more client asks for one token after a prompt of N others, again and again, each
 * time another prompt, with a pause between: gaps in streams that such a prompt overlaps are
 * counted apart.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* The last chunk of an answer. */
#define ANSWER_END "\r\n0\r\n\r\n"

enum {
    BUFFER = 1 << 16,
    MAX_SAMPLES = 1 << 20,
    MAX_REQUESTS = 32,
    REQUEST = 1 << 15,
    LEAST_PROMPTS = 2,
    ANSWER_END_BYTES = sizeof ANSWER_END - 1
};

struct request {
    size_t n;
    char text[REQUEST];
};

struct client {
    int fd;
    const struct request *request;
    double asked;                /* seconds; when the request was written */
    double last;                 /* and when its last token came */
    bool got_bytes, got_token;   /* of this answer */
    bool failed;                 /* this answer's status is not 200 */
    char tail[ANSWER_END_BYTES]; /* the last bytes that came: the end may be cut anywhere */
    size_t n;                    /* bytes in the buffer */
    char buffer[BUFFER];
};

struct samples { /* seconds */
    double *values;
    size_t n;
};

struct load {
    const char *host, *port, *prompt, *file; /* file: of requests, or NULL */
    unsigned n_clients, n_predict, n_ids, n_beside;
    uint64_t n_wanted;    /* answers after which it ends; 0: by time alone */
    double seconds, warm; /* warm: seconds before that, which count nothing */
    double pause;         /* seconds between two prompts of the one beside */
    bool openai;
    struct request requests[MAX_REQUESTS];
    unsigned n_requests;
    struct client *clients;
    uint64_t n_tokens, n_answers, n_errors;
    /* To the first token; between two of a stream, no prompt beside it and beside one; to that
     * one's token. */
    struct samples first, gaps, gaps_beside, prompts;
    struct { /* the client with prompts: the last of the list */
        struct client *client;
        struct request request;
        uint64_t salt;
        bool active;
        double ended; /* when its last prompt was answered */
    } beside;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void add_sample(struct samples *samples, double value)
{
    if (samples->n < MAX_SAMPLES)
        samples->values[samples->n++] = value;
}

/* A list of made-up token ids; another salt, other ids from the first one on. */
static bool make_ids(unsigned n_ids, uint64_t salt, char *out, size_t room)
{
    size_t n = 0;
    for (unsigned i = 0; i < n_ids && n < room; i++) {
        unsigned id = 40 + (unsigned)((salt * (37 + i % 2 * 76) + i * 7) % 200);
        n += (size_t)snprintf(out + n, room - n, "%c%u", i == 0 ? '[' : ',', id);
    }
    return n + 2 <= room && snprintf(out + n, room - n, "]") == 1;
}

/* A quoted text, or n_ids made-up token ids: both servers take either. */
static bool make_prompt(const struct load *load, char *out, size_t room)
{
    if (load->n_ids > 0)
        return make_ids(load->n_ids, 0, out, room);
    return (size_t)snprintf(out, room, "\"%s\"", load->prompt) < room;
}

static bool fill_request(const struct load *load, struct request *request, const char *path,
                         const char *body)
{
    int n = snprintf(request->text, sizeof request->text,
                     "POST %s HTTP/1.1\r\nHost: %s:%s\r\nContent-Type: "
                     "application/json\r\nContent-Length: %zu\r\n\r\n%s",
                     path, load->host, load->port, strlen(body), body);
    request->n = (size_t)n;
    return request->n < sizeof request->text;
}

static bool add_request(struct load *load, const char *path, const char *body)
{
    return load->n_requests < MAX_REQUESTS &&
           fill_request(load, &load->requests[load->n_requests++], path, body);
}

static bool read_requests(struct load *load)
{
    FILE *file = fopen(load->file, "r");
    char line[REQUEST];
    bool ok = file != NULL;
    while (ok && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        char *body = strchr(line, ' ');
        ok = body != NULL;
        if (ok)
            *body++ = '\0';
        ok = ok && add_request(load, line, body);
    }
    if (file)
        fclose(file);
    return ok && load->n_requests > 0;
}

static const char *path_of(const struct load *load)
{
    return load->openai ? "/v1/completions" : "/generate";
}

static void make_body(char *out, size_t room, const char *prompt, unsigned n_predict)
{
    snprintf(out, room, "{\"prompt\":%s,\"max_tokens\":%u,\"stream\":true,\"ignore_eos\":true}",
             prompt, n_predict);
}

static bool make_requests(struct load *load)
{
    char prompt[REQUEST / 2], body[REQUEST - 512];
    if (load->file)
        return read_requests(load);
    if (!make_prompt(load, prompt, sizeof prompt))
        return false;
    make_body(body, sizeof body, prompt, load->n_predict);
    return add_request(load, path_of(load), body);
}

/* The next prompt of the client beside the streams. */
static bool make_beside(struct load *load)
{
    char prompt[REQUEST / 2], body[REQUEST - 512];
    if (!make_ids(load->n_beside, ++load->beside.salt, prompt, sizeof prompt))
        return false;
    make_body(body, sizeof body, prompt, 1);
    return fill_request(load, &load->beside.request, path_of(load), body);
}

static int dial(const struct load *load)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *info = NULL;
    if (getaddrinfo(load->host, load->port, &hints, &info) != 0)
        return -1;
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (fd >= 0 && connect(fd, info->ai_addr, info->ai_addrlen) != 0) {
        close(fd);
        fd = -1;
    }
    freeaddrinfo(info);
    if (fd >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    }
    return fd;
}

static bool ask(struct client *client)
{
    client->n = 0;
    client->got_bytes = client->got_token = client->failed = false;
    client->asked = now();
    const struct request *request = client->request;
    return send(client->fd, request->text, request->n, MSG_NOSIGNAL) == (ssize_t)request->n;
}

/* Tokens of the events in [text, text + n): numbers of `"tokens":[...]` lists, or events with
 * OpenAI's form. */
static uint64_t count_tokens(const char *text, size_t n, bool openai)
{
    static const char mark[] = "\"tokens\":[", event[] = "\"finish_reason\":null";
    const char *needle = openai ? event : mark, *end = text + n;
    size_t n_needle = strlen(needle);
    uint64_t total = 0;
    for (const char *p = text; (p = memmem(p, (size_t)(end - p), needle, n_needle));
         p += n_needle) {
        if (openai) {
            total++;
            continue;
        }
        const char *q = p + n_needle;
        if (q < end && *q != ']')
            for (total++; q < end && *q != ']'; q++)
                total += *q == ',';
    }
    return total;
}

/* Remembers the end of what came; true when it is an answer's. */
static bool ended(struct client *client, const char *bytes, size_t n)
{
    size_t keep = n < ANSWER_END_BYTES ? ANSWER_END_BYTES - n : 0;
    memmove(client->tail, client->tail + ANSWER_END_BYTES - keep, keep);
    memcpy(client->tail + keep, bytes + n - (ANSWER_END_BYTES - keep), ANSWER_END_BYTES - keep);
    return memcmp(client->tail, ANSWER_END, ANSWER_END_BYTES) == 0;
}

/* When they came: after the request, or after the tokens before them. */
static void note_tokens(struct load *load, struct client *client, uint64_t tokens)
{
    double time = now();
    bool is_first = !client->got_token;
    client->got_token = true;
    if (client == load->beside.client) {
        if (is_first)
            add_sample(&load->prompts, time - client->asked);
        return;
    }
    bool is_beside = load->beside.active || load->beside.ended > client->last;
    load->n_tokens += tokens;
    if (is_first)
        add_sample(&load->first, time - client->asked);
    else
        add_sample(is_beside ? &load->gaps_beside : &load->gaps, time - client->last);
    client->last = time;
}

/* Counts the whole lines that have come and keeps the rest. */
static void digest(struct load *load, struct client *client)
{
    char *last = memrchr(client->buffer, '\n', client->n);
    if (!last)
        return;
    size_t n = (size_t)(last + 1 - client->buffer);
    if (n > 12 && memcmp(client->buffer, "HTTP/1.1 ", 9) == 0)
        client->failed = memcmp(client->buffer + 9, "200", 3) != 0;
    uint64_t tokens = count_tokens(client->buffer, n, load->openai);
    if (tokens > 0)
        note_tokens(load, client, tokens);
    client->n -= n;
    memmove(client->buffer, client->buffer + n, client->n);
}

static bool serve_client(struct load *load, struct client *client)
{
    ssize_t got = recv(client->fd, client->buffer + client->n, BUFFER - client->n, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (got <= 0)
        return false;
    client->got_bytes = true;
    bool done = ended(client, client->buffer + client->n, (size_t)got);
    client->n += (size_t)got;
    digest(load, client);
    if (client->failed || client->n == BUFFER)
        return false;
    if (!done)
        return true;
    if (client == load->beside.client) {
        load->beside.active = false;
        load->beside.ended = now();
        return true;
    }
    load->n_answers++;
    return ask(client);
}

/* Connected and watched; true also for one that has nothing to ask yet. */
static bool reach(const struct load *load, int epoll, struct client *client, bool asks)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
    client->fd = dial(load);
    return client->fd >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, client->fd, &event) == 0 &&
           (!asks || ask(client));
}

static bool begin(struct load *load, int epoll)
{
    size_t n = load->n_clients + (load->n_beside > 0 ? 1 : 0);
    struct samples *all[] = {&load->first, &load->gaps, &load->gaps_beside, &load->prompts};
    load->clients = calloc(n, sizeof *load->clients);
    bool ok = epoll >= 0 && load->clients;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        all[i]->values = malloc(MAX_SAMPLES * sizeof *all[i]->values);
        ok = ok && all[i]->values;
    }
    if (!ok)
        return false;
    if (load->n_beside > 0) {
        load->beside.client = &load->clients[load->n_clients];
        load->beside.client->request = &load->beside.request;
        /* Another run of this program must not find its prompts in the server's cache. */
        load->beside.salt = (uint64_t)(now() * 1e3);
    }
    for (size_t i = 0; i < n; i++) {
        bool is_beside = &load->clients[i] == load->beside.client;
        if (!is_beside)
            load->clients[i].request = &load->requests[i % load->n_requests];
        if (!reach(load, epoll, &load->clients[i], !is_beside)) {
            fprintf(stderr, "cannot reach %s:%s: %s\n", load->host, load->port, strerror(errno));
            return false;
        }
    }
    load->beside.ended = now();
    return true;
}

/* The next prompt beside the streams, when its pause is over. */
static bool ask_beside(struct load *load)
{
    if (load->n_beside == 0 || load->beside.active || now() - load->beside.ended < load->pause)
        return true;
    load->beside.active = true;
    return make_beside(load) && ask(load->beside.client);
}

static bool take_events(struct load *load, int epoll)
{
    struct epoll_event events[256];
    int n = epoll_wait(epoll, events, 256, load->n_beside > 0 ? 10 : 100);
    for (int i = 0; i < n; i++) {
        struct client *client = events[i].data.ptr;
        if (serve_client(load, client))
            continue;
        /* Some servers close a connection after an answer: that is not one that failed. */
        bool asks = client != load->beside.client || load->beside.active;
        load->n_errors += asks && client->got_bytes;
        close(client->fd);
        if (!reach(load, epoll, client, asks))
            return false;
    }
    return ask_beside(load);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Milliseconds; sorts them. */
static double percentile(struct samples *samples, size_t percent)
{
    qsort(samples->values, samples->n, sizeof *samples->values, by_value);
    return samples->n ? samples->values[samples->n * percent / 100] * 1e3 : 0;
}

static void print_found(struct load *load, double took)
{
    printf("{\"clients\":%u,\"seconds\":%.2f,\"tokens\":%llu,\"answers\":%llu,\"errors\":%llu,"
           "\"tokens_per_second\":%.1f,\"answers_per_second\":%.2f,"
           "\"first_token_ms_p50\":%.3f,\"first_token_ms_p99\":%.3f,"
           "\"gap_ms_p50\":%.3f,\"gap_ms_p99\":%.3f",
           load->n_clients, took, (unsigned long long)load->n_tokens,
           (unsigned long long)load->n_answers, (unsigned long long)load->n_errors,
           (double)load->n_tokens / took, (double)load->n_answers / took,
           percentile(&load->first, 50), percentile(&load->first, 99), percentile(&load->gaps, 50),
           percentile(&load->gaps, 99));
    if (load->n_beside > 0)
        printf(",\"prompts\":%zu,\"prompt_ms_p50\":%.3f,\"gaps_beside\":%zu,"
               "\"gap_beside_ms_p50\":%.3f,\"gap_beside_ms_p99\":%.3f",
               load->prompts.n, percentile(&load->prompts, 50), load->gaps_beside.n,
               percentile(&load->gaps_beside, 50), percentile(&load->gaps_beside, 99));
    printf("}\n");
}

/* Beside streams at least LEAST_PROMPTS must be answered, within reason. */
static bool goes_on(const struct load *load, double took)
{
    bool wants_prompts = load->n_beside > 0 && load->prompts.n < LEAST_PROMPTS;
    if (load->n_wanted > 0)
        return load->n_answers < load->n_wanted || wants_prompts;
    return took < load->seconds * (wants_prompts ? 20 : 1);
}

static int run(struct load *load)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!begin(load, epoll))
        return 1;
    double start = now(), counted = load->warm > 0 ? 0 : start;
    while (counted == 0 || goes_on(load, now() - counted)) {
        if (counted == 0 && now() - start >= load->warm) {
            counted = now();
            load->n_tokens = load->n_answers = 0;
            load->first.n = load->gaps.n = load->gaps_beside.n = load->prompts.n = 0;
        }
        if (!take_events(load, epoll))
            return 1;
    }
    print_found(load, now() - counted);
    return 0;
}

static bool take_option(struct load *load, int c)
{
    switch (c) {
    case 'h':
        load->host = optarg;
        return true;
    case 'p':
        load->port = optarg;
        return true;
    case 'c':
        load->n_clients = (unsigned)atoi(optarg);
        return true;
    case 'n':
        load->n_predict = (unsigned)atoi(optarg);
        return true;
    case 's':
        load->seconds = atof(optarg);
        return true;
    case 't':
        load->prompt = optarg;
        return true;
    case 'o':
        load->openai = true;
        return true;
    case 'w':
        load->warm = atof(optarg);
        return true;
    case 'i':
        load->n_ids = (unsigned)atoi(optarg);
        return true;
    case 'r':
        load->file = optarg;
        return true;
    case 'a':
        load->n_wanted = strtoull(optarg, NULL, 10);
        return true;
    case 'b':
        load->n_beside = (unsigned)atoi(optarg);
        return true;
    case 'u':
        load->pause = atof(optarg);
        return true;
    default:
        return false;
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"host", required_argument, NULL, 'h'},    {"port", required_argument, NULL, 'p'},
        {"clients", required_argument, NULL, 'c'}, {"tokens", required_argument, NULL, 'n'},
        {"seconds", required_argument, NULL, 's'}, {"prompt", required_argument, NULL, 't'},
        {"openai", no_argument, NULL, 'o'},        {"warm", required_argument, NULL, 'w'},
        {"ids", required_argument, NULL, 'i'},     {"requests", required_argument, NULL, 'r'},
        {"answers", required_argument, NULL, 'a'}, {"beside", required_argument, NULL, 'b'},
        {"pause", required_argument, NULL, 'u'},   {0},
    };
    static struct load load = {.host = "127.0.0.1",
                               .port = "8080",
                               .prompt = "Once upon a time",
                               .n_clients = 8,
                               .n_predict = 64,
                               .seconds = 10,
                               .pause = 0.3};
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;)
        if (!take_option(&load, c)) {
            fprintf(stderr, "usage: http_load [--host H] [--port P] [--clients N] [--tokens N] "
                            "[--warm S] [--seconds S | --answers N]\n"
                            "                 [--prompt TEXT | --ids N | --requests FILE] "
                            "[--openai] [--beside N [--pause S]]\n");
            return 2;
        }
    if (load.n_clients == 0 || !make_requests(&load)) {
        fprintf(stderr, "http_load: no client, no requests, or one that is too long\n");
        return 2;
    }
    int code = run(&load);
    free(load.clients);
    free(load.first.values);
    free(load.gaps.values);
    free(load.gaps_beside.values);
    free(load.prompts.values);
    return code;
}
