/* padding.h - the str methods that bring a text to a width. */
#pragma once

#include "jinja/args.h"

JINJA_METHOD(padding_center);
JINJA_METHOD(padding_ljust);
JINJA_METHOD(padding_rjust);
JINJA_METHOD(padding_zfill);
JINJA_METHOD(padding_expandtabs);
