/* test_events.c - facts about streams: server-sent events cut in every possible way, the plain
 * form, and that all forms tell the same text. */
#include "api/answers.h"

START_TEST(a_stream_tells_the_same_however_it_is_cut)
{
    size_t room = event_min(-1);
    for (unsigned polls = 0; polls < 1U << 10; polls++)
        stream_once(10, polls, -1, NULL, room);
    for (unsigned polls = 0; polls < 1U << N_HARD; polls += 211) {
        stream_once(N_HARD, polls, -1, "cxx", 1 << 16); /* begins in one token, ends in the next */
        stream_once(N_HARD, polls, -1, "\xe2\x82\xac", 1 << 16);
        stream_once(N_HARD, polls, -1, "\x01\xef\xbf\xbd", room);
        stream_once(N_HARD, polls, 3, "never", event_min(3));
    }
}
END_TEST

START_TEST(what_a_stop_string_ate_is_in_tokens_and_not_in_text)
{
    struct job *job = hard_job(-1, "cxx", N_HARD);
    ck_assert_int_eq(job->finish, FINISH_STOP);
    struct collected c = {.n_text = 0};
    struct generation_mark cursor = {.n_tokens = 0};
    drain(&c, job, &cursor, 1 << 14);
    check_collected(&c, job);
    ck_assert_int_eq(c.tokens[c.n_tokens - 1], MINI_LONG);
    ck_assert_mem_eq(c.text + c.n_text - 2, "ab", 2);
    job_destroy(job);
}
END_TEST

START_TEST(one_event_takes_every_token_that_is_ready)
{
    struct job *job = mini_job(tokenizer, N_HARD, -1, NULL);
    struct generation_mark cursor = {.n_tokens = 0};
    char out[8192];
    ck_assert_uint_eq(event(job, &cursor, out, sizeof out), 0);
    mini_step(job, tokenizer, MINI_A);
    mini_step(job, tokenizer, MINI_B);
    mini_step(job, tokenizer, MINI_BYTE + 0xe2); /* half a character: not yet */
    size_t n = event(job, &cursor, out, sizeof out);
    static const char first[] = "id: 2\ndata: {\"text\":\"ab\",\"tokens\":[260,261]}\n\n";
    ck_assert_uint_eq(n, sizeof first - 1);
    ck_assert_mem_eq(out, first, n);
    ck_assert_uint_eq(event(job, &cursor, out, sizeof out), 0);
    mini_step(job, tokenizer, MINI_BYTE + 0x82);
    ck_assert_uint_eq(event(job, &cursor, out, sizeof out), 0);
    mini_step(job, tokenizer, MINI_BYTE + 0xac);
    n = event(job, &cursor, out, sizeof out);
    static const char second[] =
        "id: 5\ndata: {\"text\":\"\xe2\x82\xac\",\"tokens\":[229,133,175]}\n\n";
    ck_assert_uint_eq(n, sizeof second - 1);
    ck_assert_mem_eq(out, second, n);
    ck_assert_uint_eq(event(job, &cursor, out, sizeof out), 0);
    mini_finish(job, false, FINISH_LENGTH);
    n = event(job, &cursor, out, sizeof out);
    static const char last[] =
        "id: 5\ndata: "
        "{\"text\":\"\",\"tokens\":[],\"finish_reason\":\"length\",\"seed\":0,\"usage\":{";
    ck_assert_mem_eq(out, last, sizeof last - 1);
    ck_assert_mem_eq(out + n - 16, "\n\ndata: [DONE]\n\n", 16);
    ck_assert(cursor.done);
    job_destroy(job);
}
END_TEST

START_TEST(any_token_fits_the_least_room)
{
    for (int n_logprobs = -1; n_logprobs <= JOB_LOGPROBS_MAX; n_logprobs += 7) {
        size_t room = event_min(n_logprobs);
        for (int32_t id = 0; id < MINI_VOCAB; id += id < MINI_PIECE ? 7 : 1) {
            struct job *job = mini_job(tokenizer, 6, n_logprobs, NULL);
            struct generation_mark cursor = {.n_tokens = 0};
            struct collected c = {.n_text = 0};
            job->sampling.seed = UINT64_MAX;
            for (int i = 0; i < 5; i++)
                mini_step(job, tokenizer, id);
            mini_finish(job, false, FINISH_LENGTH);
            /* the bound must hold for all of the vocabulary beside it, too */
            for (int i = 0; i < 5 && n_logprobs > 0; i++)
                for (int k = 0; k < n_logprobs; k++)
                    job->logprobs[i].top[k].id = MINI_LONG;
            if (id != MINI_BYTE) /* cJSON cuts at NUL */
                drain(&c, job, &cursor, room);
            if (id != MINI_BYTE)
                check_collected(&c, job);
            job_destroy(job);
        }
    }
}
END_TEST

