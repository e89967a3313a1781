#!/bin/sh
# SPDX-License-Identifier: MIT
# One kind of program runs another, through a shell each time: all of them find
# one namespace, and the dynamic linkers have nothing to say.
build=${ABI_BUILD:?is the build directory}
[ -x "$build/ushm" ] || { echo "there is no ushm command"; exit 77; }

peers=
for variant in . m32 musl; do
	peer=$build/$variant/tests/abi-peer
	[ -x "$peer" ] || { echo "there is no $peer: no compiler for it"; exit 77; }
	peers="$peers $peer"
done

failed=0
for a in $peers; do
	for b in $peers; do
		for c in $peers; do
			got=$("$build/ushm" run --private "$a" 7 \
				"$b 7 '$c 7 echo'" 2>&1)
			[ "$got" = '0 0 0 ' ] && continue
			echo "FAIL $a, $b, $c: $got"
			failed=1
		done
	done
done
exit $failed
