#!/bin/sh
# SPDX-License-Identifier: MIT
# POSIX shared memory objects under the command: which namespace they are in,
# how they are listed and removed, and what becomes of them.
# shellcheck source=tests/tool/lib.sh
. "$(dirname "$0")/../tool/lib.sh"
uid=$(id -u)
objects=$USHM_BUILD/tests/posix-objects

# make DIR NAME SIZE: an object with a byte in each of its pages
make()
{
	"$ushm" run -d "$1" "$objects" -x makes "$2" "$3"
}

names()
{
	"$ushm" ls -d "$1" --posix -n -r -o NAME | tr '\n' ' '
}

lie_in_the_namespace()
{
	make ns /ushm-test-one 5000
	[ -f "ns/posix.$uid/ushm-test-one" ] || fail 'not in the namespace'
	[ ! -e /dev/shm/ushm-test-one ] || fail 'in /dev/shm'
	equal 700 "$(stat -c %a "ns/posix.$uid")"
}

are_listed_by_name()
{
	make ns /b 5000
	make ns /a 100000
	equal 'a b ' "$(names ns)"
	equal 'b 5000 8192 rw-r----- '"$(id -un) $uid" "$("$ushm" ls -d ns --posix \
		-b -n -r -o NAME,SIZE,RSS,PERMS,OWNER,UID | tail -n 1)"
	"$ushm" ls -d ns --posix | head -n 1 |
		grep -q '^NAME  *PERMS  *OWNER  *SIZE  *RSS  *MTIME$'
	"$ushm" ls -d ns --posix --time | grep -q CTIME
	# Those of System V are another list.
	equal '' "$("$ushm" ls -d ns -n)"
	status 2 "$ushm" ls -d ns --posix -o KEY
	says "no column 'KEY'"
	status 2 "$ushm" ls -d ns -o NAME
	says "no column 'NAME'"
}

are_listed_as_json()
{
	make ns /a 100000
	when=$(date -u +%Y-%m-%dT)
	"$ushm" ls -d ns --posix -J >out
	for line in '"schema": 1,' '"objects": \[' '"name": "a",' \
		'"size": 100000,' '"rss": 102400,' '"perms": "rw-r-----",' \
		"\"mtime\": \"${when}[0-9:]*Z\""; do
		grep -q "$line" out || fail "no $line in: $(cat out)"
	done
	# A name of any bytes stays JSON.
	make ns "$(printf '/q"\377')" 1
	"$ushm" ls -d ns --posix -J -o NAME >out
	grep -q '"name": "q\\"'"$(printf '\357\277\275')"'"' out || fail "$(cat out)"
}

nothing_is_an_empty_list()
{
	equal '' "$("$ushm" ls -d ns --posix -n)"
	"$ushm" init -d ns
	equal '' "$("$ushm" ls -d ns --posix -n)"
	"$ushm" ls -d ns --posix -J | tr -d ' \n' | grep -q '"objects":\[\]'
}

are_removed_by_name()
{
	for name in /a /b /c /d; do
		make ns $name 1
	done
	equal "would remove POSIX shared memory object 'a'" \
		"$("$ushm" rm -d ns -N --posix a)"
	equal 'a b c d ' "$(names ns)"
	equal "removing POSIX shared memory object '/a'" \
		"$("$ushm" rm -d ns -v --posix /a)"
	"$ushm" rm -d ns --posix b c
	equal 'd ' "$(names ns)"
	status 1 "$ushm" rm -d ns --posix b
	says "object 'b' in .*: there is no such object"
	status 1 "$ushm" rm -d ns -N --posix b
	says "object 'b' in .*: there is no such object"
	for name in . .. / '' ../registry.$uid a/b; do
		status 1 "$ushm" rm -d ns --posix "$name"
		says "is not the name of an object"
	done
	# Nobody can say who maps them: --all is for segments.
	"$ushm" mk -d ns -M 1 >/dev/null
	"$ushm" rm -d ns --all
	equal 'd ' "$(names ns)"
	equal '' "$("$ushm" ls -d ns -n)"
	id=$("$ushm" mk -d ns -M 1 | tr -dc 0-9)
	"$ushm" rm -d ns --posix d -m "$id"
	equal '' "$(names ns)$("$ushm" ls -d ns -n)"
}

a_durable_namespace_has_them_in_memory()
{
	"$ushm" init --durable --force -d ns
	make ns "/durable.$$" 1
	file=$(find /dev/shm /tmp -maxdepth 3 -name "durable.$$" 2>/dev/null)
	trap 'rm -rf "${file%/*/*}"' EXIT
	case $file in
	*/ushm-durable-*/posix.$uid/durable.$$) ;;
	*) fail "it is '$file'" ;;
	esac
	equal "durable.$$ " "$(names ns)"
	equal 'nothing is wrong' "$("$ushm" fsck -d ns)"
	"$ushm" rm -d ns --posix "durable.$$"
	equal '' "$(names ns)"
}

