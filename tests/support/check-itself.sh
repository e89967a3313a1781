#!/bin/sh
# SPDX-License-Identifier: MIT
# check-itself.sh PROGRAM - does check.h see each failure, and nothing else?
list=$(mktemp) || exit 77
trap 'rm -f "$list"' EXIT
printf '# comment\n\nhere differs because\nthere passes never here\n' >"$list"

out=$("$1" -w raw -f here -d "$list")
[ $? -eq 1 ] || { echo "$out"; echo "exit status is not 1"; exit 1; }

bad=$(echo "$out" | grep -v '^    ' | grep -v -E \
	-e '^ok passes' -e '^FAIL fails_' -e '^skip is_skipped' \
	-e '^expected difference differs ' \
	-e '^3 passed, 11 failed, 2 skipped, 1 expected differences$')
[ -z "$bad" ] || { echo "$out"; echo "unexpected: $bad"; exit 1; }

# A difference that is none, a case that is none, a line that is none.
for line in 'here passes because' 'here nosuch because' 'here passes'; do
	echo "$line" >"$list"
	"$1" -f here -d "$list" passes >/dev/null && {
		echo "accepted: $line"
		exit 1
	}
done

"$1" passes >/dev/null || { echo "passes alone: failed"; exit 1; }
"$1" is_skipped >/dev/null
[ $? -eq 77 ] || { echo "skipped alone: not 77"; exit 1; }
exit 0
