#!/bin/sh
# Segments of running programs: `ushm run` and the other commands together.
. "$(dirname "$0")/lib.sh"

attach=$USHM_BUILD/test_tool_attach

# begin ARGUMENT...: a program in $USHM_DIR attaches; sets $pid and $id. It
# ends with end, or when its standard input, the pipe `hold`, is closed.
begin()
{
	rm -rf ns hold said
	mkfifo hold said
	USHM_DIR=$work/ns
	export USHM_DIR
	"$ushm" run "$attach" "$@" <hold >said &
	pid=$!
	exec 8>hold
	read -r id <said
	[ -n "$id" ] || fail 'it attached nothing'
}

end()
{
	exec 8>&-
	wait "$pid"
}

row()
{
	"$ushm" stat "$id" | awk -v pid="$pid" '$1 == pid'
}

ls_shows_the_segment_of_a_program()
{
	begin 0x5151
	equal "0x00005151 $id rw------- 4096 1 $pid $pid" \
		"$("$ushm" ls -nrb -o KEY,ID,PERMS,SIZE,NATTCH,CPID,LPID)"
	"$ushm" ls -n -o COMMAND | grep -q 'test_tool_attach 0x5151'
	end
	equal 0 "$("$ushm" ls -n -o NATTCH | tr -d ' ')"
	equal '' "$("$ushm" ls -nr -o COMMAND)"
}

stat_shows_who_is_attached()
{
	begin 0x5151
	row | grep -q " $(id -un) *rw *0x[0-9a-f]* .* alive .*test_tool_attach"
	kill -STOP "$pid"
	eventually sh -c '"$0" stat "$1" | grep -q " stopped "' "$ushm" "$id"
	kill -CONT "$pid"
	end
	equal '' "$(row)"
}

stat_knows_read_only_from_read_write()
{
	begin 0x5151 ro
	row | grep -q ' ro '
	end
}

stat_json_has_the_attachment()
{
	command -v jq >/dev/null || skip 'no jq'
	begin 0x5151
	"$ushm" stat -J "$id" >json
	jq -e --argjson pid "$pid" '.segments[0].nattch == 1 and
		(.attachments | length) == 1 and (.attachments[0] |
		.pid == $pid and .mode == "rw" and .length == 4096 and
		.state == "alive" and (.address | startswith("0x")) and
		(.since | endswith("Z")))' json || fail "$(cat json)"
	end
}

command_lines_of_any_bytes_are_shown_safely()
{
	begin 0x5151 rw "$(printf 'a\377b\033[31m"q\\e\nf\303\274')"
	"$ushm" ls -J -o COMMAND >json
	iconv -f UTF-8 -t UTF-8 json >/dev/null || fail "$(cat json)"
	printf '\033' >escape
	for show in 'ls -o COMMAND' "stat $id"; do
		# shellcheck disable=SC2086
		LC_ALL=C.UTF-8 "$ushm" $show >shown
		grep -q 'test_tool_attach 0x5151' shown || fail "$(cat shown)"
		grep -qF -f escape shown && fail "an escape sequence in $show"
	done
	command -v jq >/dev/null || skip 'no jq'
	jq -r '.segments[0].command' json >text
	printf 'rw a\357\277\275b\033[31m"q\\e f\303\274\n' >want
	grep -qF -f want text || fail "$(cat text)"
	end
}

killed_program_is_not_counted()
{
	begin 0x5151
	kill -9 "$pid"
	wait "$pid" || :
	equal 0 "$("$ushm" ls -nr -o NATTCH)"
	equal '' "$(row)"
}

rm_all_leaves_the_attached()
{
	begin 0x5151
	other=$("$ushm" mk -M 1 | sed 's/.*: //')
	equal "keeping shared memory segment id '$id': 1 attached
removing shared memory segment id '$other'" \
		"$("$ushm" rm --all -v 2>err | sort)"
	equal "$id" "$("$ushm" ls -nr -o ID)"
	status 0 "$ushm" rm --all --force
	equal "0x00000000 $id dest" "$("$ushm" ls -nr -o KEY,ID,STATUS)"
	"$ushm" stat "$id" | grep -q 'removed; its memory is freed'
	end
	equal '' "$("$ushm" ls -nr -o ID)"
}

private_programs_do_not_meet()
{
	begin 0x5151
	status 0 "$ushm" run --private "$attach" 0x5151 </dev/null >theirs
	equal 1 "$("$ushm" ls -n -o ID | wc -l)"
	equal 0 "$("$ushm" run --private "$ushm" ls -n -o ID | wc -l)"
	end
}

children_share_the_namespace()
{
	rm -rf ns
	USHM_DIR=$work/ns "$ushm" run sh -c '
		one=$("$0" 0x5252 </dev/null)
		two=$("$0" 0x5252 </dev/null)
		[ "$one" = "$two" ]' "$attach"
	equal 0x00005252 "$("$ushm" ls --dir "$work/ns" -nr -o KEY)"
}

for case in ls_shows_the_segment_of_a_program stat_shows_who_is_attached \
	stat_knows_read_only_from_read_write stat_json_has_the_attachment \
	command_lines_of_any_bytes_are_shown_safely \
	killed_program_is_not_counted rm_all_leaves_the_attached \
	private_programs_do_not_meet children_share_the_namespace; do
	check $case
done
finish
