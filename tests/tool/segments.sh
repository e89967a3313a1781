#!/bin/sh
# `ushm mk`, `ls`, `stat`, `rm` and `init`.
. "$(dirname "$0")/lib.sh"

# Every case has a namespace of its own.
fresh()
{
	rm -rf "$work/ns"
	USHM_DIR=$work/ns
	export USHM_DIR
}

# make ARGUMENT...: prints the id
make()
{
	"$ushm" mk "$@" | sed 's/^Shared memory id: //'
}

mk_prints_the_id()
{
	fresh
	"$ushm" mk -M 4096 | grep -qx 'Shared memory id: [0-9]*'
}

mk_takes_sizes_with_units()
{
	fresh
	for size in 1:1 4096:4096 1K:1024 1k:1024 2KiB:2048 1KB:1000 \
		3M:3145728 1MB:1000000 0x10:16; do
		id=$(make -M "${size%:*}")
		equal "${size#*:}" "$("$ushm" ls -nrb -o SIZE,ID |
			sed -n "s/ $id\$//p")"
	done
}

mk_refuses_nonsense()
{
	fresh
	status 2 "$ushm" mk
	says 'give a size'
	for size in '' x 1X 1KX -1 1.5K 99999999999999999999 99999999E; do
		status 2 "$ushm" mk -M "$size"
		says 'is not a size'
	done
	for mode in '' 8 1777 0x1 rw; do
		status 2 "$ushm" mk -M 1 -p "$mode"
		says 'is not an octal mode'
	done
	status 2 "$ushm" mk -M 1 -k 12z
	says 'is not a key'
	status 2 "$ushm" mk -M 1 more
	says 'too many'
	status 2 "$ushm" mk --what
	says 'unknown'
}

mk_of_nothing_names_the_object()
{
	fresh
	status 1 "$ushm" mk -M 0
	says 'cannot make a segment of 0B in'
	grep -q 'hint: ' err
}

mk_sets_mode_and_key()
{
	fresh
	make -M 1 >/dev/null
	make -M 1 -p 0600 -k 0x1234 >/dev/null
	"$ushm" ls -nr -o PERMS,KEY | grep -q '^rw-r--r-- 0x'
	"$ushm" ls -nr -o PERMS,KEY | grep -qx 'rw------- 0x00001234'
	status 1 "$ushm" mk -M 1 -k 0x1234
	says 'key 0x00001234'
}

ls_of_no_namespace_is_empty()
{
	fresh
	equal '' "$("$ushm" ls 2>&1)"
	[ ! -e ns ] || fail 'it was made'
	"$ushm" ls -J | tr -d ' \n' | grep -qx '{"schema":1,"segments":\[\]}'
}

ls_of_a_refused_namespace_fails()
{
	mkdir -p open
	chmod 777 open
	status 1 "$ushm" ls --dir open
	says open
}

ls_has_the_columns_of_lsipc()
{
	fresh
	make -M 1 >/dev/null
	equal 'KEY ID PERMS OWNER SIZE NATTCH STATUS CTIME CPID LPID COMMAND' \
		"$("$ushm" ls -r | head -n 1)"
	equal 'SIZE ID' "$("$ushm" ls -r -o size,ID | head -n 1)"
	equal 'COMMAND RSS SWAP' \
		"$("$ushm" ls -r -o +RSS,swap | head -n 1 | cut -d ' ' -f 11-)"
	equal 'KEY ID OWNER ATTACH DETACH CTIME' \
		"$("$ushm" ls -r -t | head -n 1)"
	for column in ATTACH DETACH CUID CUSER CGID CGROUP UID USER GID GROUP \
		RSS SWAP AGE; do
		"$ushm" ls -o $column | head -n 1 | grep -q $column
	done
	status 2 "$ushm" ls -o ID,COLOUR
	says "no column 'COLOUR'"
}

