/* test_engine_guided.c - texts that must keep to a grammar: what they are, and how they end. */
#include "guided_test.h"

#include <math.h>

static struct engine *engine;

static void open_engine(void)
{
    world_open();
    const struct engine_options o = options_of(1, 2);
    engine = engine_open(&o);
}

static void close_engine(void)
{
    engine_destroy(engine);
    world_close();
}

START_TEST(every_way_of_drawing_keeps_to_the_grammar)
{
    struct grammar *g = grammar_of(engine, GRAMMAR_GBNF, list_gbnf);
    for (uint32_t i = 0; i < 24; i++) {
        struct request r = guided(g, 300, i);
        r.temperature = i % 3 == 0 ? 0 : 1;
        r.top_k = i % 4 == 1 ? 5 : 0;
        r.top_p = i % 4 == 2 ? 0.9f : 1;
        r.typical_p = i % 8 == 3 ? 0.9f : 1;
        r.repetition_penalty = i % 5 == 0 ? 1.2f : 1;
        struct job *job = run_request(engine, &r);
        ck_assert_int_eq(job->finish, FINISH_STOP);
        ck_assert_msg(job_matches(job), "%.*s", (int)job->n_text, job->text);
        ck_assert_int_eq(job->text[job->n_text - 1], ']');
        job_destroy(job);
    }
    grammar_release(g);
}
END_TEST

START_TEST(a_text_is_closed_within_its_limit)
{
    struct grammar *g = grammar_of(engine, GRAMMAR_GBNF, list_gbnf);
    for (uint32_t i = 0; i < 60; i++) {
        struct request r = guided(g, 2 + i % 20, i);
        r.temperature = i % 2 == 0 ? 1 : 3; /* hot: long lists in lists */
        struct job *job = run_request(engine, &r);
        ck_assert_int_eq(job->finish, FINISH_STOP);
        ck_assert_uint_le(job->n_tokens, r.max_tokens);
        ck_assert_msg(job_matches(job), "%.*s", (int)job->n_text, job->text);
        job_destroy(job);
    }
    grammar_release(g);
}
END_TEST

/* Its fewest tokens are fewer than its fewest bytes. */
START_TEST(a_limit_is_kept_to_the_token)
{
    struct grammar *g = grammar_of(engine, GRAMMAR_GBNF, record_gbnf);
    size_t fewest = 0;
    for (size_t most = 70; most > 2; most--) {
        struct request r = guided(g, most, (uint32_t)most);
        struct job *job = run_request(engine, &r);
        bool closed = job->finish == FINISH_STOP;
        ck_assert_int_eq(closed, closed && job_matches(job));
        ck_assert(closed || job->finish == FINISH_LENGTH);
        ck_assert(closed || job->n_tokens == most);
        if (closed && fewest == 0)
            ck_assert_uint_le(job->n_tokens, most);
        if (!closed && fewest == 0)
            fewest = most + 1;
        ck_assert_msg(!closed || fewest == 0, "it fits into %zu tokens, and not into %zu", most,
                      fewest - 1);
        job_destroy(job);
    }
    ck_assert_uint_gt(fewest, 0);
    ck_assert_uint_lt(fewest, 50); /* the shortest text has 63 bytes */
    grammar_release(g);
}
END_TEST

START_TEST(what_must_come_is_not_drawn)
{
    struct grammar *g = grammar_of(engine, GRAMMAR_GBNF, record_gbnf);
    struct request r = guided(g, 100, 3);
    r.n_prompt = 40;
    const struct engine_stats before = stats_of(engine);
    struct job *quick = run_request(engine, &r);
    const struct engine_stats between = stats_of(engine);
    r.n_logprobs = 2; /* each token has its step, and they are the same */
    struct job *slow = run_request(engine, &r);
    const struct engine_stats after = stats_of(engine);
    const uint64_t n_forced = between.forced_tokens - before.forced_tokens;
    ck_assert_uint_gt(n_forced, 4);
    ck_assert_uint_eq(after.forced_tokens - between.forced_tokens, n_forced);
    ck_assert_uint_lt(between.n_steps - before.n_steps, quick->n_tokens);
    ck_assert_uint_ge(after.n_steps - between.n_steps, slow->n_tokens);
    ck_assert_int_eq(quick->finish, FINISH_STOP);
    ck_assert(job_matches(quick));
    slow->n_logprobs = -1;
    same_answer(quick, slow);
    for (size_t i = 0; i < slow->n_tokens; i++) {
        ck_assert(isfinite(slow->logprobs[i].logprob));
        ck_assert_uint_eq(slow->logprobs[i].n_top, 2);
    }
    job_destroy(quick);
    job_destroy(slow);
    grammar_release(g);
}
END_TEST