START_TEST(a_failure_ends_the_stream_with_its_error)
{
    struct job *job = mini_job(tokenizer, N_HARD, -1, "bc");
    struct generation_mark cursor = {.n_tokens = 0};
    struct collected c = {.n_text = 0};
    mini_step(job, tokenizer, MINI_A);
    mini_step(job, tokenizer, MINI_B); /* held back: it may begin the stop string */
    error_set(&job->error, STATUS_INTERNAL, "a logit is not finite");
    job->finish = FINISH_ERROR;
    atomic_store(&job->finished, true);
    drain(&c, job, &cursor, 1 << 14);
    ck_assert(c.failed && !c.done && !c.last);
    ck_assert_uint_eq(c.n_tokens, 1);
    ck_assert_uint_eq(c.n_events, 2);
    char out[4096];
    cursor = (struct generation_mark){.n_tokens = 1, .n_text = 1};
    size_t n = event(job, &cursor, out, sizeof out - 1);
    out[n] = '\0';
    ck_assert_str_eq(out, "data: {\"error\":{\"code\":\"internal_error\",\"type\":\"server_error\","
                          "\"message\":\"a logit is not finite\",\"param\":null}}\n\n");
    job->finish = FINISH_CANCELLED;
    ck_assert_uint_eq(errors_of_job(job).http, 503);
    job_destroy(job);
}
END_TEST

START_TEST(a_job_without_tokens_still_ends)
{
    struct job *job = mini_job(tokenizer, 4, 0, NULL);
    struct generation_mark cursor = {.n_tokens = 0};
    struct collected c = {.n_text = 0};
    mini_finish(job, false, FINISH_DEADLINE);
    drain(&c, job, &cursor, event_min(0));
    check_collected(&c, job);
    char out[2048];
    cJSON *tree = parse(out, whole(job, out, sizeof out));
    ck_assert_str_eq(get(tree, "finish_reason")->valuestring, "deadline");
    ck_assert_str_eq(get(tree, "text")->valuestring, "");
    ck_assert_int_eq(cJSON_GetArraySize(get(tree, "tokens")), 0);
    ck_assert_int_eq(cJSON_GetArraySize(get(tree, "logprobs")), 0);
    cJSON_Delete(tree);
    job_destroy(job);
}
END_TEST

START_TEST(plain_text_comes_in_whole_characters)
{
    for (size_t room = 4; room < 200; room += room < 16 ? 1 : 23) {
        for (unsigned polls = 0; polls < 1U << N_HARD; polls += 311) {
            struct job *job = mini_job(tokenizer, N_HARD, -1, NULL);
            struct generation_mark cursor = {.n_tokens = 0};
            char text[1024], chunk[256];
            size_t n_text = 0;
            for (size_t i = 0; i <= N_HARD; i++) {
                if (i < N_HARD)
                    mini_step(job, tokenizer, hard[i]);
                else
                    mini_finish(job, false, FINISH_LENGTH);
                if (i < N_HARD && !(polls >> i & 1))
                    continue;
                for (size_t n; (n = text_event(job, &cursor, chunk, room)) > 0;) {
                    ck_assert_uint_le(n, room);
                    ck_assert_uint_eq(utf8_check(chunk, n), n);
                    memcpy(text + n_text, chunk, n);
                    n_text += n;
                }
                ck_assert(cursor.done == (i == N_HARD));
            }
            ck_assert_uint_eq(n_text, job->n_text);
            ck_assert_mem_eq(text, job->text, n_text);
            job_destroy(job);
        }
    }
}
END_TEST

START_TEST(the_three_forms_tell_the_same_text)
{
    for (size_t n_tokens = 0; n_tokens <= N_HARD; n_tokens++) {
        struct job *job = hard_job(-1, NULL, n_tokens);
        struct generation_mark cursor = {.n_tokens = 0}, plain = {.n_tokens = 0};
        struct collected c = {.n_text = 0};
        char out[8192], text[1024];
        drain(&c, job, &cursor, 1 << 13);
        size_t n_text = text_event(job, &plain, text, sizeof text);
        cJSON *tree = parse(out, whole(job, out, sizeof out));
        const char *whole = get(tree, "text")->valuestring;
        ck_assert_uint_eq(strlen(whole), n_text);
        ck_assert_mem_eq(whole, text, n_text);
        ck_assert_uint_eq(c.n_text, n_text);
        ck_assert_mem_eq(c.text, text, n_text);
        cJSON_Delete(tree);
        job_destroy(job);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("api/events");
    TCase *streams = tcase_create("streams");
    tcase_add_checked_fixture(streams, setup, teardown);
    tcase_add_test(streams, a_stream_tells_the_same_however_it_is_cut);
    tcase_add_test(streams, what_a_stop_string_ate_is_in_tokens_and_not_in_text);
    tcase_add_test(streams, one_event_takes_every_token_that_is_ready);
    tcase_add_test(streams, any_token_fits_the_least_room);
    tcase_add_test(streams, a_failure_ends_the_stream_with_its_error);
    tcase_add_test(streams, a_job_without_tokens_still_ends);
    tcase_add_test(streams, plain_text_comes_in_whole_characters);
    tcase_add_test(streams, the_three_forms_tell_the_same_text);
    tcase_set_timeout(streams, 120);
    suite_add_tcase(suite, streams);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
