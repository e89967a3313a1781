#!/bin/sh
# `ushm fsck`: what is wrong is said in words, and repaired without a loss.
. "$(dirname "$0")/lib.sh"
uid=$(id -u)
attach=$USHM_BUILD/test_tool_attach

# Offsets in a registry (doc/format.md).
in_use=428 lock=256 version=8 magic=0 procs=104 segments=80

# segment INDEX FIELD: the offset of a field
segment()
{
	echo $(($(word ns/registry.$uid $segments) + $1 * 128 + $2))
}
state=4 size=16 seq=80 first_attach=100 attaches=104

fresh()
{
	rm -rf ns
	"$ushm" mk -d ns -M 10000 -k 0x1234 >/dev/null
	"$ushm" mk -d ns -M 20000 -k 0x1235 >/dev/null
	"$ushm" mk -d ns -M 30000 -k 0 >/dev/null
	registry=ns/registry.$uid
}

# A program that has segment 1 attached until let_go; sets $holder.
hold()
{
	rm -f go said
	mkfifo go said
	"$ushm" run -d ns "$attach" 0x1235 <go >said &
	holder=$!
	trap 'kill $holder 2>/dev/null || :' EXIT
	exec 9>go
	read -r id <said
	equal 1 "$id"
}

let_go()
{
	exec 9>&-
	wait $holder || fail "the program ended with $?"
}

nattch()
{
	"$ushm" ls -d ns -n -r -o ID,NATTCH | sed -n "s/^$1 //p"
}

# finds STATUS WORDS [OPTION...]: on standard output
finds()
{
	want=$1 words=$2
	shift 2
	got=0
	"$ushm" fsck -d ns "$@" >out 2>err || got=$?
	[ $got = "$want" ] || fail "ended with $got, not $want: $(cat out err)"
	grep -q -- "$words" out err || fail "no '$words' in: $(cat out err)"
}

# repaired WORDS [STATUS]: wrong, then corrected, then right
repaired()
{
	finds 4 "^wrong: .*$1"
	finds "${2:-1}" "^corrected: .*$1" --repair
	finds 0 'nothing is wrong'
}

sound_namespace_is_0()
{
	fresh
	finds 0 'nothing is wrong'
	equal '' "$("$ushm" fsck -d ns -q)"
	equal '' "$("$ushm" fsck -d ns -q --repair)"
}

wrong_usage_is_16_and_what_cannot_be_looked_at_8()
{
	fresh
	status 16 "$ushm" fsck -d ns --start-over
	says 'goes with --repair'
	status 16 "$ushm" fsck -d ns argument
	status 16 "$ushm" fsck --nonsense
	status 8 "$ushm" fsck -d none
	says 'does not exist'
	mkdir -p empty
	status 8 "$ushm" fsck -d empty --repair
	says 'no namespace'
	[ -z "$(ls empty)" ] || fail 'it made something'
	if [ -w /dev/full ]; then
		got=0
		"$ushm" fsck -d ns >/dev/full 2>err || got=$?
		equal 8 $got
	fi
}

without_repair_nothing_changes()
{
	fresh
	poke $registry $in_use 77
	poke $registry "$(segment 0 $state)" 66
	tail -c +"$(($(word $registry $segments) + 1))" $registry >before
	finds 4 '77 segments are said to be in use'
	finds 4 'index 0 has state 66'
	tail -c +"$(($(word $registry $segments) + 1))" $registry >after
	cmp before after
	equal 77 "$(word $registry $in_use)"
}

damaged_records_are_repaired()
{
	fresh
	poke $registry $in_use 77
	poke $registry "$(segment 0 $state)" 66
	repaired 'index 0 has state 66'
	equal '0x00001234 0 10000
0x00001235 1 20000
0x00000000 2 30000' "$("$ushm" ls -d ns -n -b -r -o KEY,ID,SIZE)"
}

many_findings_are_counted()
{
	fresh
	head -c 20000 /dev/zero | tr '\0' '\377' |
		dd of=$registry bs=1 seek="$(word $registry 152)" \
			conv=notrunc 2>/dev/null
	finds 4 'and [0-9]* more like these'
	[ "$(grep -c '^wrong' out)" -lt 110 ] || fail 'all of them were told'
	repaired 'more like these'
}