START_TEST(a_text_that_is_all_forced_needs_no_end)
{
    struct grammar *g = grammar_of(engine, GRAMMAR_REGEX, "yes, it is one text alone");
    struct request r = guided(g, 100, 3);
    for (int i = 0; i < 4; i++) { /* nothing bans the end where nothing else can come */
        r.ignore_eos = i == 1;
        r.min_tokens = i == 2 ? 90 : 0;
        r.temperature = i == 3 ? 0 : 1;
        struct job *job = run_request(engine, &r);
        ck_assert_int_eq(job->finish, FINISH_STOP);
        text_is(job, "yes, it is one text alone");
        ck_assert_int_eq(job->stop_id, TOKEN_NONE);
        job_destroy(job);
    }
    grammar_release(g);
}
END_TEST

START_TEST(an_end_comes_only_where_the_text_may_end)
{
    struct grammar *g = grammar_of(engine, GRAMMAR_REGEX, "(ab)+");
    size_t n_ends = 0;
    for (uint32_t i = 0; i < 30; i++) {
        struct request r = guided(g, 60, i);
        r.temperature = 4;
        struct job *job = run_request(engine, &r);
        ck_assert(job->finish == FINISH_STOP || job->finish == FINISH_LENGTH);
        if (job->finish == FINISH_STOP)
            ck_assert(job_matches(job));
        n_ends += job->stop_id != TOKEN_NONE;
        job_destroy(job);
    }
    ck_assert_uint_gt(n_ends, 0);
    grammar_release(g);
}
END_TEST

/* A text that could be longer and has come to its limit is cut, whole or not. */
START_TEST(a_limit_cuts_what_could_go_on)
{
    struct grammar *g = grammar_of(engine, GRAMMAR_REGEX, "[a-z ]+");
    struct request r = guided(g, 12, 5);
    r.ignore_eos = true;
    struct job *job = run_request(engine, &r);
    ck_assert_int_eq(job->finish, FINISH_LENGTH);
    ck_assert_uint_eq(job->n_tokens, 12);
    ck_assert(job_matches(job));
    job_destroy(job);
    grammar_release(g);
}
END_TEST

START_TEST(tokens_that_end_a_text_are_no_part_of_it)
{
    struct grammar *g = grammar_of(engine, GRAMMAR_REGEX, "[a-z]{3,}!");
    const char *const unwanted = "e";
    int32_t ids[8];
    size_t n_ids;
    struct error err;
    ok(tokenizer_encode(world.tokenizer, unwanted, 1, 0, ids, &n_ids, &err), &err);
    ck_assert_uint_eq(n_ids, 1);
    for (uint32_t i = 0; i < 10; i++) {
        struct request r = guided(g, 40, i);
        r.stop_ids = ids;
        r.n_stop_ids = 1;
        struct job *job = run_request(engine, &r);
        ck_assert_int_eq(job->finish, FINISH_STOP);
        ck_assert(job_matches(job));
        for (size_t k = 0; k < job->n_tokens; k++)
            ck_assert_int_ne(job->tokens[k].id, ids[0]);
        job_destroy(job);
    }
    grammar_release(g);
}
END_TEST

START_TEST(a_stop_string_cuts_forced_text_too)
{
    struct grammar *g = grammar_of(engine, GRAMMAR_GBNF, record_gbnf);
    struct request r = guided(g, 100, 3);
    r.stop = "the_age";
    struct job *job = run_request(engine, &r);
    ck_assert_int_eq(job->finish, FINISH_STOP);
    ck_assert_int_eq(job->stop_index, 0);
    ck_assert_int_eq(memcmp(job->text + job->n_text - 4, "\", \"", 4), 0);
    job_destroy(job);
    grammar_release(g);
}
END_TEST

/* Bans tokens of a job that has room for so many. */
static void ban(struct job *job, size_t n, bool (*is_banned)(const char *piece, size_t n))
{
    size_t n_banned = 0;
    for (int32_t id = 0; id < (int32_t)world.n_vocab; id++) {
        const struct gguf_string piece = tokenizer_piece(world.tokenizer, id, false);
        if (piece.n > 0 && is_banned(piece.bytes, piece.n) && n_banned < n)
            job_biases(job)[n_banned++] = (struct logit_bias){id, -INFINITY};
    }
    job->sampling.n_biases = n_banned;
}

