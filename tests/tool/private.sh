#!/bin/sh
# `ushm run --private`: the namespace is gone at the end, whatever the end was.
. "$(dirname "$0")/lib.sh"

# A failed case leaves nothing running.
clean_up()
{
	[ $? -eq 0 ] || kill -9 $launcher $command 2>/dev/null
}

# Start a command that says who it is and then waits; 'begin WORD...' runs it
# by that command. Sets $launcher, $command, $dir and $guard.
begin()
{
	rm -f said
	mkfifo said
	launcher= command=
	trap clean_up EXIT
	"$@" "$ushm" run --private sh -c \
		'echo $$ "$USHM_DIR" >said; while :; do sleep 0.05; done' &
	launcher=$!
	read -r command dir <said
	guard=$(sed -n 's/^guard \([0-9]*\) .*/\1/p' "$dir/.private")
	[ -d "$dir" ] && [ -n "$guard" ] || fail 'no directory, no guard'
}

# ended WANT: how the launcher ended
ended()
{
	got=0
	wait "$launcher" || got=$?
	equal "$1" $got
}

state()
{
	sed -n 's/^State:[^A-Za-z]*\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null
}

in_state()
{
	case $(state "$2") in
	[$1]) return 0 ;;
	*) return 1 ;;
	esac
}

dead()
{
	in_state ZX "$1" || [ ! -d "/proc/$1" ]
}

directory_is_new_and_private()
{
	one=$("$ushm" run --private printenv USHM_DIR)
	two=$("$ushm" run --private printenv USHM_DIR)
	[ "$one" != "$two" ] || fail "twice $one"
	case $one in
	/dev/shm/ushm-$(id -u).private-* | */ushm-$(id -u).private-*) ;;
	*) fail "it is $one" ;;
	esac
	equal drwx------ \
		"$("$ushm" run --private sh -c 'stat -c %A "$USHM_DIR"')"
}

gone_after_a_normal_end()
{
	status 0 "$ushm" run --private sh -c 'echo "$USHM_DIR" >dir'
	gone "$(cat dir)" || fail 'it is still there'
	status 42 "$ushm" run --private sh -c 'echo "$USHM_DIR" >dir; exit 42'
	gone "$(cat dir)" || fail 'it is still there'
}

gone_when_the_program_cannot_be_executed()
{
	cp "$(command -v env)" busy
	(
		exec 8>>busy # ETXTBSY
		sh -c 'echo $$ >pid; exec "$0" run --private ./busy' "$ushm" \
			2>err || echo $? >got
	)
	equal 126 "$(cat got)"
	says 'busy'
	grep -l "^launcher $(cat pid) " /dev/shm/ushm-*.private-*/.private \
		/tmp/ushm-*.private-*/.private && fail 'a directory stayed'
	return 0
}

gone_after_kill_9_of_the_command()
{
	begin
	kill -9 "$command"
	ended 137
	gone "$dir" || fail 'it is still there'
	eventually dead "$guard"
}

gone_after_kill_term_of_the_launcher()
{
	begin
	kill -TERM "$launcher"
	ended 143
	gone "$dir" || fail 'it is still there'
	dead "$command" || fail 'the command lives'
}

gone_after_kill_9_of_the_launcher()
{
	begin
	kill -9 "$launcher"
	ended 137
	[ -d "$dir" ] || fail 'it went while the command ran'
	[ -d "/proc/$command" ] || fail 'the command is gone'
	kill -9 "$command"
	eventually gone "$dir"
	eventually dead "$guard"
}

gone_after_kill_9_of_the_process_group()
{
	command -v setsid >/dev/null || skip 'no setsid'
	rm -f said
	mkfifo said
	launcher= command=
	trap clean_up EXIT
	setsid "$ushm" run --private sh -c \
		'echo $$ "$USHM_DIR" >said; while :; do sleep 0.05; done' &
	launcher=$!
	read -r command dir <said
	group=$(cut -d ' ' -f 5 "/proc/$command/stat")
	[ "$group" != "$(cut -d ' ' -f 5 /proc/$$/stat)" ] ||
		fail 'the command is in the group of the test'
	env kill -9 -- "-$group" # dash's own has no --
	ended 137
	eventually gone "$dir"
}

gone_after_kill_9_of_guard_and_command()
{
	begin
	kill -9 "$guard"
	kill -9 "$command"
	ended 137
	gone "$dir" || fail 'it is still there'
}

next_run_removes_what_three_kills_left()
{
	begin
	kill -9 "$guard" "$launcher" "$command"
	ended 137
	eventually dead "$guard"
	eventually dead "$command"
	status 0 "$ushm" run --private true
	gone "$dir" || fail 'it is still there'
}