two_namespaces_have_two_objects()
{
	make one /same 1
	make two /same 2
	equal 1 "$("$ushm" ls -d one --posix -n -r -b -o SIZE)"
	equal 2 "$("$ushm" ls -d two --posix -n -r -b -o SIZE)"
	"$ushm" rm -d one --posix same
	equal 'same ' "$(names two)"
}

a_private_namespace_takes_both_kinds_along()
{
	"$ushm" run -d ns "$objects" -x makes /outside 1
	"$ushm" run --private sh -c '
		"$1" -x makes /inside 300000 && ipcmk -M 4096 >/dev/null
		"$2" ls --posix -n -r -o NAME && "$2" ls -n -r -o SIZE
		echo "$USHM_DIR"' sh "$objects" "$ushm" >out
	equal 'inside 4K ' "$(head -n 2 out | tr '\n' ' ')"
	eventually gone "$(tail -n 1 out)"
	[ ! -e /dev/shm/inside ] || fail 'in /dev/shm'
	equal 'outside ' "$(names ns)"
}

is_abandoned()
{
	"$ushm" gc -N -d ns | grep -q "would remove: $1"
}

gc_takes_those_of_a_killed_private_one()
{
	mkfifo said
	"$ushm" run --private sh -c '"$1" -x makes /inside 300000
		echo $$ $USHM_DIR >said; exec sleep 60' sh "$objects" &
	read -r command dir <said
	guard=$(sed -n 's/^guard \([0-9]*\) .*/\1/p' "$dir/.private")
	kill -9 "$!" "$guard" "$command" 2>/dev/null
	wait
	[ -f "$dir/posix.$uid/inside" ] || fail "no object in $dir"
	# They are not our children: nobody says when they are gone.
	eventually is_abandoned "$dir"
	"$ushm" gc -d ns >out
	grep -q "removed: $dir.*[0-9]K" out || fail "$(cat out)"
	gone "$dir" || fail "still there"
}

fsck_and_gc_know_the_directory()
{
	make ns /a 1
	equal 'nothing is wrong' "$("$ushm" fsck -d ns)"
	equal '' "$("$ushm" gc -d ns)"
	chmod 755 "ns/posix.$uid"
	status 4 "$ushm" fsck -d ns >out
	grep -q "posix.$uid may be used by group or others" out
	status 1 "$ushm" fsck -d ns -r >out
	equal 700 "$(stat -c %a "ns/posix.$uid")"
	equal 'a ' "$(names ns)"
	rm -r "ns/posix.$uid"
	echo >"ns/posix.$uid"
	"$ushm" fsck -d ns >out
	grep -q "posix.$uid is no directory" out
}

a_directory_that_others_may_write_to_is_refused()
{
	make ns /a 1
	chmod 770 "ns/posix.$uid"
	status 1 make ns /b 1
	chmod 700 "ns/posix.$uid"
	mv "ns/posix.$uid" there
	ln -s ../there "ns/posix.$uid"
	status 1 make ns /b 1
	status 1 "$ushm" ls -d ns --posix
	equal a "$(ls there)"
}

without_a_namespace_there_are_none()
{
	status 1 env USHM_DIR=nowhere/ns \
		LD_PRELOAD="$USHM_BUILD/libushm-preload.so" \
		"$objects" -x makes /a 1
	grep -q 'shm_open: Function not implemented' err || fail "$(cat err)"
	[ ! -e /dev/shm/a ] || fail 'it was made in /dev/shm'
}

a_reboot_takes_them_along()
{
	[ "$(stat -f -c %T .)" != tmpfs ] || skip "$work is a tmpfs"
	make ns /a 1
	"$ushm" mk -d ns -M 1 >/dev/null
	# As if the registry was of another boot (doc/format.md).
	printf '00000000-0000-4000-8000-000000000000' |
		dd of="ns/registry.$uid" bs=1 seek=32 conv=notrunc 2>/dev/null
	"$ushm" gc -N -d ns >out
	grep -q "posix.$uid is of before the last reboot" out || fail "$(cat out)"
	equal '' "$("$ushm" ls -d ns -n)"
	make ns /b 1
	equal 'b ' "$(names ns)"
}

for case in lie_in_the_namespace are_listed_by_name are_listed_as_json \
	nothing_is_an_empty_list are_removed_by_name \
	a_durable_namespace_has_them_in_memory two_namespaces_have_two_objects \
	a_private_namespace_takes_both_kinds_along \
	gc_takes_those_of_a_killed_private_one fsck_and_gc_know_the_directory \
	a_directory_that_others_may_write_to_is_refused \
	without_a_namespace_there_are_none \
	a_reboot_takes_them_along; do
	check $case
	rm -rf "${work:?}"/*
done
finish
