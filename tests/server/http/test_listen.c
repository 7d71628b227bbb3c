/* test_listen.c - facts about the listening socket and the port file. */
#include "server/http/listen.h"

#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char folder[64];

static void setup(void)
{
    snprintf(folder, sizeof folder, "/tmp/smallmind-listen-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void teardown(void)
{
    rmdir(folder);
}

static void path_in(char *out, size_t room, const char *name)
{
    snprintf(out, room, "%s/%s", folder, name);
}

static bool exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

START_TEST(port_0_takes_a_free_one_and_tells_it)
{
    char port_file[128], text[32] = "";
    path_in(port_file, sizeof port_file, "port");
    struct settings settings = {
        .hosts = {{"127.0.0.1"}, 1}, .port_file = port_file, .stall_seconds = 30};
    struct listener l;
    struct error err;
    ck_assert_int_eq(listener_open(&l, &settings, &err), STATUS_OK);
    ck_assert(l.n == 1 && l.port > 0 && l.loopback && !l.remote);
    ck_assert(!exists(port_file));
    ck_assert_int_eq(listener_announce(&l, &err), STATUS_OK);
    FILE *file = fopen(port_file, "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_ptr_nonnull(fgets(text, sizeof text, file));
    fclose(file);
    ck_assert_uint_eq((unsigned)atoi(text), l.port);
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%u", l.port);
    ck_assert_str_eq(l.url, url);
    listener_close(&l);
    ck_assert(!exists(port_file));
}
END_TEST

START_TEST(a_taken_port_is_an_error_that_names_it)
{
    struct settings settings = {.hosts = {{"127.0.0.1"}, 1}};
    struct listener first, second;
    struct error err;
    ck_assert_int_eq(listener_open(&first, &settings, &err), STATUS_OK);
    settings.port = first.port;
    ck_assert_int_eq(listener_open(&second, &settings, &err), STATUS_IO);
    char port[16];
    snprintf(port, sizeof port, "%u", first.port);
    ck_assert_ptr_nonnull(strstr(err.text, port));
    ck_assert_uint_eq(second.n, 0);
    listener_close(&first);
}
END_TEST

START_TEST(only_loopback_addresses_are_loopback)
{
    struct settings settings = {.hosts = {{"0.0.0.0"}, 1}};
    struct listener l;
    struct error err;
    ck_assert_int_eq(listener_open(&l, &settings, &err), STATUS_OK);
    ck_assert(!l.loopback && l.remote);
    listener_close(&l);
    settings.hosts.items[0] = "127.0.0.2";
    ck_assert_int_eq(listener_open(&l, &settings, &err), STATUS_OK);
    ck_assert(l.loopback);
    listener_close(&l);
    settings.hosts.items[0] = "no such host";
    ck_assert_int_eq(listener_open(&l, &settings, &err), STATUS_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "no such host"));
}
END_TEST

START_TEST(ipv6_is_spoken_where_there_is_any)
{
    struct settings settings = {.hosts = {{"::1"}, 1}};
    struct listener l;
    struct error err;
    if (listener_open(&l, &settings, &err) != STATUS_OK) {
        printf("skipped: %s\n", err.text);
        return;
    }
    ck_assert(l.loopback);
    ck_assert_ptr_nonnull(strstr(l.url, "http://[::1]:"));
    listener_close(&l);
}
END_TEST

START_TEST(a_stale_unix_socket_is_replaced_and_a_live_one_is_not)
{
    char path[100];
    path_in(path, sizeof path, "socket");
    struct settings settings = {.unix_path = path, .unix_alone = true, .unix_mode = 0600};
    struct listener l, other;
    struct error err;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd); /* its file stays, without a listener */
    ck_assert_int_eq(listener_open(&l, &settings, &err), STATUS_OK);
    ck_assert(!l.loopback && exists(path));
    ck_assert_int_eq(listener_open(&other, &settings, &err), STATUS_IO);
    ck_assert(exists(path));
    listener_close(&l);
    ck_assert(!exists(path));
}
END_TEST

START_TEST(a_file_that_is_no_socket_is_left_alone)
{
    char path[100];
    path_in(path, sizeof path, "file");
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fclose(file);
    struct settings settings = {.unix_path = path, .unix_alone = true, .unix_mode = 0600};
    struct listener l;
    struct error err;
    ck_assert_int_eq(listener_open(&l, &settings, &err), STATUS_IO);
    ck_assert(exists(path));
    unlink(path);
}
END_TEST

START_TEST(a_port_file_that_cannot_be_written_is_an_error)
{
    struct settings settings = {.hosts = {{"127.0.0.1"}, 1}, .port_file = "/nonexistent/port"};
    struct listener l;
    struct error err;
    ck_assert_int_eq(listener_open(&l, &settings, &err), STATUS_OK);
    ck_assert_int_eq(listener_announce(&l, &err), STATUS_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "/nonexistent/port"));
    listener_close(&l);
}
END_TEST

static unsigned port_of(int fd)
{
    struct sockaddr_storage address;
    socklen_t n = sizeof address;
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &n), 0);
    return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                               : ((struct sockaddr_in *)&address)->sin_port);
}

