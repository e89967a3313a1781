#!/bin/sh
# `ushm limits`, and what a program finds in /proc/sys/kernel.
. "$(dirname "$0")/lib.sh"
filter=$USHM_BUILD/tests/without-sysv

# `! command` would not end a case: set -e does not look at it.
refused()
{
	if "$@"; then return 1; fi
}

limits_are_shown_and_changed()
{
	"$ushm" init -d ns
	[ "$("$ushm" limits -d ns | wc -l)" = 6 ]
	"$ushm" limits -d ns shmmax=1M shmmni=0x10 shm_next_id=7
	"$ushm" limits -d ns | grep -q 'shmmax  *1048576 '
	"$ushm" limits -d ns | grep -q 'shmmni  *16 '
	"$ushm" mk -d ns -M 10 | grep -q 'id: 7$'
	refused "$ushm" mk -d ns -M 2M
	"$ushm" limits -d ns -J | grep -q '"value": -1,'
}

bad_values_are_refused()
{
	"$ushm" init -d ns2
	for bad in shmmni=32769 shm_rmid_forced=2 shm_next_id=2147483648; do
		refused "$ushm" limits -d ns2 $bad
	done
	for bad in shmmax shmmax= foo=1 =1 shmmni=x; do
		status=0
		"$ushm" limits -d ns2 $bad || status=$?
		[ $status = 2 ]
	done
	refused "$ushm" limits -d none
	[ ! -e none ]
}

programs_find_them_in_proc()
{
	"$ushm" init -d ns3
	"$ushm" limits -d ns3 shmmni=321
	[ "$("$filter" "$ushm" run -d ns3 cat /proc/sys/kernel/shmmni)" = 321 ]
	[ "$(id -u)" = 0 ] || exit 0
	"$filter" "$ushm" run -d ns3 sh -c \
		'echo 55 >/proc/sys/kernel/shmmni; cat /proc/sys/kernel/shmmni' |
		grep -qx 55
	"$ushm" limits -d ns3 | grep -q 'shmmni  *55 '
}

check limits_are_shown_and_changed
check bad_values_are_refused
check programs_find_them_in_proc
finish