attached_program_lives_through_it()
{
	fresh
	hold
	poke $registry "$(segment 1 $attaches)" 0
	poke $registry "$(segment 1 $first_attach)" 12345
	finds 4 'is in use; 1 process uses it'
	repaired 'segment 1'
	equal 1 "$(nattch 1)"
	let_go
	equal 0 "$(nattch 1)"
	finds 0 'nothing is wrong'
}

lost_sequence_is_that_of_the_file()
{
	fresh
	printf kept | dd of=ns/seg.$uid.1 conv=notrunc 2>/dev/null
	hold
	poke $registry "$(segment 1 $seq)" 5
	repaired 'has the memory of the segment of index 1'
	equal 1 "$(nattch 1)"
	let_go
	equal kept "$(head -c 4 ns/seg.$uid.1)"
}

lost_size_is_that_of_the_file()
{
	fresh
	poke $registry "$(segment 1 $size)" 99999
	repaired 'its segment is said to have 99999'
	equal 20480 "$("$ushm" ls -d ns -n -b -r -o ID,SIZE | sed -n 's/^1 //p')"
}

segment_without_file_is_removed()
{
	fresh
	rm ns/seg.$uid.0
	repaired 'segment 0 has no file: its memory is lost'
	equal '1
2' "$("$ushm" ls -d ns -n -r -o ID)"
}

attached_segment_without_file_counts_on()
{
	fresh
	hold
	rm ns/seg.$uid.1
	finds 4 'its memory is only in the processes'
	finds 3 'restart the programs' --repair
	equal 1 "$(nattch 1)"
	"$ushm" mk -d ns -M 1 -k 0x1235 | grep -q 3 || fail 'the key is taken'
	let_go
	equal '' "$(nattch 1)"
	finds 0 'nothing is wrong'
}

short_file_gets_its_length_back()
{
	fresh
	printf kept | dd of=ns/seg.$uid.1 conv=notrunc 2>/dev/null
	truncate -s 4096 ns/seg.$uid.1
	repaired 'has 4096 bytes, but its segment has 20000'
	equal 20480 "$(stat -c %s ns/seg.$uid.1)"
	equal kept "$(head -c 4 ns/seg.$uid.1)"
}

orphan_goes_and_strangers_stay()
{
	fresh
	head -c 8192 /dev/zero >ns/seg.$uid.98304 # index 0, sequence 3
	head -c 8192 /dev/zero >ns/seg.$uid.900
	: >ns/notes
	: >ns/seg.4242.0
	: >"ns/seg.$uid.01"
	finds 4 'seg.*98304 belongs to no segment (8192 bytes)'
	repaired 'seg.*900 belongs to no segment (8192 bytes)'
	equal "notes registry.$uid seg.$uid.0 seg.$uid.01 seg.$uid.1 seg.$uid.2 seg.4242.0" \
		"$(ls ns | LC_ALL=C sort | tr '\n' ' ' | sed 's/ $//')"
	finds 0 "seg.$uid.01 is none of ushm's files"
}

modes_are_set_right()
{
	fresh
	chmod 0666 $registry
	chmod 0644 ns/seg.$uid.2
	finds 4 'registry.*may be written by group'
	finds 1 'seg.*2 may be used by group' --repair
	equal '600 600' "$(stat -c %a $registry ns/seg.$uid.2 | tr '\n' ' ' |
		sed 's/ $//')"
	chmod 0777 ns
	repaired 'the directory may be written by group'
	equal 700 "$(stat -c %a ns)"
}

damaged_header_is_restored()
{
	fresh
	hold
	for row in $magic:1 $version:12345678 16:4096 24:99 28:3 80:64 \
		88:9 92:7 $procs:1 96:99999999 100:99999999; do
		poke $registry "${row%:*}" "${row#*:}"
		status 1 "$ushm" ls -d ns
		repaired 'the registry'
		equal 1 "$(nattch 1)"
	done
	printf x | dd of=$registry bs=1 seek=40 conv=notrunc 2>/dev/null
	repaired 'does not say which system'
	let_go
}

