/* What tests of functions with errors share: the error of the last one, and that there was none. */
#ifndef DUET_ERR_FIXTURE_H
#define DUET_ERR_FIXTURE_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "err.h"

static struct err e;

static inline void ok(int rc) {
    if (rc) fail_msg("%s", e.msg);
}

#endif
