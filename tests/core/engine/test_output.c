/* test_output.c - the text of a job: stop strings across every token border, ill-formed bytes, what
 * is held back.
 *
 * The tokenizer is a stand-in whose piece i is any byte string the test likes.
 */
#include "engine/output.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

struct tokenizer {
    struct gguf_string pieces[64];
    bool control[64]; /* the piece is a name, not text */
};

struct gguf_string tokenizer_piece(const struct tokenizer *t, int32_t id, bool with_control)
{
    return t->control[id] && !with_control ? (struct gguf_string){"", 0} : t->pieces[id];
}

static struct tokenizer pieces;

static struct job *job_with_stops(const char *const *stops, size_t n_stops)
{
    struct job_size size = {.n_prompt = 1, .max_tokens = 64, .max_piece = 64, .stop_bytes = 512};
    struct job *job;
    struct error err;
    ck_assert_int_eq(job_create(&job, &size, &err), STATUS_OK);
    char *at = job_stop_bytes(job);
    for (size_t i = 0; i < n_stops; i++) {
        size_t n = strlen(stops[i]);
        memcpy(at, stops[i], n);
        job->stops[i] = (struct stop_string){at, n};
        at += n;
    }
    job->n_stops = n_stops;
    output_begin(job);
    return job;
}

static void check_records(const struct job *job)
{
    uint32_t before = 0;
    for (size_t i = 0; i < job->n_tokens; i++) {
        ck_assert_uint_ge(job->tokens[i].text_end, before);
        before = job->tokens[i].text_end;
        ck_assert_uint_eq(utf8_check(job->text, before), before);
    }
    ck_assert_uint_eq(before, job->n_text);
    ck_assert_uint_eq(utf8_check(job->text, job->n_text), job->n_text);
}

/* Feeds bytes cut where the bits of `cuts` are set; returns whether a stop string was found.
 * Everything that n_ready lets out must stay as it is and be no longer than `safe` bytes. */
static bool feed(struct job *job, const char *bytes, size_t n, uint64_t cuts, size_t safe)
{
    uint32_t ready = 0;
    size_t begin = 0;
    int32_t id = 0;
    for (size_t i = 1; i <= n; i++) {
        if (i < n && !(cuts >> (i - 1) & 1))
            continue;
        pieces.pieces[id] = (struct gguf_string){bytes + begin, i - begin};
        begin = i;
        if (output_append(job, &pieces, id++))
            return true;
        ready = output_n_ready(job);
        if (ready > 0)
            ck_assert_uint_le(job->tokens[ready - 1].text_end, safe);
    }
    return output_end(job);
}

static void expect(const struct job *job, const char *text)
{
    ck_assert_uint_eq(job->n_text, strlen(text));
    ck_assert_int_eq(memcmp(job->text, text, job->n_text), 0);
    check_records(job);
}

/* Every way of cutting the bytes into tokens gives this text. */
static void every_cut(const char *bytes, const char *const *stops, size_t n_stops, const char *text,
                      bool found)
{
    size_t n = strlen(bytes);
    ck_assert_uint_le(n, 14);
    for (uint64_t cuts = 0; cuts < (uint64_t)1 << (n - 1); cuts++) {
        struct job *job = job_with_stops(stops, n_stops);
        ck_assert_int_eq(feed(job, bytes, n, cuts, strlen(text)), found);
        expect(job, text);
        job_destroy(job);
    }
}

START_TEST(a_stop_string_is_found_across_any_border)
{
    every_cut("Hello STOP x", (const char *[]){"STOP"}, 1, "Hello ", true);
    every_cut("SSTOP", (const char *[]){"STOP"}, 1, "S", true);
    every_cut("STOP", (const char *[]){"STOP"}, 1, "", true);
}
END_TEST

START_TEST(a_stop_string_that_overlaps_itself_is_found)
{
    every_cut("aabaabaaac", (const char *[]){"aabaaa"}, 1, "aab", true);
    every_cut("ababababx", (const char *[]){"ababx"}, 1, "abab", true);
}
END_TEST

START_TEST(what_only_begins_like_a_stop_string_comes_out_in_the_end)
{
    every_cut("one ST", (const char *[]){"STOP"}, 1, "one ST", false);
    every_cut("ST one STO", (const char *[]){"STOP", "ONE"}, 2, "ST one STO", false);
}
END_TEST

