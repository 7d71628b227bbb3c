/* http_load.c - a closed-loop load client for streaming completions: N connections, each asking
 * again as soon as its answer is complete, for a given time; counts tokens, and the time to the
 * first one.
 *
 * One thread, epoll, no allocation while it runs, so that it is not itself the limit. Speaks to
 * SmallMind's POST /generate and, with --openai, to any server's POST /v1/completions
 * (llama-server's, say): there a token is one `data:` event that does not finish the answer. With
 * --requests, requests come from a file, "PATH BODY" a line, which the clients take in turn (for
 * dialects mixed: bench/dialects.py); their tokens are not counted, only their answers.
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
    ANSWER_END_BYTES = sizeof ANSWER_END - 1
};

struct request {
    size_t n;
    char text[8192];
};

struct client {
    int fd;
    const struct request *request;
    double asked;                /* seconds; when the request was written */
    bool got_bytes, got_token;   /* of this answer */
    bool failed;                 /* this answer's status is not 200 */
    char tail[ANSWER_END_BYTES]; /* the last bytes that came: the end may be cut anywhere */
    size_t n;                    /* bytes in the buffer */
    char buffer[BUFFER];
};

struct load {
    const char *host, *port, *prompt, *file; /* file: of requests, or NULL */
    unsigned n_clients, n_predict, n_ids;
    uint64_t n_wanted;    /* answers after which it ends; 0: by time alone */
    double seconds, warm; /* warm: seconds before that, which count nothing */
    bool openai;
    struct request requests[MAX_REQUESTS];
    unsigned n_requests;
    struct client *clients;
    uint64_t n_tokens, n_answers, n_errors;
    double *first; /* [n_first]: seconds to the first token */
    size_t n_first;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* A quoted text, or n_ids made-up token ids: both servers take either. */
static bool make_prompt(const struct load *load, char *out, size_t room)
{
    size_t n = 0;
    if (load->n_ids == 0)
        return (size_t)snprintf(out, room, "\"%s\"", load->prompt) < room;
    for (unsigned i = 0; i < load->n_ids && n < room; i++)
        n += (size_t)snprintf(out + n, room - n, "%c%u", i == 0 ? '[' : ',', 40 + i * 7 % 200);
    return n + 2 <= room && snprintf(out + n, room - n, "]") == 1;
}

static bool add_request(struct load *load, const char *path, const char *body)
{
    if (load->n_requests == MAX_REQUESTS)
        return false;
    struct request *request = &load->requests[load->n_requests++];
    int n = snprintf(request->text, sizeof request->text,
                     "POST %s HTTP/1.1\r\nHost: %s:%s\r\nContent-Type: "
                     "application/json\r\nContent-Length: %zu\r\n\r\n%s",
                     path, load->host, load->port, strlen(body), body);
    request->n = (size_t)n;
    return request->n < sizeof request->text;
}

static bool read_requests(struct load *load)
{
    FILE *file = fopen(load->file, "r");
    char line[8192];
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

static bool make_requests(struct load *load)
{
    char prompt[4096], body[5120];
    if (load->file)
        return read_requests(load);
    if (!make_prompt(load, prompt, sizeof prompt))
        return false;
    snprintf(body, sizeof body,
             "{\"prompt\":%s,\"max_tokens\":%u,\"stream\":true,\"ignore_eos\":true}", prompt,
             load->n_predict);
    return add_request(load, load->openai ? "/v1/completions" : "/generate", body);
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
    if (tokens > 0 && !client->got_token) {
        client->got_token = true;
        if (load->n_first < MAX_SAMPLES)
            load->first[load->n_first++] = now() - client->asked;
    }
    load->n_tokens += tokens;
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
    load->n_answers++;
    return ask(client);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int run(struct load *load)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    load->clients = calloc(load->n_clients, sizeof *load->clients);
    load->first = malloc(MAX_SAMPLES * sizeof *load->first);
    if (epoll < 0 || !load->clients || !load->first)
        return 1;
    for (unsigned i = 0; i < load->n_clients; i++) {
        struct client *client = &load->clients[i];
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
        client->request = &load->requests[i % load->n_requests];
        client->fd = dial(load);
        if (client->fd < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, client->fd, &event) != 0 ||
            !ask(client)) {
            fprintf(stderr, "cannot reach %s:%s: %s\n", load->host, load->port, strerror(errno));
            return 1;
        }
    }
    double start = now(), begin = load->warm > 0 ? 0 : start;
    while (begin == 0 || (load->n_wanted > 0 ? load->n_answers < load->n_wanted
                                             : now() - begin < load->seconds)) {
        if (begin == 0 && now() - start >= load->warm) {
            begin = now();
            load->n_tokens = load->n_answers = load->n_first = 0;
        }
        struct epoll_event events[256];
        int n = epoll_wait(epoll, events, 256, 100);
        for (int i = 0; i < n; i++) {
            struct client *client = events[i].data.ptr;
            if (serve_client(load, client))
                continue;
            /* Some servers close a connection behind an answer: that is not one that failed. */
            load->n_errors += client->got_bytes;
            close(client->fd);
            struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
            client->fd = dial(load);
            if (client->fd < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, client->fd, &event) != 0 ||
                !ask(client))
                return 1;
        }
    }
    double took = now() - begin;
    qsort(load->first, load->n_first, sizeof *load->first, by_value);
    double p50 = load->n_first ? load->first[load->n_first / 2] : 0;
    double p99 = load->n_first ? load->first[load->n_first * 99 / 100] : 0;
    printf("{\"clients\":%u,\"seconds\":%.2f,\"tokens\":%llu,\"answers\":%llu,\"errors\":%llu,"
           "\"tokens_per_second\":%.1f,\"answers_per_second\":%.2f,"
           "\"first_token_ms_p50\":%.3f,\"first_token_ms_p99\":%.3f}\n",
           load->n_clients, took, (unsigned long long)load->n_tokens,
           (unsigned long long)load->n_answers, (unsigned long long)load->n_errors,
           (double)load->n_tokens / took, (double)load->n_answers / took, p50 * 1e3, p99 * 1e3);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"host", required_argument, NULL, 'h'},    {"port", required_argument, NULL, 'p'},
        {"clients", required_argument, NULL, 'c'}, {"tokens", required_argument, NULL, 'n'},
        {"seconds", required_argument, NULL, 's'}, {"prompt", required_argument, NULL, 't'},
        {"openai", no_argument, NULL, 'o'},        {"warm", required_argument, NULL, 'w'},
        {"ids", required_argument, NULL, 'i'},     {"requests", required_argument, NULL, 'r'},
        {"answers", required_argument, NULL, 'a'}, {0},
    };
    static struct load load = {.host = "127.0.0.1",
                               .port = "8080",
                               .prompt = "Once upon a time",
                               .n_clients = 8,
                               .n_predict = 64,
                               .seconds = 10};
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 'h':
            load.host = optarg;
            break;
        case 'p':
            load.port = optarg;
            break;
        case 'c':
            load.n_clients = (unsigned)atoi(optarg);
            break;
        case 'n':
            load.n_predict = (unsigned)atoi(optarg);
            break;
        case 's':
            load.seconds = atof(optarg);
            break;
        case 't':
            load.prompt = optarg;
            break;
        case 'o':
            load.openai = true;
            break;
        case 'w':
            load.warm = atof(optarg);
            break;
        case 'i':
            load.n_ids = (unsigned)atoi(optarg);
            break;
        case 'r':
            load.file = optarg;
            break;
        case 'a':
            load.n_wanted = strtoull(optarg, NULL, 10);
            break;
        default:
            fprintf(stderr, "usage: http_load [--host H] [--port P] [--clients N] [--tokens N] "
                            "[--warm S] [--seconds S | --answers N]\n"
                            "                 [--prompt TEXT | --ids N | --requests FILE] "
                            "[--openai]\n");
            return 2;
        }
    }
    if (load.n_clients == 0 || !make_requests(&load)) {
        fprintf(stderr, "http_load: no client, no requests, or one that is too long\n");
        return 2;
    }
    int code = run(&load);
    free(load.clients);
    free(load.first);
    return code;
}
