/* guard.c - the grammar, byte by byte. Pure; loop thread. */
#include "server/http/guard.h"

#include "base/chars.h"
#include "server/http/headers.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

static const char why_name[] = "a header's name must be a token, directly followed by a colon";
static const char why_value[] = "a header's value must not hold control characters";
static const char why_line[] = "a line must end with CR and LF, and neither may stand alone";

static void fault(struct guard *g, enum refusal refusal, const char *why)
{
    g->state = GUARD_FAULT;
    g->refusal = refusal;
    g->why = why;
}

static void bad(struct guard *g, const char *why)
{
    fault(g, REFUSAL_BAD_REQUEST, why);
}

static void begin_message(struct guard *g)
{
    struct guard fresh = {.max_head = g->max_head, .n_heads = g->n_heads};
    *g = fresh;
}

void guard_init(struct guard *guard, size_t max_head)
{
    *guard = (struct guard){.max_head = max_head};
}

void guard_end(struct guard *guard)
{
    guard->state = GUARD_ENDED;
}

static bool keep(struct guard *g, char c) /* false: there is no room */
{
    if (g->n_text == sizeof g->text - 1)
        return false;
    g->text[g->n_text++] = c;
    g->text[g->n_text] = '\0';
    return true;
}

static void drop_text(struct guard *g)
{
    g->n_text = 0;
    g->text[0] = '\0';
}

static void count_record(struct guard *g)
{
    if (++g->n_records > GUARD_RECORDS_MAX)
        fault(g, REFUSAL_HEADERS, "the request has too many arguments or cookies");
}

/* --- the request line --- */

static void look_at_start(struct guard *g, char c)
{
    g->began = true;
    if (c == '\r' && !g->blank) { /* one empty line before a message is forgiven */
        g->blank = true;
        g->state = GUARD_START_LF;
    } else if (headers_is_token(&c, 1)) {
        g->state = GUARD_METHOD;
        g->method[0] = c;
        g->n_text = 1;
    } else if (c == 0x16) {
        bad(g, "TLS is not spoken here, only plain HTTP");
    } else {
        bad(g, "a request must begin with its method");
    }
}

static void look_at_method(struct guard *g, char c)
{
    if (c == ' ') {
        drop_text(g);
        g->state = GUARD_TARGET;
    } else if (!headers_is_token(&c, 1) || g->n_text == 32) {
        bad(g, "a method must be a short token, followed by one space");
    } else {
        if (g->n_text < sizeof g->method - 1)
            g->method[g->n_text] = c;
        g->n_text++;
    }
}

static void look_at_target(struct guard *g, char c)
{
    if (c == ' ' && g->n_text > 0) {
        drop_text(g);
        g->state = GUARD_VERSION;
        return;
    }
    if ((unsigned char)c <= 0x20 || (unsigned char)c >= 0x7f) {
        bad(g, "the request's target must be visible ASCII; encode other bytes with %");
        return;
    }
    g->n_text = 1; /* it is not empty */
    if ((c == '?' && !g->query) || (c == '&' && g->query))
        count_record(g);
    g->query |= c == '?';
}

static void take_version(struct guard *g)
{
    static const char pattern[] = "HTTP/d.d";
    bool valid = g->n_text == sizeof pattern - 1;
    for (size_t i = 0; valid && i < g->n_text; i++)
        valid =
            pattern[i] == 'd' ? g->text[i] >= '0' && g->text[i] <= '9' : g->text[i] == pattern[i];
    g->old = strcmp(g->text, "HTTP/1.0") == 0;
    if (!valid)
        bad(g, "a request line is a method, a target and HTTP/1.1, with one space between");
    else if (!g->old && strcmp(g->text, "HTTP/1.1") != 0)
        fault(g, REFUSAL_VERSION, "only HTTP/1.1 and HTTP/1.0 are spoken here");
    else
        g->state = GUARD_LINE_LF;
    drop_text(g);
}

static void look_at_version(struct guard *g, char c)
{
    if (c == '\r')
        take_version(g);
    else if (c == '\n')
        bad(g, why_line);
    else if (!keep(g, c))
        bad(g, "a request line is a method, a target and HTTP/1.1, with one space between");
}

/* --- fields --- */

static bool is_field(const struct guard *g, const char *name)
{
    return g->n_name == strlen(name) && strncmp(g->name, name, g->n_name) == 0;
}