static struct job *job_with_biases(struct grammar *g, size_t n_biases, size_t max_tokens)
{
    const struct job_size size = {.n_prompt = 1,
                                  .max_tokens = max_tokens,
                                  .n_biases = n_biases,
                                  .max_piece = tokenizer_max_piece(world.tokenizer),
                                  .grammar = g};
    struct job *job;
    struct error err;
    ok(job_create(&job, &size, &err), &err);
    job_prompt(job)[0] = 5;
    job->sampling = (struct sampling){.temperature = 1,
                                      .top_p = 1,
                                      .typical_p = 1,
                                      .repetition_penalty = 1,
                                      .biases = job_biases(job)};
    job->arrived_ns = clock_now_ns();
    return job;
}

static bool begins_with_y(const char *piece, size_t n)
{
    return n > 0 && piece[0] == 'y';
}

static bool has_z(const char *piece, size_t n)
{
    return memchr(piece, 'z', n) != NULL;
}

START_TEST(bans_that_leave_nothing_have_a_defined_end)
{
    static const struct {
        const char *regex;
        bool (*banned)(const char *, size_t);
        enum finish_reason finish; /* FINISH_NONE: refused */
    } cases[] = {{"yes|yellow", begins_with_y, FINISH_NONE},
                 {"yes|no", begins_with_y, FINISH_STOP},
                 {"a{1,3}z", has_z, FINISH_ERROR},
                 {"a{1,3}z?", has_z, FINISH_STOP}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct grammar *g = grammar_of(engine, GRAMMAR_REGEX, cases[i].regex);
        struct job *job = job_with_biases(g, world.n_vocab, 40);
        struct error err = {0};
        uint64_t retry_ms;
        ban(job, world.n_vocab, cases[i].banned);
        job->ignore_eos = true;
        enum status status = engine_submit(engine, job, &retry_ms, &err);
        ck_assert_int_eq(status == STATUS_INVALID, cases[i].finish == FINISH_NONE);
        if (status == STATUS_OK) {
            wait_finished(engine, job);
            ck_assert_int_eq(job->finish, cases[i].finish);
            if (job->finish == FINISH_ERROR)
                ck_assert_int_eq(job->error.status, STATUS_INVALID);
            else
                ck_assert(job_matches(job));
        } else {
            ck_assert_str_eq(err.param, "logit_bias");
        }
        job_destroy(job);
        grammar_release(g);
    }
}
END_TEST

static int32_t token_of(const char *text)
{
    for (int32_t id = 0; id < (int32_t)world.n_vocab; id++) {
        const struct gguf_string piece = tokenizer_piece(world.tokenizer, id, false);
        if (piece.n == strlen(text) && memcmp(piece.bytes, text, piece.n) == 0)
            return id;
    }
    ck_abort_msg("no token is \"%s\"", text);
}

/* A wish to open rules for ever, and perhaps none that closes them: a text ends as deep as it may
 * be, and a job beside it does not notice. */
START_TEST(a_text_that_goes_ever_deeper_has_a_defined_end)
{
    static const struct {
        const char *gbnf, *wished, *banned;
        enum finish_reason finish;
    } cases[] = {{"root ::= \"a\" root \"b\" | \"c\"", "a", "c", FINISH_ERROR},
                 {"root ::= \"a\" root \"b\" | \"c\"", "a", NULL, FINISH_STOP},
                 {"root ::= n [x-z]{900}\nn ::= \"(\" n \")\" | \"1\"", "(", NULL, FINISH_LENGTH},
                 {"root ::= n [x-z]{900}\nn ::= \"(\" n \")\" | \"1\"", "(", "1", FINISH_ERROR},
                 {"root ::= (\"(\" [a-z]* \".\" [a-z]* root \")\")?", "(", NULL, FINISH_STOP},
                 {"root ::= (\"(\" root \")\")* \"a\"? \"b\"?", "(", ")", FINISH_STOP}};
    struct grammar *word = grammar_of(engine, GRAMMAR_REGEX, "[a-z]{9}");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct grammar *g = grammar_of(engine, GRAMMAR_GBNF, cases[i].gbnf);
        struct job *job = job_with_biases(g, 2, 506);
        struct error err;
        uint64_t retry_ms;
        struct logit_bias wish = {token_of(cases[i].wished), 100};
        job_biases(job)[job->sampling.n_biases++] = wish;
        if (cases[i].banned != NULL) {
            struct logit_bias ban = {token_of(cases[i].banned), -INFINITY};
            struct logit_bias *at = job_biases(job) + job->sampling.n_biases++;
            *at = ban.id < wish.id ? wish : ban; /* by their ids */
            job_biases(job)[0] = ban.id < wish.id ? ban : wish;
        }
        ok(engine_submit(engine, job, &retry_ms, &err), &err);
        struct request beside = guided(word, 20, 1);
        struct job *other = run_request(engine, &beside);
        ck_assert(job_matches(other));
        wait_finished(engine, job);
        ck_assert_msg(job->finish == cases[i].finish, "%zu: %d, %.*s", i, (int)job->finish,
                      (int)job->n_text, job->text);
        ck_assert(job->finish != FINISH_STOP || job_matches(job));
        if (job->finish == FINISH_ERROR)
            ck_assert_msg(strstr(job->error.text, "as deep as it may be") != NULL, "%s",
                          job->error.text);
        job_destroy(other);
        job_destroy(job);
        grammar_release(g);
    }
    grammar_release(word);
}
END_TEST

