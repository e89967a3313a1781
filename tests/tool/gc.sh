#!/bin/sh
# `ushm gc`: removes what nobody can use, and nothing else.
. "$(dirname "$0")/lib.sh"
uid=$(id -u)
attach=$USHM_BUILD/test_tool_attach

fresh()
{
	rm -rf ns
	"$ushm" mk -d ns -M 10000 -k 0x1234 >/dev/null
	"$ushm" mk -d ns -M 20000 -k 0x1235 >/dev/null
}

# A program has segment 1 attached, and it is removed; sets $holder.
hold_removed()
{
	rm -f go said
	mkfifo go said
	"$ushm" run -d ns "$attach" 0x1235 <go >said &
	holder=$!
	trap 'kill $holder 2>/dev/null || :' EXIT
	exec 9>go
	read -r id <said
	"$ushm" rm -d ns -m "$id"
}

nothing_is_removed_where_nothing_is_too_much()
{
	fresh
	equal '' "$("$ushm" gc -d ns)"
	equal '' "$("$ushm" gc -d none)"
	[ ! -e none ] || fail 'it made a namespace'
	equal 2 "$(ls ns | grep -c '^seg')"
	status 2 "$ushm" gc -d ns 3
}

living_are_left_alone()
{
	fresh
	hold_removed
	equal '' "$("$ushm" gc -d ns)"
	equal 2 "$(ls ns | grep -c '^seg')"
	exec 9>&-
	wait $holder
}

what_the_killed_had_is_removed()
{
	fresh
	hold_removed
	kill -9 $holder
	wait $holder || :
	"$ushm" gc -d ns --dry-run >out
	grep -q "^would remove: process $holder is gone and had 1 att" out
	grep -q '^would remove: segment 1 was removed, and who had' out
	grep -q '^would free ' out
	[ -e ns/seg.$uid.1 ] || fail '--dry-run removed it'
	"$ushm" gc -d ns --dry-run >again
	cmp out again
	"$ushm" gc -d ns >out
	grep -q '^removed: segment 1 was removed' out
	grep -q '^freed ' out
	gone ns/seg.$uid.1 || fail 'it is still there'
	[ -e ns/seg.$uid.0 ] || fail 'a segment that lives is gone'
	equal '' "$("$ushm" gc -d ns)"
}

orphans_are_removed()
{
	fresh
	head -c 8192 /dev/zero >ns/seg.$uid.98304 # index 0, sequence 3
	head -c 8192 /dev/zero >ns/seg.$uid.900
	: >ns/seg.$uid.7.gone
	: >ns/notes
	"$ushm" gc -d ns -N >out
	grep -q "^would remove: seg.$uid.900 belongs to no segment (8K)" out
	grep -q '^would free 16K' out
	[ -e ns/seg.$uid.900 ] || fail '--dry-run removed it'
	"$ushm" gc -d ns >out
	grep -q '^freed 16K' out
	equal "notes registry.$uid seg.$uid.0 seg.$uid.1" \
		"$(ls ns | tr '\n' ' ' | sed 's/ $//')"
	equal '' "$("$ushm" fsck -d ns -q)"
}

registries_that_were_never_finished_are_removed()
{
	fresh
	sh -c 'echo $$' >dead
	: >ns/registry.$uid.new-$(cat dead)
	equal '' "$("$ushm" gc -d ns)" # it may be being made
	touch -d '2 minutes ago' ns/registry.$uid.new-*
	: >ns/registry.$uid.new-$$
	touch -d '2 minutes ago' ns/registry.$uid.new-$$
	"$ushm" gc -d ns | grep -q "new-$(cat dead) was being made"
	gone ns/registry.$uid.new-$(cat dead) || fail 'it is still there'
	[ -e ns/registry.$uid.new-$$ ] || fail 'its maker lives'
}

private_directories_are_removed()
{
	rm -f said
	mkfifo said
	"$ushm" run --private sh -c \
		'echo $$ "$USHM_DIR" >said; while :; do sleep 0.05; done' &
	launcher=$!
	read -r command dir <said
	guard=$(sed -n 's/^guard \([0-9]*\) .*/\1/p' "$dir/.private")
	"$ushm" gc -d none >out
	[ -d "$dir" ] || fail 'it was removed while the command ran'
	kill -9 "$guard" "$launcher" "$command"
	wait $launcher || :
	for pid in $guard $launcher $command; do
		eventually [ ! -e /proc/$pid/maps -o ! -s /proc/$pid/maps ]
	done
	eventually sh -c '"$0" gc -N -d none | grep -q "would remove: $1, of"' \
		"$ushm" "$dir"
	[ -d "$dir" ] || fail '--dry-run removed it'
	"$ushm" gc -d none | grep -q "removed: $dir, of an 'ushm run --priv"
	gone "$dir" || fail 'it is still there'
}

damaged_registry_is_not_cleaned_by()
{
	fresh
	: >ns/seg.$uid.900
	poke ns/registry.$uid 428 77
	status 1 "$ushm" gc -d ns
	says "see 'ushm fsck'"
	poke ns/registry.$uid 428 2
	poke ns/registry.$uid 0 2
	status 1 "$ushm" gc -d ns
	says "see 'ushm fsck'"
	[ -e ns/seg.$uid.900 ] || fail 'it was removed'
}

namespace_of_before_a_reboot_is_removed()
{
	fresh
	[ "$(stat -f -c %T ns)" != tmpfs ] || skip 'this is a tmpfs'
	printf '00000000-0000-4000-8000-000000000000' |
		dd of=ns/registry.$uid bs=1 seek=32 conv=notrunc 2>/dev/null
	"$ushm" fsck -d ns | grep -q 'of before the last reboot'
	"$ushm" gc -d ns -N | grep -q "would remove: seg.$uid.0 is of before"
	[ -e ns/seg.$uid.0 ] || fail '--dry-run removed it'
	"$ushm" gc -d ns | grep -q "removed: registry.$uid is of before"
	equal '' "$(ls ns)"
}

for case in nothing_is_removed_where_nothing_is_too_much \
	living_are_left_alone what_the_killed_had_is_removed \
	orphans_are_removed registries_that_were_never_finished_are_removed \
	private_directories_are_removed damaged_registry_is_not_cleaned_by \
	namespace_of_before_a_reboot_is_removed; do
	check $case
done
finish
