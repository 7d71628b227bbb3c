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
    ck_assert(l.fd >= 0 && l.port > 0 && l.loopback);
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
    ck_assert_int_eq(second.fd, -1);
    listener_close(&first);
}
END_TEST

START_TEST(only_loopback_addresses_are_loopback)
{
    struct settings settings = {.hosts = {{"0.0.0.0"}, 1}};
    struct listener l;
    struct error err;
    ck_assert_int_eq(listener_open(&l, &settings, &err), STATUS_OK);
    ck_assert(!l.loopback);
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
    struct settings settings = {.unix_path = path};
    struct listener l, other;
    struct error err;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd); /* its file stays, and nobody listens */
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
    struct settings settings = {.unix_path = path};
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
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