START_TEST(several_addresses_share_one_port)
{
    struct settings settings = {.hosts = {{"127.0.0.1", "127.0.0.2", "[127.0.0.3]"}, 3}};
    struct listener l;
    struct error err;
    ck_assert_int_eq(listener_open(&l, &settings, &err), STATUS_OK);
    ck_assert_uint_eq(l.n, 3);
    for (size_t i = 0; i < l.n; i++)
        ck_assert_uint_eq(port_of(l.fds[i]), l.port);
    char urls[128];
    snprintf(urls, sizeof urls, "http://127.0.0.1:%u, http://127.0.0.2:%u, http://127.0.0.3:%u",
             l.port, l.port, l.port);
    ck_assert_str_eq(l.urls, urls);
    ck_assert(l.loopback && !l.remote);
    listener_close(&l);
    settings.hosts.items[1] = "0.0.0.0"; /* covers the others */
    ck_assert_int_eq(listener_open(&l, &settings, &err), STATUS_OK);
    ck_assert(l.n == 1 && l.remote && !l.loopback);
    listener_close(&l);
}
END_TEST

START_TEST(localhost_is_every_address_of_it_that_there_is)
{
    struct settings v6 = {.hosts = {{"[::1]"}, 1}};
    struct settings settings = {.hosts = {{"LocalHost", "127.0.0.1", "localhost."}, 3}};
    struct listener l;
    struct error err;
    bool has_v6 = listener_open(&l, &v6, &err) == STATUS_OK;
    if (has_v6)
        listener_close(&l);
    ck_assert_int_eq(listener_open(&l, &settings, &err), STATUS_OK);
    ck_assert_uint_eq(l.n, has_v6 ? 2 : 1);
    ck_assert(l.loopback);
    for (size_t i = 0; i < l.n; i++)
        ck_assert_uint_eq(port_of(l.fds[i]), l.port);
    listener_close(&l);
    struct settings both = {.hosts = {{"::", "0.0.0.0"}, 2}};
    ck_assert_int_eq(listener_open(&l, &both, &err), STATUS_OK);
    ck_assert_uint_eq(l.n, has_v6 ? 2 : 1);
    listener_close(&l);
}
END_TEST

START_TEST(one_address_that_cannot_be_had_leaves_none_open)
{
    struct settings settings = {.hosts = {{"127.0.0.1", "192.0.2.1"}, 2}};
    struct listener l;
    struct error err;
    ck_assert_int_eq(listener_open(&l, &settings, &err), STATUS_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "192.0.2.1"));
    ck_assert_uint_eq(l.n, 0);
    settings.hosts.items[1] = "[localhost]"; /* brackets are for addresses */
    ck_assert_int_eq(listener_open(&l, &settings, &err), STATUS_IO);
}
END_TEST

START_TEST(the_unix_socket_has_the_mode_that_was_asked_for_whatever_the_umask)
{
    static const unsigned modes[] = {0600, 0660, 0666, 0777, 0200};
    char path[100];
    path_in(path, sizeof path, "socket");
    struct listener l;
    struct error err;
    struct stat st;
    mode_t before = umask(0);
    for (size_t i = 0; i < 2 * sizeof modes / sizeof modes[0]; i++) {
        struct settings settings = {
            .hosts = {{"127.0.0.1"}, 1}, .unix_path = path, .unix_mode = modes[i / 2]};
        umask(i % 2 == 0 ? 0 : 077);
        ck_assert_int_eq(listener_open(&l, &settings, &err), STATUS_OK);
        ck_assert(l.n == 2 && l.n_tcp == 1 && l.loopback);
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_uint_eq(st.st_mode & 0777, modes[i / 2]);
        listener_close(&l);
        ck_assert(!exists(path));
    }
    umask(before);
}
END_TEST

START_TEST(a_file_that_another_process_has_put_in_its_place_stays)
{
    char path[100], port_file[100];
    path_in(path, sizeof path, "socket");
    path_in(port_file, sizeof port_file, "port");
    struct settings settings = {
        .hosts = {{"127.0.0.1"}, 1}, .unix_path = path, .unix_mode = 0600, .port_file = port_file};
    struct listener old, new;
    struct error err;
    ck_assert_int_eq(listener_open(&old, &settings, &err), STATUS_OK);
    ck_assert_int_eq(listener_announce(&old, &err), STATUS_OK);
    unlink(path);
    ck_assert_int_eq(listener_open(&new, &settings, &err), STATUS_OK);
    ck_assert_int_eq(listener_announce(&new, &err), STATUS_OK);
    listener_close(&old);
    ck_assert(exists(path) && exists(port_file));
    listener_close(&new);
    ck_assert(!exists(path) && !exists(port_file));

    ck_assert_int_eq(listener_open(&old, &settings, &err), STATUS_OK);
    ck_assert_int_eq(listener_announce(&old, &err), STATUS_OK);
    FILE *file = fopen(port_file, "w"); /* the same inode, another port */
    ck_assert_ptr_nonnull(file);
    fputs("1\n", file);
    fclose(file);
    listener_close(&old);
    ck_assert(exists(port_file) && !exists(path));
    unlink(port_file);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("listen");
    TCase *tcase = tcase_create("listen");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, port_0_takes_a_free_one_and_tells_it);
    tcase_add_test(tcase, a_taken_port_is_an_error_that_names_it);
    tcase_add_test(tcase, only_loopback_addresses_are_loopback);
    tcase_add_test(tcase, ipv6_is_spoken_where_there_is_any);
    tcase_add_test(tcase, a_stale_unix_socket_is_replaced_and_a_live_one_is_not);
    tcase_add_test(tcase, a_file_that_is_no_socket_is_left_alone);
    tcase_add_test(tcase, a_port_file_that_cannot_be_written_is_an_error);
    tcase_add_test(tcase, several_addresses_share_one_port);
    tcase_add_test(tcase, localhost_is_every_address_of_it_that_there_is);
    tcase_add_test(tcase, one_address_that_cannot_be_had_leaves_none_open);
    tcase_add_test(tcase, the_unix_socket_has_the_mode_that_was_asked_for_whatever_the_umask);
    tcase_add_test(tcase, a_file_that_another_process_has_put_in_its_place_stays);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