/* The fields whose values are kept: all the others are only looked at. */
static bool is_framing(const struct guard *g)
{
    return is_field(g, "content-length") || is_field(g, "transfer-encoding") ||
           is_field(g, "connection");
}

static void name_add(struct guard *g, char c)
{
    if (g->n_name < sizeof g->name) /* a longer one is none of those that matter */
        g->name[g->n_name++] = c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c;
}

static void look_at_line(struct guard *g, char c)
{
    g->n_name = 0;
    drop_text(g);
    if (c == '\r') {
        g->state = GUARD_HEAD_LF;
    } else if (c == ' ' || c == '\t') {
        bad(g, "a header must not be folded over several lines");
    } else if (!headers_is_token(&c, 1)) {
        bad(g, c == '\n' ? why_line : why_name);
    } else if (++g->n_fields > GUARD_FIELDS_MAX) {
        fault(g, REFUSAL_HEADERS, "the request has too many headers");
    } else {
        g->state = GUARD_NAME;
        name_add(g, c);
        count_record(g);
    }
}

static void look_at_name(struct guard *g, char c)
{
    if (c == ':')
        g->state = GUARD_VALUE;
    else if (headers_is_token(&c, 1))
        name_add(g, c);
    else
        bad(g, why_name);
}

/* One of a list, in any case of letters. */
static bool list_has(const char *list, const char *item)
{
    size_t n = strlen(item);
    while (*list != '\0') {
        size_t n_item = strcspn(list, ","), n_trimmed = n_item;
        const char *next = list + n_item;
        while (n_trimmed > 0 && strchr(" \t", list[n_trimmed - 1]) != NULL)
            n_trimmed--;
        if (n_trimmed == n && strncasecmp(list, item, n) == 0)
            return true;
        list = next + strspn(next, ", \t");
    }
    return false;
}

/* A field that decides about the message's end. The library takes blanks after a value as its part,
 * headers.c does not. */
static void take_framing(struct guard *g)
{
    if (is_field(g, "connection")) {
        g->closes |= list_has(g->text, "close");
        g->stays |= list_has(g->text, "keep-alive");
    } else if (g->n_text > 0 && chars_have(" \t", g->text[g->n_text - 1])) {
        bad(g, "Content-Length and Transfer-Encoding must not be followed by blanks");
    } else if (is_field(g, "content-length")) {
        uint64_t n = 0;
        g->doubtful |= g->length || g->chunked;
        if (!headers_parse_length(g->text, &n))
            bad(g, "Content-Length must be a decimal number");
        g->length = true;
        g->n_left = n;
    } else {
        g->doubtful |= g->length || g->chunked || g->old || strcasecmp(g->text, "chunked") != 0;
        g->chunked = true;
    }
}

static void look_at_value(struct guard *g, char c)
{
    unsigned char byte = (unsigned char)c;
    bool framing = !g->trailers && is_framing(g);
    if (c == '\r') {
        if (framing)
            take_framing(g);
        if (g->state != GUARD_FAULT)
            g->state = GUARD_LINE_LF;
    } else if (c == '\n') {
        bad(g, why_line);
    } else if ((byte < 0x20 && c != '\t') || byte == 0x7f) {
        bad(g, why_value);
    } else if (framing && (g->n_text > 0 || (c != ' ' && c != '\t')) && !keep(g, c)) {
        bad(g, "Connection, Content-Length and Transfer-Encoding must be short");
    } else if (c == ';' && is_field(g, "cookie")) {
        count_record(g);
    }
}

/* --- what follows the head --- */

static void end_message(struct guard *g)
{
    bool last = g->closes || (g->old && !g->stays);
    begin_message(g);
    if (last)
        g->state = GUARD_ENDED;
}

static void end_head(struct guard *g)
{
    if (g->trailers) {
        end_message(g);
        return;
    }
    g->n_heads++;
    g->n_head = 0;
    if (g->doubtful)
        g->state = GUARD_ENDED;
    else if (g->chunked)
        g->state = GUARD_SIZE;
    else if (g->n_left > 0)
        g->state = GUARD_BODY;
    else
        end_message(g);
}

