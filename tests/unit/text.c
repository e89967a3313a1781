/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <string.h>
#include <sys/mman.h>

#include "base/text.h"
#include "base/user.h"

CASE("text", text_never_overflows_and_is_always_terminated)
{
	char buf[8];
	struct text t;

	text_init(&t, buf, sizeof(buf));
	text_str(&t, "1234567");
	CHECK(!t.full);
	CHECK(strcmp(buf, "1234567") == 0);
	text_str(&t, "8");
	CHECK(t.full);
	CHECK(strcmp(buf, "1234567") == 0);
}

CASE("text", numbers_are_padded_and_signed)
{
	char buf[80];
	struct text t;

	text_init(&t, buf, sizeof(buf));
	text_int(&t, -5, 4);
	text_str(&t, "|");
	text_int(&t, INT64_MIN, 0);
	text_str(&t, "|");
	text_uint(&t, 0xbeef, 16, 8, '0');
	text_str(&t, "|");
	text_uint(&t, 0, 8, 0, ' ');
	CHECK(strcmp(buf, "  -5|-9223372036854775808|0000beef|0") == 0);
}

CASE("text", parsing_stops_at_the_end_of_the_buffer)
{
	const char *s = "12345", *none = "x";
	uint64_t value = 7;

	CHECK(text_parse(&s, s + 3, 10, &value));
	CHECK_EQ(value, 123);
	CHECK(*s == '4');
	CHECK(!text_parse(&none, none + 1, 10, &value));
	CHECK_EQ(value, 123);
}

CASE("text", number_of_more_than_64_bits_is_none)
{
	const char *most = "18446744073709551615",
		   *more = "18446744073709551616";
	uint64_t value = 7;

	CHECK(!text_parse(&more, more + 20, 10, &value));
	CHECK_EQ(value, 7);
	CHECK(text_parse(&most, most + 20, 10, &value));
	CHECK_EQ(value, UINT64_MAX);
}

CASE("user", bad_memory_is_efault)
{
	char good[112] = { 1 }, *page;
	size_t i;
	struct {
		const char *why;
		uintptr_t at;
		int read, write;
	} rows[] = {
		{ "null", 0, -EFAULT, -EFAULT },
		{ "the last byte", UINTPTR_MAX, -EFAULT, -EFAULT },
		{ "the kernel's", UINTPTR_MAX / 2 + 4096, -EFAULT, -EFAULT },
		{ "read-only", 0, 0, -EFAULT },
		{ "half of it mapped", 0, -EFAULT, -EFAULT },
		{ "writable", 0, 0, 0 },
		{ "on the stack", (uintptr_t)good, 0, 0 },
	};

	page = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	REQUIRE(page != MAP_FAILED);
	REQUIRE_OK(mprotect(page, 4096, PROT_READ));
	REQUIRE_OK(munmap(page + 2 * 4096, 4096));
	rows[3].at = (uintptr_t)page;
	rows[4].at = (uintptr_t)page + 2 * 4096 - 50;
	rows[5].at = (uintptr_t)page + 4096;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char copy[112];

		NOTE("%s", rows[i].why);
		CHECK_EQ(user_read(copy, (void *)rows[i].at, sizeof(copy)),
			 rows[i].read);
		CHECK_EQ(user_write((void *)rows[i].at, copy, sizeof(copy)),
			 rows[i].write);
	}
}