START_TEST(a_grammar_with_too_many_ways_ends_with_an_error)
{
    struct grammar *g = grammar_of(engine, GRAMMAR_GBNF, "root ::= s\ns ::= . s? s? s? s? s? s?");
    struct request r = guided(g, 60, 4);
    r.ignore_eos = true;
    struct job *job = run_request(engine, &r);
    ck_assert_int_eq(job->finish, FINISH_ERROR);
    ck_assert_int_eq(job->error.status, STATUS_INVALID);
    ck_assert_msg(strstr(job->error.text, "too ambiguous") != NULL, "%s", job->error.text);
    job_destroy(job);
    grammar_release(g);
}
END_TEST

START_TEST(control_tokens_come_only_where_they_are_shown)
{
    struct grammar *g =
        grammar_of(engine, GRAMMAR_GBNF, "root ::= \"a\" \"<|endoftext|>\"? [b-z]{1,3} \".\"");
    struct grammar *exact = grammar_of(engine, GRAMMAR_GBNF, "root ::= \"a<|endoftext|>b\"");
    for (uint32_t i = 0; i < 8; i++) {
        struct request r = guided(i % 2 == 0 ? g : exact, 60, i);
        struct job *job = run_request(engine, &r);
        ck_assert_int_eq(job->finish, FINISH_STOP);
        ck_assert(job_matches(job)); /* spelled by tokens of text, where it comes */
        for (size_t k = 0; k < job->n_tokens; k++)
            ck_assert(!tokenizer_is_control(world.tokenizer, job->tokens[k].id));
        job_destroy(job);
    }
    grammar_release(g);
    grammar_release(exact);
}
END_TEST

START_TEST(a_cancelled_one_lets_go_of_its_grammar)
{
    struct grammar *g = grammar_of(engine, GRAMMAR_REGEX, "[a-z ]{400,}");
    struct request r = guided(g, LONG, 3);
    struct job *job = job_of(&r);
    grammar_release(g); /* the job's own is left */
    submit(engine, job);
    engine_wait(engine, job, 0);
    cancel_and_free(engine, job);
}
END_TEST

START_TEST(nothing_was_allocated_on_the_way)
{
    ck_assert_uint_eq(stats_of(engine).allocations, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine_guided");
    TCase *tests = tcase_create("guided");
    tcase_set_timeout(tests, 600);
    tcase_add_unchecked_fixture(tests, open_engine, close_engine);
    tcase_add_test(tests, every_way_of_drawing_keeps_to_the_grammar);
    tcase_add_test(tests, a_text_is_closed_within_its_limit);
    tcase_add_test(tests, a_limit_is_kept_to_the_token);
    tcase_add_test(tests, what_must_come_is_not_drawn);
    tcase_add_test(tests, a_text_that_is_all_forced_needs_no_end);
    tcase_add_test(tests, an_end_comes_only_where_the_text_may_end);
    tcase_add_test(tests, a_limit_cuts_what_could_go_on);
    tcase_add_test(tests, tokens_that_end_a_text_are_no_part_of_it);
    tcase_add_test(tests, a_stop_string_cuts_forced_text_too);
    tcase_add_test(tests, bans_that_leave_nothing_have_a_defined_end);
    tcase_add_test(tests, a_text_that_goes_ever_deeper_has_a_defined_end);
    tcase_add_test(tests, a_grammar_with_too_many_ways_ends_with_an_error);
    tcase_add_test(tests, control_tokens_come_only_where_they_are_shown);
    tcase_add_test(tests, a_cancelled_one_lets_go_of_its_grammar);
    tcase_add_test(tests, nothing_was_allocated_on_the_way);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