next_run_leaves_alone_what_is_in_use()
{
	begin
	status 0 "$ushm" run --private true
	[ -d "$dir" ] || fail 'it was removed'
	kill -9 "$guard" "$launcher"
	ended 137
	eventually dead "$guard"
	status 0 "$ushm" run --private true
	[ -d "$dir" ] || fail 'it was removed while the command ran'
	kill -9 "$command"
	eventually dead "$command"
	status 0 "$ushm" run --private true
	gone "$dir" || fail 'it is still there'
}

links_in_the_directory_are_not_followed()
{
	mkdir -p precious
	: >precious/file
	status 0 "$ushm" run --private sh -c '
		ln -s "$PWD/precious" "$USHM_DIR/link"
		ln -s "$PWD/precious/file" "$USHM_DIR/file"
		echo "$USHM_DIR" >dir'
	gone "$(cat dir)" || fail 'it is still there'
	[ -f precious/file ] || fail 'the file behind the link was removed'
}

# Both are in TMPDIR, where the next run looks as well.
directory_without_a_record_is_not_emptied()
{
	mkdir -p tmp
	name=tmp/ushm-$(id -u).private-given
	mkdir -m 700 "$name" "$name.abandoned"
	echo precious >"$name/file"
	mkfifo "$name/.private" "$name.abandoned/.private"
	touch -d '2 hours ago' "$name" "$name.abandoned"
	status 0 timeout 5 env TMPDIR="$PWD/tmp" "$ushm" run --private true
	[ -f "$name/file" ] || fail 'what was not ours was removed'
	[ ! -e "$name.abandoned" ] || fail 'what was abandoned is still there'
}

signals_are_passed_on()
{
	for sig in HUP INT QUIT USR1 USR2 WINCH CONT; do
		rm -f said
		mkfifo said
		# A background job of a script ignores INT and QUIT: the
		# program asks for them again.
		env --default-signal=INT,QUIT "$ushm" run --private sh -c '
			trap "exit 33" '$sig'
			echo >said
			while :; do sleep 0.05; done' &
		launcher=$!
		read -r _ <said
		kill -$sig "$launcher"
		ended 33
	done
}

# In a process group of its own: the kernel ignores SIGTSTP in one whose
# parents are all in other sessions, as this test's may be.
stop_and_continue()
{
	begin perl -e 'setpgrp(0, 0); exec @ARGV or die'
	kill -TSTP "$launcher"
	eventually in_state Tt "$command"
	eventually in_state Tt "$launcher"
	kill -CONT "$launcher"
	eventually in_state SDR "$launcher"
	eventually in_state SDR "$command"
	kill -STOP "$command"
	eventually in_state Tt "$launcher"
	kill -CONT "$launcher"
	eventually in_state SDR "$command"
	kill -TERM "$launcher"
	ended 143
}

command_has_the_callers_signal_mask_and_dispositions()
{
	for how in '' '--ignore-signal=HUP,USR1' '--block-signal=TERM,CHLD' \
		'--ignore-signal=CHLD'; do
		want=$(env $how grep ^Sig[BIC] /proc/self/status)
		got=$(env $how "$ushm" run --private \
			grep ^Sig[BIC] /proc/self/status)
		equal "$want" "$got"
	done
}

command_shares_session_group_and_descriptors()
{
	equal "$(ls /proc/self/fd)" "$("$ushm" run --private ls /proc/self/fd)"
	equal "$(sh -c 'cut -d " " -f 5,6 /proc/$$/stat')" \
		"$("$ushm" run --private sh -c 'cut -d " " -f 5,6 /proc/$$/stat')"
}

guard_holds_nothing_of_the_caller()
{
	exec 7</etc/passwd
	begin
	equal '0 1 2 3 ' "$(ls "/proc/$guard/fd" | tr '\n' ' ')"
	for fd in 0 1 2; do
		equal /dev/null "$(readlink "/proc/$guard/fd/$fd")"
	done
	equal / "$(readlink "/proc/$guard/cwd")"
	kill -TERM "$launcher"
	ended 143
}


for case in directory_is_new_and_private gone_after_a_normal_end \
	gone_when_the_program_cannot_be_executed gone_after_kill_9_of_the_command \
	gone_after_kill_term_of_the_launcher \
	gone_after_kill_9_of_the_launcher \
	gone_after_kill_9_of_the_process_group \
	gone_after_kill_9_of_guard_and_command \
	next_run_removes_what_three_kills_left \
	next_run_leaves_alone_what_is_in_use \
	links_in_the_directory_are_not_followed \
	directory_without_a_record_is_not_emptied signals_are_passed_on \
	stop_and_continue \
	command_has_the_callers_signal_mask_and_dispositions \
	command_shares_session_group_and_descriptors \
	guard_holds_nothing_of_the_caller; do
	check $case
done
finish