static void look_at_size(struct guard *g, char c)
{
    int digit = chars_hex(c);
    if (digit >= 0 && g->n_text < 15) {
        g->n_left = (g->n_text == 0 ? 0 : g->n_left) * 16 + (uint64_t)digit;
        g->n_text++;
    } else if (g->n_text == 0 || (c != '\r' && c != ';')) {
        bad(g, "a chunk must begin with its size in hexadecimal digits");
    } else {
        g->state = c == ';' ? GUARD_EXTENSION : GUARD_SIZE_LF;
        g->n_head = 0;
    }
}

static void look_at_extension(struct guard *g, char c)
{
    unsigned char byte = (unsigned char)c;
    if (c == '\r')
        g->state = GUARD_SIZE_LF;
    else if ((byte < 0x20 && c != '\t') || byte == 0x7f || ++g->n_head > 256)
        bad(g, "a chunk's extension must be short and hold no control characters");
}

static void begin_data(struct guard *g)
{
    drop_text(g);
    g->n_head = 0;
    g->trailers = g->n_left == 0;
    g->state = g->trailers ? GUARD_LINE : GUARD_DATA;
}

static void expect(struct guard *g, char c, char wanted, enum guard_state next)
{
    if (c == wanted)
        g->state = next;
    else
        bad(g, why_line);
}

static void look_at_byte(struct guard *g, char c)
{
    switch (g->state) {
    case GUARD_START:
        look_at_start(g, c);
        break;
    case GUARD_START_LF:
        expect(g, c, '\n', GUARD_START);
        break;
    case GUARD_METHOD:
        look_at_method(g, c);
        break;
    case GUARD_TARGET:
        look_at_target(g, c);
        break;
    case GUARD_VERSION:
        look_at_version(g, c);
        break;
    case GUARD_LINE:
        look_at_line(g, c);
        break;
    case GUARD_NAME:
        look_at_name(g, c);
        break;
    case GUARD_VALUE:
        look_at_value(g, c);
        break;
    case GUARD_LINE_LF:
        expect(g, c, '\n', GUARD_LINE);
        break;
    case GUARD_HEAD_LF:
        expect(g, c, '\n', GUARD_LINE);
        if (g->state == GUARD_LINE)
            end_head(g);
        break;
    case GUARD_SIZE:
        look_at_size(g, c);
        break;
    case GUARD_EXTENSION:
        look_at_extension(g, c);
        break;
    case GUARD_SIZE_LF:
        expect(g, c, '\n', GUARD_DATA);
        if (g->state == GUARD_DATA)
            begin_data(g);
        break;
    case GUARD_DATA_CR:
        expect(g, c, '\r', GUARD_DATA_LF);
        break;
    case GUARD_DATA_LF:
        expect(g, c, '\n', GUARD_SIZE);
        break;
    case GUARD_BODY:
    case GUARD_DATA:
    case GUARD_ENDED:
    case GUARD_FAULT:
        break;
    }
}

/* Passes over bytes of a body; returns how many. */
static size_t skip_body(struct guard *g, size_t n)
{
    size_t taken = g->n_left < n ? (size_t)g->n_left : n;
    g->n_left -= taken;
    if (g->n_left == 0 && g->state == GUARD_DATA)
        g->state = GUARD_DATA_CR;
    else if (g->n_left == 0)
        end_message(g);
    return taken;
}

static bool in_head(enum guard_state state)
{
    return state >= GUARD_METHOD && state <= GUARD_HEAD_LF;
}

size_t guard_look(struct guard *g, const char *bytes, size_t n)
{
    size_t whole = 0; /* of these bytes: those of messages that are complete */
    uint64_t n_heads = g->n_heads;
    for (size_t i = 0; i < n && g->state != GUARD_FAULT;) {
        if (g->state == GUARD_ENDED)
            return i;
        if (g->state == GUARD_BODY || g->state == GUARD_DATA) {
            i += skip_body(g, n - i);
        } else {
            look_at_byte(g, bytes[i++]);
            if (in_head(g->state) && ++g->n_head > g->max_head)
                fault(g, REFUSAL_HEADERS,
                      "the request's headers are too long (--max-header-bytes)");
        }
        if (g->state == GUARD_START && !g->began) {
            whole = i;
            n_heads = g->n_heads;
        }
    }
    if (g->state != GUARD_FAULT)
        return n;
    g->n_heads = n_heads; /* the head of the message at fault is not passed on with this */
    return whole;
}