ls_can_leave_out_the_headings()
{
	fresh
	id=$(make -M 4096)
	equal "$id" "$("$ushm" ls -n -o ID)"
	equal "ID=\"$id\" SIZE=\"4096\"" "$("$ushm" ls -e -b -o ID,SIZE)"
	equal "$id 4K" "$("$ushm" ls -nr -o ID,SIZE)"
}

ls_json_has_numbers_and_nulls()
{
	command -v jq >/dev/null || skip 'no jq'
	fresh
	id=$(make -M 5000 -p 640 -k 0xabc)
	"$ushm" ls -J -o +ATTACH,UID,RSS,AGE >json
	jq -e --argjson id "$id" --argjson uid "$(id -u)" '
		.schema == 1 and (.segments | length) == 1 and
		(.segments[0] | .id == $id and .key == "0x00000abc" and
		.size == 5000 and .nattch == 0 and .perms == "rw-r-----" and
		.attach == null and .status == null and .uid == $uid and
		(.rss | type) == "number" and (.age | type) == "number" and
		(.ctime | test("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z$")))' \
		json || fail "$(cat json)"
}

ls_json_is_the_same_in_every_locale()
{
	fresh
	make -M 1500000 >/dev/null
	want=$("$ushm" ls -J)
	for locale in C.UTF-8 de_DE.UTF-8 tr_TR.UTF-8; do
		equal "$want" "$(LC_ALL=$locale "$ushm" ls -J)"
	done
}

ls_shows_times_in_three_ways()
{
	fresh
	make -M 1 >/dev/null
	short=$("$ushm" ls -nr -o CTIME)
	full=$("$ushm" ls -nr -o CTIME --time-format full)
	iso=$("$ushm" ls -nr -o CTIME --time-format iso)
	echo "$short" | grep -q '^[0-9][0-9]:[0-9][0-9]$'
	echo "$full" | grep -q "$(date +%Y)\$"
	echo "$iso" | grep -q "^$(date +%Y)-.*T.*[+-][0-9][0-9]:[0-9][0-9]\$"
	status 2 "$ushm" ls --time-format never
	says 'never'
}

rm_by_id()
{
	fresh
	a=$(make -M 1) b=$(make -M 1) c=$(make -M 1) d=$(make -M 1)
	status 0 "$ushm" rm -m "$a" "$b" -m "$c"
	equal "$d" "$("$ushm" ls -n -o ID)"
	status 0 "$ushm" rm "$d"
	equal '' "$("$ushm" ls -n -o ID)"
}

rm_by_key()
{
	fresh
	make -M 1 -k 0x10 >/dev/null
	make -M 1 -k 17 >/dev/null
	make -M 1 -k 022 >/dev/null
	status 0 "$ushm" rm -M 16 0x11 -M 022
	equal '' "$("$ushm" ls -n -o ID)"
}

rm_says_what_failed_and_goes_on()
{
	fresh
	id=$(make -M 1)
	status 1 "$ushm" rm -m 2147483647 "$id" -M 0x7777
	equal 2 "$(wc -l <err)"
	grep -q 'segment 2147483647 in .*ns: there is no such segment' err
	grep -q 'key 0x7777 in .*ns: there is no segment with this key' err
	equal '' "$("$ushm" ls -n -o ID)"
	status 1 "$ushm" rm -m x
	says "'x' is not a segment id"
	status 1 "$ushm" rm -M 0
	says "'0' is not a key"
}

rm_wants_something_named()
{
	fresh
	status 2 "$ushm" rm
	says 'name segments'
	status 2 "$ushm" rm --all -m 1
	says 'exclude'
	status 2 "$ushm" rm --force -m 1
	says 'goes with --all'
}

rm_in_no_namespace_fails()
{
	fresh
	status 1 "$ushm" rm -m 1
	says ns
	status 0 "$ushm" rm --all
}

rm_all_takes_the_unattached()
{
	fresh
	a=$(make -M 1) b=$(make -M 1)
	equal "would remove shared memory segment id '$a'
would remove shared memory segment id '$b'" "$("$ushm" rm --all --dry-run)"
	equal 2 "$("$ushm" ls -n -o ID | wc -l)"
	equal "removing shared memory segment id '$a'
removing shared memory segment id '$b'" "$("$ushm" rm --all -v)"
	equal '' "$("$ushm" ls -n -o ID)"
}

