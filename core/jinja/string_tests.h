/* string_tests.h - the str methods that answer yes or no. */
#pragma once

#include "jinja/args.h"

#define JINJA_TEST(name)                                                                           \
    struct jinja_value name(struct jinja_heap *heap, struct jinja_value self,                      \
                            const struct jinja_value *a, const struct jinja_args *args)
JINJA_TEST(tests_isalnum);
JINJA_TEST(tests_isalpha);
JINJA_TEST(tests_isascii);
JINJA_TEST(tests_isdecimal);
JINJA_TEST(tests_isdigit);
JINJA_TEST(tests_isidentifier);
JINJA_TEST(tests_islower);
JINJA_TEST(tests_isnumeric);
JINJA_TEST(tests_isprintable);
JINJA_TEST(tests_isspace);
JINJA_TEST(tests_istitle);
JINJA_TEST(tests_isupper);