START_TEST(the_stop_string_completed_first_wins)
{
    every_cut("xabcd", (const char *[]){"abcd", "bc"}, 2, "xa", true);
    every_cut("xabcd", (const char *[]){"bc", "abcd"}, 2, "xa", true);
}
END_TEST

START_TEST(of_those_completed_by_one_byte_the_longest_counts)
{
    every_cut("xyabcd", (const char *[]){"c", "abc", "bc"}, 3, "xy", true);
}
END_TEST

START_TEST(stop_strings_of_more_than_one_byte_a_character)
{
    every_cut("a\xE2\x82\xAC\xE2\x82\xACz", (const char *[]){"\xE2\x82\xAC"}, 1, "a", true);
    every_cut("a\xE2\x82\xA4\xE2\x82\xACz", (const char *[]){"\xE2\x82\xACz"}, 1, "a\xE2\x82\xA4",
              true);
}
END_TEST

START_TEST(ill_formed_bytes_become_the_replacement_character)
{
    every_cut("a\xFF\x62", NULL, 0, "a\xEF\xBF\xBD\x62", false);
    every_cut("\xE2\x82z", NULL, 0, "\xEF\xBF\xBDz", false);
    every_cut("\xE2\x82", NULL, 0, "\xEF\xBF\xBD", false);
    every_cut("\xF0\x9F\x98\x80\xF0\x9F", NULL, 0, "\xF0\x9F\x98\x80\xEF\xBF\xBD", false);
    every_cut("\xC0\xAF", NULL, 0, "\xEF\xBF\xBD\xEF\xBF\xBD", false);
}
END_TEST

START_TEST(a_replacement_character_can_be_a_stop_string)
{
    every_cut("ab\xFFz", (const char *[]){"\xEF\xBF\xBD"}, 1, "ab", true);
    every_cut("ab\xE2\x82", (const char *[]){"b\xEF\xBF\xBD"}, 1, "a", true);
}
END_TEST

START_TEST(a_token_within_a_character_is_ready_with_the_one_that_ends_it)
{
    struct job *job = job_with_stops(NULL, 0);
    const char *parts[] = {"a\xF0", "\x9F", "\x98", "", "\x80z", "b"};
    const uint32_t ready[] = {0, 0, 0, 0, 5, 6}, ends[] = {5, 5, 5, 5, 6, 7};
    uint32_t n = 0;
    for (int32_t i = 0; i < 6; i++) {
        pieces.pieces[i] = (struct gguf_string){parts[i], strlen(parts[i])};
        ck_assert(!output_append(job, &pieces, i));
        n = output_n_ready(job);
        ck_assert_uint_eq(n, ready[i]);
    }
    ck_assert(!output_end(job));
    for (size_t i = 0; i < 6; i++)
        ck_assert_uint_eq(job->tokens[i].text_end, ends[i]);
    check_records(job);
    job_destroy(job);
}
END_TEST

START_TEST(tokens_eaten_by_a_stop_string_stay_records)
{
    struct job *job = job_with_stops((const char *[]){"END"}, 1);
    const char *parts[] = {"ab", " E", "N", "D!"};
    for (int32_t i = 0; i < 4; i++) {
        pieces.pieces[i] = (struct gguf_string){parts[i], strlen(parts[i])};
        ck_assert_int_eq(output_append(job, &pieces, i), i == 3);
        if (i < 3)
            ck_assert_uint_eq(output_n_ready(job), 1);
    }
    output_finish(job, FINISH_STOP);
    ck_assert_uint_eq(job->n_ready, 4);
    ck_assert_uint_eq(job->tokens[1].text_end, 3);
    ck_assert_uint_eq(job->tokens[3].text_end, 3);
    expect(job, "ab ");
    job_destroy(job);
}
END_TEST

static uint32_t random_below(uint64_t *state, uint32_t n)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33) % n;
}

/* The definition, told plainly: the first byte that completes a stop string. */
static size_t plain_search(const char *text, size_t n, const char *const *stops, size_t n_stops)
{
    for (size_t end = 1; end <= n; end++) {
        size_t longest = 0;
        for (size_t s = 0; s < n_stops; s++) {
            size_t length = strlen(stops[s]);
            if (length <= end && length > longest &&
                memcmp(text + end - length, stops[s], length) == 0)
                longest = length;
        }
        if (longest > 0)
            return end - longest;
    }
    return SIZE_MAX;
}

