/* test_peer.c - facts about addresses, networks and forwarded lists. */
#include "server/http/peer.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct peer_networks networks_of(const char *const *texts)
{
    struct peer_networks networks = {.n = 0};
    for (; *texts != NULL; texts++)
        ck_assert_msg(peer_networks_add(&networks, *texts), "%s", *texts);
    return networks;
}

/* The walk over the fields, the last one first, from a peer; NULL ends them. */
static const char *walk(const struct peer_networks *networks, const char *peer,
                        const char *const *fields)
{
    static char text[PEER_TEXT_MAX];
    struct peer_networks alone = {.n = 0};
    ck_assert(peer_networks_add(&alone, peer));
    struct peer client = {.local = alone.local, .address = alone.list[0].address};
    while (*fields != NULL && peer_forwarded(&client, networks, *fields, strlen(*fields)))
        fields++;
    peer_text(&client, text);
    return text;
}

START_TEST(networks_are_read_or_refused)
{
    static const char *const good[] = {
        "10.0.0.0/8", "127.0.0.1", "0.0.0.0/0",           "::/0",       "::1",
        "fd00::/8",   "unix",      "::ffff:10.0.0.0/104", "10.1.2.3/8", NULL};
    static const char *const bad[] = {
        "",       "10",        "10.0.0.0/33", "10.0.0.0/", "::1/129",   "::1/-1",   "::1/+1",
        "::1/1a", "localhost", "10.0.0/8",    "[::1]",     "10.0.0.1 ", "::1/0001", "10.0.0.0/8/8"};
    struct peer_networks networks = networks_of(good);
    ck_assert_uint_eq(networks.n, 8);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(!peer_networks_add(&networks, bad[i]), "%s", bad[i]);
    while (networks.n < PEER_NETWORKS_MAX)
        ck_assert(peer_networks_add(&networks, "::1"));
    ck_assert(!peer_networks_add(&networks, "::1"));
}
END_TEST

START_TEST(an_address_is_in_its_network_to_the_bit)
{
    static const struct {
        const char *network, *address;
        bool in;
    } cases[] = {{"10.0.0.0/8", "10.255.255.255", true},
                 {"10.0.0.0/8", "11.0.0.0", false},
                 {"10.1.2.3/8", "10.9.9.9", true},
                 {"192.168.4.0/22", "192.168.7.255", true},
                 {"192.168.4.0/22", "192.168.8.0", false},
                 {"0.0.0.0/0", "8.8.8.8", true},
                 {"0.0.0.0/0", "2001:db8::1", false},
                 {"::/0", "8.8.8.8", true},
                 {"127.0.0.1", "127.0.0.1", true},
                 {"127.0.0.1", "127.0.0.2", false},
                 {"127.0.0.1", "::ffff:127.0.0.1", true},
                 {"::ffff:10.0.0.0/104", "10.2.3.4", true},
                 {"fd00::/7", "fc00::1", true},
                 {"fd00::/8", "fc00::1", false},
                 {"2001:db8::/33", "2001:db8:8000::", false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct peer_networks networks = networks_of((const char *[]){cases[i].network, NULL});
        struct peer_networks one = networks_of((const char *[]){cases[i].address, NULL});
        struct peer client = {.address = one.list[0].address};
        ck_assert_msg(peer_is_trusted(&networks, &client) == cases[i].in, "%s in %s",
                      cases[i].address, cases[i].network);
    }
}
END_TEST

START_TEST(the_rightmost_address_that_is_not_trusted_is_the_client)
{
    static const char *const trusted[] = {"127.0.0.1", "10.0.0.0/8", "fd00::/8", "unix", NULL};
    struct peer_networks networks = networks_of(trusted);
    static const struct {
        const char *peer, *fields[4], *right;
    } cases[] = {
        {"127.0.0.1", {"1.2.3.4"}, "1.2.3.4"},
        {"9.9.9.9", {"1.2.3.4"}, "9.9.9.9"}, /* not asked */
        {"127.0.0.1", {"6.6.6.6, 1.2.3.4, 10.0.0.7"}, "1.2.3.4"},
        {"127.0.0.1", {"10.1.1.1,10.2.2.2"}, "10.1.1.1"},
        {"127.0.0.1", {"10.2.2.2", "1.2.3.4"}, "1.2.3.4"},
        {"127.0.0.1", {"5.5.5.5", "1.2.3.4"}, "5.5.5.5"},
        {"127.0.0.1", {"2001:db8::7"}, "2001:db8::7"},
        {"127.0.0.1", {"[2001:db8::7]:4711 , fd00::1"}, "2001:db8::7"},
        {"127.0.0.1", {"1.2.3.4:4711"}, "1.2.3.4"},
        {"127.0.0.1", {"::ffff:1.2.3.4"}, "1.2.3.4"},
        {"127.0.0.1", {"1.2.3.4, unknown, 10.0.0.7"}, "10.0.0.7"},
        {"127.0.0.1", {"1.2.3.4,,\t, "}, "1.2.3.4"},
        {"127.0.0.1", {""}, "127.0.0.1"},
        {"127.0.0.1", {"evil\n", "1.2.3.4"}, "127.0.0.1"},
        {"127.0.0.1", {"[::1", "1.2.3.4"}, "127.0.0.1"},
        {"127.0.0.1", {"1111111111111111111111111111111111111111111111111111"}, "127.0.0.1"},
        {"fd00::5", {"2001:db8::1"}, "2001:db8::1"},
        {"unix", {"1.2.3.4"}, "1.2.3.4"},
        {"unix", {NULL}, "unix"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ck_assert_str_eq(walk(&networks, cases[i].peer, cases[i].fields), cases[i].right);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("peer");
    TCase *tcase = tcase_create("peer");
    tcase_add_test(tcase, networks_are_read_or_refused);
    tcase_add_test(tcase, an_address_is_in_its_network_to_the_bit);
    tcase_add_test(tcase, the_rightmost_address_that_is_not_trusted_is_the_client);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
