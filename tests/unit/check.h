/* CMocka, and what tests ask of a call that fills an error. */
#ifndef HOLDFAST_TESTS_CHECK_H
#define HOLDFAST_TESTS_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/error.h"

/* It must return 0; else the test fails with the error. */
#define check(call, err)                                                                                     \
    do {                                                                                                     \
        char text_[3 * ERROR_TEXT_MAX];                                                                      \
        if ((call) != 0) {                                                                                   \
            fail_msg("%s", error_format(&(err), text_, sizeof text_));                                       \
        }                                                                                                    \
    } while (0)

#endif