START_TEST(random_texts_agree_with_a_plain_search)
{
    uint64_t state = 11;
    for (int round = 0; round < 3000; round++) {
        char text[40], words[JOB_STOPS_MAX][6];
        const char *stops[JOB_STOPS_MAX];
        size_t n = 1 + random_below(&state, 39), n_stops = random_below(&state, JOB_STOPS_MAX + 1);
        for (size_t i = 0; i < n; i++)
            text[i] = (char)('a' + random_below(&state, 3));
        for (size_t s = 0; s < n_stops; s++) {
            size_t length = 2 + random_below(&state, 4);
            for (size_t i = 0; i < length; i++)
                words[s][i] = (char)('a' + random_below(&state, 3));
            words[s][length] = '\0';
            stops[s] = words[s];
        }
        size_t at = plain_search(text, n, stops, n_stops);
        struct job *job = job_with_stops(stops, n_stops);
        uint64_t cuts =
            (uint64_t)random_below(&state, UINT32_MAX) << 20 ^ random_below(&state, 1 << 30);
        bool found = feed(job, text, n, cuts, at == SIZE_MAX ? n : at);
        ck_assert_int_eq(found, at != SIZE_MAX);
        ck_assert_uint_eq(job->n_text, found ? at : n);
        ck_assert_int_eq(memcmp(job->text, text, job->n_text), 0);
        check_records(job);
        job_destroy(job);
    }
}
END_TEST

/* --- readiness, against its definition --- */

/* The text of some tokens, whatever stops it; *whole: no character is cut at its end. */
static size_t plain_text(const int32_t *ids, size_t n, char *out, bool *whole)
{
    struct utf8_stream utf8 = {0};
    size_t n_out = 0;
    for (size_t i = 0; i < n; i++) {
        struct gguf_string piece = tokenizer_piece(&pieces, ids[i], false);
        n_out += utf8_stream_push(&utf8, piece.bytes, piece.n, out + n_out);
    }
    *whole = utf8.n_held == 0;
    return n_out;
}

/* Bytes at the end of a text that a stop string may begin with. */
static size_t plain_held(const char *text, size_t n, const char *const *stops, size_t n_stops)
{
    size_t held = 0;
    for (size_t s = 0; s < n_stops; s++)
        for (size_t k = 1; k < strlen(stops[s]) && k <= n; k++)
            if (k > held && memcmp(text + n - k, stops[s], k) == 0)
                held = k;
    return held;
}

/* The tokens that are ready by the definition: the most whose text is whole and ends before what a
 * stop string may take back. */
static size_t plain_ready(const int32_t *ids, size_t n, const char *const *stops, size_t n_stops)
{
    char text[256], part[256];
    bool whole;
    size_t n_text = plain_text(ids, n, text, &whole);
    size_t n_safe = n_text - plain_held(text, n_text, stops, n_stops);
    while (n > 0 && !(plain_text(ids, n, part, &whole) <= n_safe && whole))
        n--;
    return n;
}

/* Runs tokens through a job: each number that is reported is that of the definition, its text is
 * that of so many tokens and stays so. */
static void check_ready(const int32_t *ids, size_t n, const char *const *stops, size_t n_stops)
{
    struct job *job = job_with_stops(stops, n_stops);
    char said[256], text[256];
    size_t n_said = 0;
    bool whole, stopped = false;
    for (size_t i = 0; i < n && !stopped; i++) {
        stopped = output_append(job, &pieces, ids[i]);
        if (stopped)
            break;
        size_t ready = output_n_ready(job);
        ck_assert_uint_eq(ready, plain_ready(ids, i + 1, stops, n_stops));
        size_t end = ready > 0 ? job->tokens[ready - 1].text_end : 0;
        ck_assert_uint_eq(end, plain_text(ids, ready, text, &whole));
        ck_assert(whole);
        ck_assert_int_eq(memcmp(job->text, text, end), 0);
        ck_assert_uint_ge(end, n_said);
        memcpy(said, job->text, end);
        n_said = end;
    }
    if (!stopped)
        output_end(job);
    ck_assert_uint_ge(job->n_text, n_said);
    ck_assert_int_eq(memcmp(job->text, said, n_said), 0);
    check_records(job);
    job_destroy(job);
}

