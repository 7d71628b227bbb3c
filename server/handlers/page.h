/* page.h - GET /: the page, one file that the program carries. Loop thread. */
#pragma once

#include "server/http/request.h"

extern const struct handler page_handler;
