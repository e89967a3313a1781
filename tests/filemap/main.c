/* SPDX-License-Identifier: MIT */
#define CHECK_MAIN
#include "support/check.h"
