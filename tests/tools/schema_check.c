/* schema_check.c - shapes of texts tried from a script: each line of standard input is
 * {"schema": ..., "texts": [...], "make": N, "seed": N}, or has "gbnf" or "regex" instead of a
 * schema; each line of standard output says which texts are accepted, token by token as the masks
 * allow them, and gives N texts made at random, or says why the shape is refused. */
#include "api/schema/schema.h"
#include "grammar/grammar.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MADE_MOST = 4000, MADE_FREELY = 300, PRINTABLE = 95, PAIRS = PRINTABLE * PRINTABLE };

/* Every byte is a token, and so is each pair of printable ones. */
static char bytes[256], pairs[PAIRS][2];
static struct mask_scratch *scratch;

static uint64_t state;

static uint32_t random_below(uint32_t n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % n;
}

/* Whether fewer bytes than `distance` are left after this one. */
static bool is_closer(struct matcher *m, uint8_t byte, uint32_t distance)
{
    struct matcher_place at[MATCHER_PLACES];
    struct matcher_places places = {.at = at, .room = MATCHER_PLACES};
    const size_t n_nodes = m->n_nodes;
    places_step(m, m->now.at, m->now.n, byte, &places);
    const bool closer = (places.n > 0 || places.ended) && places_distance(m, &places) < distance;
    matcher_forget(m, n_nodes);
    return closer;
}

/* Bytes at random while they may be, then those that lead to the end. */
static size_t make_text(const struct grammar *g, char *out)
{
    struct matcher *m = NULL;
    struct error err;
    size_t n = 0;
    if (matcher_create(&m, g->automaton, &err) != STATUS_OK)
        return 0;
    while (n < MADE_MOST && !(matcher_may_end(m) && (n > MADE_FREELY || random_below(4) == 0))) {
        bool done = false;
        uint32_t distance = matcher_distance(m);
        for (int i = 0; i < 400 && !done && n < MADE_FREELY; i++) {
            static const char liked[] = "\"{}[],:0123456789truefalsn -.eE\\u";
            out[n] = random_below(3) == 0 ? (char)random_below(256)
                                          : liked[random_below(sizeof liked - 1)];
            done = matcher_take(m, out + n, 1);
        }
        for (int byte = 0; byte < 256 && !done; byte++) {
            out[n] = (char)byte;
            done = is_closer(m, (uint8_t)byte, distance) && matcher_take(m, out + n, 1);
        }
        if (!done)
            break;
        n++;
    }
    if (!matcher_may_end(m))
        n = 0;
    matcher_destroy(m);
    return n;
}

static bool is_printable(char c)
{
    return c >= ' ' && c < ' ' + PRINTABLE;
}

/* Token by token, cut at random. A mask that says other than the matcher ends the program. */
static bool is_accepted(const struct grammar *g, const char *text)
{
    uint64_t bits[(256 + PAIRS) / 64 + 1];
    struct matcher *m = NULL;
    struct error err;
    bool taken = matcher_create(&m, g->automaton, &err) == STATUS_OK;
    for (size_t n; taken && *text != '\0'; text += n) {
        n = is_printable(text[0]) && is_printable(text[1]) && random_below(2) == 0 ? 2 : 1;
        const size_t id = n == 1
                              ? (unsigned char)*text
                              : 256 + (size_t)(text[0] - ' ') * PRINTABLE + (size_t)(text[1] - ' ');
        masks_fill(g->masks, m, scratch, bits);
        taken = matcher_take(m, text, n);
        if (taken != ((bits[id / 64] >> id % 64 & 1) != 0)) {
            fprintf(stderr, "the mask is wrong about \"%.*s\" before \"%s\"\n", (int)n, text,
                    text + n);
            exit(1);
        }
    }
    taken = taken && matcher_may_end(m);
    matcher_destroy(m);
    return taken;
}

static void check(const struct grammar *g, const cJSON *line, cJSON *out)
{
    cJSON *accepts = cJSON_AddArrayToObject(out, "accepts");
    cJSON *made = cJSON_AddArrayToObject(out, "made");
    const cJSON *text, *make = cJSON_GetObjectItem(line, "make");
    char room[MADE_MOST + 1];
    cJSON_ArrayForEach(text, cJSON_GetObjectItem(line, "texts"))
        cJSON_AddItemToArray(accepts, cJSON_CreateBool(is_accepted(g, text->valuestring)));
    for (int i = 0; make != NULL && i < make->valueint; i++) {
        room[make_text(g, room)] = '\0';
        cJSON_AddItemToArray(made, cJSON_CreateString(room));
    }
}

static enum status compile(struct grammar **out, const cJSON *line, const struct vocabulary *v,
                           struct error *err)
{
    const cJSON *gbnf = cJSON_GetObjectItem(line, "gbnf"),
                *regex = cJSON_GetObjectItem(line, "regex"), *text = gbnf != NULL ? gbnf : regex;
    if (text != NULL)
        return grammar_compile(out, gbnf != NULL ? GRAMMAR_GBNF : GRAMMAR_REGEX, text->valuestring,
                               strlen(text->valuestring), v, &grammar_limits_default, err);
    struct grammar_builder *b = NULL;
    enum status status = expr_builder_create(&b, &grammar_limits_default, err);
    if (status == STATUS_OK)
        status = grammar_build(out, b, schema_read(b, cJSON_GetObjectItem(line, "schema")), v,
                               &grammar_limits_default, err);
    expr_builder_destroy(b);
    return status;
}

static void answer(const char *text, const struct vocabulary *v)
{
    cJSON *line = cJSON_Parse(text), *out = cJSON_CreateObject();
    const cJSON *seed = cJSON_GetObjectItem(line, "seed");
    struct grammar *g = NULL;
    struct error err = {0};
    state = seed != NULL ? (uint64_t)seed->valuedouble : 1;
    enum status status = compile(&g, line, v, &err);
    if (status != STATUS_OK)
        cJSON_AddStringToObject(out, "error", err.text);
    else {
        cJSON_AddNumberToObject(out, "states", (double)g->automaton->n_states);
        check(g, line, out);
    }
    char *printed = cJSON_PrintUnformatted(out);
    puts(printed);
    fflush(stdout);
    free(printed);
    grammar_release(g);
    cJSON_Delete(line);
    cJSON_Delete(out);
}

int main(void)
{
    static struct vocabulary_piece pieces[256 + PAIRS];
    struct vocabulary *v = NULL;
    struct error err;
    char *line = NULL;
    size_t room = 0;
    for (size_t i = 0; i < 256; i++) {
        bytes[i] = (char)i;
        pieces[i] = (struct vocabulary_piece){.bytes = &bytes[i], .n = 1};
    }
    for (size_t i = 0; i < PAIRS; i++) {
        pairs[i][0] = (char)(' ' + i / PRINTABLE);
        pairs[i][1] = (char)(' ' + i % PRINTABLE);
        pieces[256 + i] = (struct vocabulary_piece){.bytes = pairs[i], .n = 2};
    }
    if (vocabulary_create(&v, pieces, 256 + PAIRS, &err) != STATUS_OK ||
        mask_scratch_create(&scratch, v, &err) != STATUS_OK)
        return 1;
    while (getline(&line, &room, stdin) > 0)
        answer(line, v);
    free(line);
    mask_scratch_destroy(scratch);
    vocabulary_destroy(v);
    return 0;
}