stat_tells_everything()
{
	fresh
	id=$(make -M 4096 -p 600 -k 0x5)
	"$ushm" stat "$id" >out
	for words in "Segment $id" 'key  *0x00000005' 'size  *4K (4096 bytes)' \
		'permissions  *rw------- (0600)' 'attachments  *0' \
		'last attach  *never'; do
		grep -q "$words" out || fail "no '$words' in: $(cat out)"
	done
}

stat_of_nothing_fails()
{
	fresh
	make -M 1 >/dev/null
	status 1 "$ushm" stat 2147483647
	says 'segment 2147483647 in .*ns: there is no such segment'
	status 2 "$ushm" stat
	status 2 "$ushm" stat one
	says "'one' is not a segment id"
	status 2 "$ushm" stat 1 2
	status 1 "$ushm" stat --dir nowhere 0
	says nowhere
}

stat_json_has_segment_and_attachments()
{
	command -v jq >/dev/null || skip 'no jq'
	fresh
	id=$(make -M 4096)
	"$ushm" stat -J "$id" >json
	jq -e --argjson id "$id" '.schema == 1 and .segments[0].id == $id and
		.segments[0].size == 4096 and .attachments == []' json ||
		fail "$(cat json)"
}

init_makes_a_namespace_once()
{
	fresh
	status 0 "$ushm" init --max-segments 64
	[ -d ns ] || fail 'no directory'
	equal drwx------ "$(stat -c %A ns)"
	status 1 "$ushm" init
	says 'there is a namespace already'
	status 2 "$ushm" init --max-segments 0
	status 2 "$ushm" init --max-segments many
	says "'many' is not a number"
}

init_sets_the_ceiling()
{
	fresh
	"$ushm" init --max-segments 4
	for _ in 1 2 3 4; do
		make -M 1 >/dev/null
	done
	status 1 "$ushm" mk -M 1
	says 'cannot make a segment'
	grep -q 'hint: .* all the 4 segments' err
}

output_that_cannot_be_written_is_an_error()
{
	[ -c /dev/full ] || skip 'no /dev/full'
	fresh
	make -M 1 >/dev/null
	for args in --help --version 'ls' 'ls -J' 'mk -M 1'; do
		got=0
		# shellcheck disable=SC2086
		"$ushm" $args >/dev/full 2>err || got=$?
		equal "1 $args" "$got $args"
		says 'cannot write standard output'
	done
}

help_and_usage()
{
	for cmd in run ls stat mk rm init; do
		"$ushm" $cmd --help >out
		head -n 1 out | grep -q "^Usage: ushm $cmd"
		"$ushm" help $cmd | cmp - out
	done
	"$ushm" --help | grep -q '^Usage: ushm'
	"$ushm" --version | grep -q '^ushm [0-9]'
	status 2 "$ushm"
	status 2 "$ushm" no-such-command
	says "no command 'no-such-command'"
}

for case in mk_prints_the_id mk_takes_sizes_with_units mk_refuses_nonsense \
	mk_of_nothing_names_the_object mk_sets_mode_and_key \
	ls_of_no_namespace_is_empty ls_of_a_refused_namespace_fails \
	ls_has_the_columns_of_lsipc ls_can_leave_out_the_headings \
	ls_json_has_numbers_and_nulls ls_json_is_the_same_in_every_locale \
	ls_shows_times_in_three_ways rm_by_id rm_by_key \
	rm_says_what_failed_and_goes_on rm_wants_something_named \
	rm_in_no_namespace_fails rm_all_takes_the_unattached \
	stat_tells_everything stat_of_nothing_fails \
	stat_json_has_segment_and_attachments init_makes_a_namespace_once \
	init_sets_the_ceiling output_that_cannot_be_written_is_an_error \
	help_and_usage; do
	check $case
done
finish
