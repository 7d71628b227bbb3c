/* string_tests.h - the str methods that answer yes or no. */
#pragma once

#include "jinja/args.h"

JINJA_METHOD(tests_isalnum);
JINJA_METHOD(tests_isalpha);
JINJA_METHOD(tests_isascii);
JINJA_METHOD(tests_isdecimal);
JINJA_METHOD(tests_isdigit);
JINJA_METHOD(tests_isidentifier);
JINJA_METHOD(tests_islower);
JINJA_METHOD(tests_isnumeric);
JINJA_METHOD(tests_isprintable);
JINJA_METHOD(tests_isspace);
JINJA_METHOD(tests_istitle);
JINJA_METHOD(tests_isupper);