static const char *const stop_sets[][3] = {
    {NULL},
    {"Sx", NULL},
    {"SSx", "\xE2\x82\xACS", NULL},
    {"\xE2\x82\xAC\xE2\x82\xAC", "a\xEF\xBF\xBD", NULL},
};

static size_t n_in(const char *const *stops)
{
    size_t n = 0;
    while (n < 3 && stops[n] != NULL)
        n++;
    return n;
}

START_TEST(every_short_run_of_split_characters_is_ready_as_defined)
{
    static const char *const parts[] = {"a",        "S", "\xE2",          "\x82",
                                        "\x82\xAC", "",  "\xACS\xE2\x82", "\xE2\x82\xAC"};
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    enum { N = sizeof parts / sizeof *parts, LENGTH = 4 }; /* the fifth takes minutes there */
#else
    enum { N = sizeof parts / sizeof *parts, LENGTH = 5 };
#endif
    size_t n_runs = 1;
    for (size_t i = 0; i < LENGTH; i++)
        n_runs *= N;
    for (size_t i = 0; i < N; i++)
        pieces.pieces[i] = (struct gguf_string){parts[i], strlen(parts[i])};
    const char *const *stops = stop_sets[_i];
    for (size_t run = 0; run < n_runs; run++) {
        int32_t ids[LENGTH];
        for (size_t i = 0, rest = run; i < LENGTH; i++, rest /= N)
            ids[i] = (int32_t)(rest % N);
        check_ready(ids, LENGTH, stops, n_in(stops));
    }
}
END_TEST

START_TEST(random_bytes_as_tokens_are_ready_as_defined)
{
    static char bytes[64][3];
    uint64_t state = 3 + (uint64_t)_i;
    static const char some[] = "aSx\xE2\x82\xAC\xF0\x9F\x98\x80\xFF";
    for (int round = 0; round < 4000; round++) {
        int32_t ids[30];
        for (size_t i = 0; i < 30; i++) {
            size_t n = random_below(&state, 3);
            for (size_t k = 0; k < n; k++)
                bytes[i][k] = some[random_below(&state, sizeof some - 1)];
            pieces.pieces[i] = (struct gguf_string){bytes[i], n};
            ids[i] = (int32_t)i;
        }
        check_ready(ids, 30, stop_sets[_i], n_in(stop_sets[_i]));
    }
}
END_TEST

START_TEST(a_character_waits_for_all_the_tokens_that_share_it)
{
    struct job *job = job_with_stops((const char *[]){"XYZ"}, 1);
    const char *parts[] = {"a\xE2\x82", "\xACX", "Y", "b"};
    const uint32_t ready[] = {0, 0, 0, 4};
    for (int32_t i = 0; i < 4; i++) {
        pieces.pieces[i] = (struct gguf_string){parts[i], strlen(parts[i])};
        ck_assert(!output_append(job, &pieces, i));
        ck_assert_uint_eq(output_n_ready(job), ready[i]);
    }
    job_destroy(job);
}
END_TEST

/* --- control tokens --- */

enum { CONTROL = 40 }; /* ids from here on have a name and no text */

static void name_control(int32_t id, const char *name)
{
    pieces.pieces[id] = (struct gguf_string){name, strlen(name)};
    pieces.control[id] = true;
}

/* "ab", a control token called </s>, "c": the text, and whether the token ended it. */
static void control_case(const char *before, const char *stop, const char *text, bool stopped)
{
    struct job *job = job_with_stops(&stop, 1);
    name_control(CONTROL, "</s>");
    pieces.pieces[0] = (struct gguf_string){before, strlen(before)};
    pieces.pieces[1] = (struct gguf_string){"c", 1};
    ck_assert(!output_append(job, &pieces, 0));
    bool ended = output_append(job, &pieces, CONTROL);
    ck_assert_int_eq(ended, stopped);
    if (!ended) {
        ck_assert(!output_append(job, &pieces, 1));
        ck_assert(!output_end(job));
    }
    ck_assert_uint_eq(job->n_tokens, ended ? 2 : 3); /* eaten by a stop string, yet a token */
    expect(job, text);
    job_destroy(job);
}

