#!/bin/sh
# SPDX-License-Identifier: MIT
# A program that links libushm.a gets the names that libushm.so exports, and no
# other that its own could clash with.
build=${ABI_BUILD:?is the build directory}
failed=0

names() { # what nm lists, without the version that the library gives it
	nm --defined-only "$@" | sed -n 's/^.* [A-Z] //p' | sed 's/@.*//' |
		grep -v '^USHM_0$' | sort -u
}

for variant in . m32 musl; do
	[ -e "$build/$variant/libushm.a" ] || continue
	names -g "$build/$variant/libushm.a" >"exports.archive.$$"
	names -D "$build/$variant/libushm.so" >"exports.library.$$"
	if [ ! -s "exports.library.$$" ] ||
		! diff "exports.library.$$" "exports.archive.$$"; then
		echo "FAIL $variant: > is in libushm.a only, < in libushm.so"
		failed=1
	fi
done
rm -f "exports.archive.$$" "exports.library.$$"
exit $failed