newer_registry_is_left_alone()
{
	fresh
	poke $registry $version 2
	sum=$(cksum <$registry)
	finds 4 'format version 2' --repair
	equal "$sum" "$(cksum <$registry)"
	poke $registry $version 1
	poke $registry 72 2
	finds 4 'features' --repair
	poke $registry 72 1
	finds 4 'durable namespace' --repair
}

lost_registry_is_set_aside_when_nobody_uses_it()
{
	fresh
	printf kept | dd of=ns/seg.$uid.0 conv=notrunc 2>/dev/null
	hold
	head -c 4096 /dev/zero | dd of=$registry conv=notrunc 2>/dev/null
	sum=$(head -c 8000 $registry | cksum)
	finds 4 'not a ushm registry'
	finds 4 'cannot restore it' --repair
	finds 4 "1 process uses it: [0-9]" --repair --start-over
	equal "$sum" "$(head -c 8000 $registry | cksum)"
	[ -e ns/seg.$uid.0 ] || fail 'a segment is gone'
	kill -9 "$(sed -n 's/.*uses it: \([0-9]*\).*/\1/p' out)"
	eventually finds 3 "are in damaged.$uid.0 now" --repair --start-over
	equal "$sum" "$(head -c 8000 ns/damaged.$uid.0/registry.$uid | cksum)"
	equal kept "$(head -c 4 ns/damaged.$uid.0/seg.$uid.0)"
	"$ushm" mk -d ns -M 1 -k 0x1234 >/dev/null
	finds 0 "damaged.$uid.0 is what was set aside"
}

truncated_and_missing_registries_are_told()
{
	fresh
	truncate -s 5000 $registry
	finds 4 'is a truncated registry'
	rm $registry
	finds 4 'there is no registry, but files of 3 segments'
	fresh
	hold
	rm $registry
	finds 4 "1 process uses it" --repair --start-over
	let_go
	finds 3 'damaged' --repair --start-over
	finds 8 'there is no namespace' --repair
}

process_that_was_not_marked_is_found()
{
	fresh
	hold
	slot=$(($(word $registry "$(segment 1 $first_attach)") - 1))
	records=$(word $registry 128)
	slot=$(word $registry $((records + slot * 96 + 4)))
	life=$(($(word $registry $procs) + slot * 128))
	word=$((life + 4 * ($(word $registry $((life + 88))) & 1)))
	tid=$(word $registry $word)
	kill -9 $holder
	wait $holder || :
	poke $registry $word "$tid"
	equal 1 "$(nattch 1)"
	finds 4 'is gone, but counts as alive with 1 attachments'
	repaired 'counts as alive'
	equal 0 "$(nattch 1)"
}

held_lock_is_8_and_says_by_whom()
{
	fresh
	hold
	slot=$(($(word $registry "$(segment 1 $first_attach)") - 1))
	slot=$(word $registry $(($(word $registry 128) + slot * 96 + 4)))
	poke $registry $lock $((slot + 1))
	finds 8 'has held its lock for 10 seconds' --repair
	poke $registry $lock 0
	let_go
}

findings_are_json()
{
	fresh
	poke $registry $in_use 77
	got=0
	"$ushm" fsck -d ns -J >out || got=$?
	equal 4 $got
	grep -q '"code": "totals"' out
	if command -v python3 >/dev/null; then
		python3 -c 'import json, sys; json.load(sys.stdin)' <out
	fi
}

for case in sound_namespace_is_0 \
	wrong_usage_is_16_and_what_cannot_be_looked_at_8 \
	without_repair_nothing_changes damaged_records_are_repaired \
	many_findings_are_counted \
	attached_program_lives_through_it lost_sequence_is_that_of_the_file \
	lost_size_is_that_of_the_file segment_without_file_is_removed \
	attached_segment_without_file_counts_on \
	short_file_gets_its_length_back orphan_goes_and_strangers_stay \
	modes_are_set_right damaged_header_is_restored \
	newer_registry_is_left_alone \
	lost_registry_is_set_aside_when_nobody_uses_it \
	truncated_and_missing_registries_are_told \
	process_that_was_not_marked_is_found \
	held_lock_is_8_and_says_by_whom findings_are_json; do
	check $case
done
finish