START_TEST(a_stop_string_that_names_a_control_token_ends_the_text_there)
{
    control_case("ab", "</s>", "ab", true);
    control_case("ab", "b</s>", "a", true); /* the text before it belongs to the string */
    control_case("ab", "ab</s>", "", true);
    control_case("ab", "x</s>", "abc", false);
    control_case("b", "ab</s>", "bc", false);
    control_case("ab", "</", "abc", false); /* part of a name is no text */
    control_case("ab", "/s>", "abc", false);
    control_case("ab", "s>c", "abc", false);
    control_case("ab", "</s>c", "abc", false); /* nor is a name within a string */
    control_case("</s", "</s>", "</s", true);
    control_case("a\xE2\x82", "</s>", "a\xEF\xBF\xBD", true);
    control_case("a\xE2\x82", "a</s>",
                 "a\xEF\xBF\xBD"
                 "c",
                 false);
}
END_TEST

START_TEST(of_several_that_end_at_a_control_token_the_longest_counts)
{
    struct job *job = job_with_stops((const char *[]){"</s>", "ab</s>", "b</s>"}, 3);
    name_control(CONTROL, "</s>");
    pieces.pieces[0] = (struct gguf_string){"xab", 3};
    ck_assert(!output_append(job, &pieces, 0));
    ck_assert_uint_eq(output_n_ready(job), 0); /* "ab" may be taken back */
    ck_assert(output_append(job, &pieces, CONTROL));
    expect(job, "x");
    job_destroy(job);
}
END_TEST

/* Kept, a stop string is text like all before it: nothing waits for it, and what comes after it in
 * its last token is dropped. */
START_TEST(a_kept_stop_string_stays_and_holds_nothing_back)
{
    static const struct {
        const char *bytes, *stops[2], *text;
        int index;
    } cases[] = {
        {"Hello STOP x", {"zz", "STOP"}, "Hello STOP", 1},
        {"SSTOP", {"STOP", "zz"}, "SSTOP", 0},
        {"aabaabaaac", {"aabaaa", "x"}, "aabaabaaa", 0},
        {"xabc", {"bc", "abc"}, "xabc", 1}, /* the longest of them */
        {"\xE2\x82\xAC|end", {"\xAC|", "|e"}, "\xE2\x82\xAC|", 0},
        {"STOX", {"STOP", "y"}, "STOX", -1},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        size_t n = strlen(cases[c].bytes);
        for (uint64_t cuts = 0; cuts < (uint64_t)1 << (n - 1); cuts++) {
            struct job *job = job_with_stops(cases[c].stops, 2);
            job->keep_stop = true;
            bool found = feed(job, cases[c].bytes, n, cuts, strlen(cases[c].text));
            ck_assert_int_eq(found, cases[c].index >= 0);
            ck_assert_int_eq(job->stop_index, cases[c].index);
            expect(job, cases[c].text);
            job_destroy(job);
        }
    }
    struct job *job = job_with_stops((const char *[]){"abcd"}, 1);
    job->keep_stop = true;
    pieces.pieces[0] = (struct gguf_string){"abc", 3};
    ck_assert(!output_append(job, &pieces, 0));
    ck_assert_uint_eq(output_n_ready(job), 1);
    job_destroy(job);
}
END_TEST

/* The text before a control token stays where its name ends the kept string; the name is none. */
START_TEST(a_kept_stop_string_that_ends_in_a_name_keeps_its_text)
{
    struct job *job = job_with_stops((const char *[]){"</s>", "ab</s>"}, 2);
    job->keep_stop = true;
    name_control(CONTROL, "</s>");
    pieces.pieces[0] = (struct gguf_string){"xab", 3};
    ck_assert(!output_append(job, &pieces, 0));
    ck_assert(output_append(job, &pieces, CONTROL));
    ck_assert_int_eq(job->stop_index, 1);
    expect(job, "xab");
    job_destroy(job);
}
END_TEST

START_TEST(only_what_ended_the_text_is_named)
{
    static const enum finish_reason reasons[] = {FINISH_STOP, FINISH_DEADLINE, FINISH_CANCELLED,
                                                 FINISH_ERROR};
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        struct job *job = job_with_stops((const char *[]){"zz", "\xEF\xBF\xBD"}, 2);
        pieces.pieces[0] = (struct gguf_string){"a\xE2", 2};
        ck_assert_int_eq(job->stop_index, -1);
        ck_assert_int_eq(job->stop_id, TOKEN_NONE);
        ck_assert(!output_append(job, &pieces, 0));
        ck_assert(output_end(job)); /* the half character becomes the second one */
        output_finish(job, reasons[i]);
        ck_assert_int_eq(job->stop_index, reasons[i] == FINISH_STOP ? 1 : -1);
        expect(job, "a");
        job_destroy(job);
    }
}
END_TEST

