/* SPDX-License-Identifier: MIT */
/* What the unit tests share: a directory of their own for each case. */
#ifndef USHM_TESTS_UNIT_H
#define USHM_TESTS_UNIT_H

#include "support/check.h"

/* A fresh empty directory on tmpfs where there is one; removed afterwards. */
const char *unit_dir(void);

/* "<unit_dir()>/name" in a static buffer. */
const char *unit_path(const char *name);

#endif