START_TEST(a_name_written_as_text_is_found_as_ever)
{
    every_cut("ab</s>c", (const char *[]){"</s>"}, 1, "ab", true);
}
END_TEST

START_TEST(stop_ids_are_those_that_were_given)
{
    struct job *job = job_with_stops(NULL, 0);
    ck_assert(!output_ends_at(job, 0));
    for (int32_t i = 0; i < JOB_STOP_IDS_MAX; i++)
        job->stop_ids[job->n_stop_ids++] = 3 * i;
    for (int32_t id = 0; id < 3 * JOB_STOP_IDS_MAX; id++)
        ck_assert_int_eq(output_ends_at(job, id), id % 3 == 0);
    job_destroy(job);
}
END_TEST

START_TEST(a_job_beyond_any_memory_is_refused)
{
    struct job *job = NULL;
    struct error err;
    struct job_size size = {.n_prompt = SIZE_MAX / 2, .max_tokens = 8, .max_piece = 8};
    ck_assert_int_eq(job_create(&job, &size, &err), STATUS_TOO_LARGE);
    size = (struct job_size){.n_prompt = 1, .max_tokens = SIZE_MAX / 4, .max_piece = 16};
    ck_assert_int_eq(job_create(&job, &size, &err), STATUS_TOO_LARGE);
    ck_assert_ptr_null(job);
}
END_TEST

START_TEST(a_guard_ends_the_search_for_stops)
{
    const char text[] = "ab<call>xSTOPy", *stops[] = {"STOP", "b<caX"};
    for (uint64_t cuts = 0; cuts < 1u << 13; cuts++) {
        struct job *job = job_with_stops(stops, 2);
        job->stop_guard = (struct stop_string){"<call>", 6};
        ck_assert(!feed(job, text, sizeof text - 1, cuts, sizeof text) && !output_end(job));
        ck_assert_uint_eq(job->n_text, sizeof text - 1);
        job_destroy(job);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("output");
    TCase *tc = tcase_create("output");
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, a_stop_string_is_found_across_any_border);
    tcase_add_test(tc, a_guard_ends_the_search_for_stops);
    tcase_add_test(tc, a_stop_string_that_overlaps_itself_is_found);
    tcase_add_test(tc, what_only_begins_like_a_stop_string_comes_out_in_the_end);
    tcase_add_test(tc, the_stop_string_completed_first_wins);
    tcase_add_test(tc, of_those_completed_by_one_byte_the_longest_counts);
    tcase_add_test(tc, stop_strings_of_more_than_one_byte_a_character);
    tcase_add_test(tc, ill_formed_bytes_become_the_replacement_character);
    tcase_add_test(tc, a_replacement_character_can_be_a_stop_string);
    tcase_add_test(tc, a_token_within_a_character_is_ready_with_the_one_that_ends_it);
    tcase_add_test(tc, tokens_eaten_by_a_stop_string_stay_records);
    tcase_add_test(tc, random_texts_agree_with_a_plain_search);
    tcase_add_loop_test(tc, every_short_run_of_split_characters_is_ready_as_defined, 0,
                        sizeof stop_sets / sizeof *stop_sets);
    tcase_add_loop_test(tc, random_bytes_as_tokens_are_ready_as_defined, 0,
                        sizeof stop_sets / sizeof *stop_sets);
    tcase_add_test(tc, a_character_waits_for_all_the_tokens_that_share_it);
    tcase_add_test(tc, a_stop_string_that_names_a_control_token_ends_the_text_there);
    tcase_add_test(tc, of_several_that_end_at_a_control_token_the_longest_counts);
    tcase_add_test(tc, a_kept_stop_string_stays_and_holds_nothing_back);
    tcase_add_test(tc, a_kept_stop_string_that_ends_in_a_name_keeps_its_text);
    tcase_add_test(tc, only_what_ended_the_text_is_named);
    tcase_add_test(tc, a_name_written_as_text_is_found_as_ever);
    tcase_add_test(tc, stop_ids_are_those_that_were_given);
    tcase_add_test(tc, a_job_beyond_any_memory_is_refused);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
