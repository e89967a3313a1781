#!/bin/sh
# `ushm run`: what the program gets, and what is passed on of its end.
. "$(dirname "$0")/lib.sh"

library=$USHM_BUILD/libushm-preload.so
preload=$library
[ ! -d "$USHM_BUILD/any" ] || preload=$USHM_BUILD/any/\$LIB/libushm-preload.so

exit_status_is_passed_on()
{
	for want in 0 1 2 77 125 126 127 255; do
		status $want "$ushm" run -d ns -- sh -c "exit $want"
	done
}

death_by_signal_is_seen_by_the_shell()
{
	for sig in 1 2 9 15; do
		got=0
		sh -c '"$0" run -d ns sh -c "kill -'$sig' \$\$"' "$ushm" ||
			got=$?
		equal $((128 + sig)) $got
	done
}

missing_program_is_127()
{
	# A directory that may not be searched makes it 126, as env(1) has it.
	PATH=/bin:/usr/bin
	status 127 "$ushm" run -d ns no-such-program
	says 'no-such-program: command not found'
	status 127 "$ushm" run -d ns ./no-such-program
	says './no-such-program: No such file'
	status 127 "$ushm" run -d ns ''
}

program_that_cannot_be_executed_is_126()
{
	: >plain
	mkdir -p directory
	status 126 "$ushm" run -d ns ./plain
	says 'plain: Permission denied'
	status 126 "$ushm" run -d ns ./directory
	says 'directory: Is a directory'
}

path_search_goes_past_what_may_not_be_executed()
{
	mkdir -p first second
	: >first/prog
	printf '#!/bin/sh\nexit 9\n' >second/prog
	chmod +x second/prog
	status 9 env PATH="$work/first:$work/second:$PATH" \
		"$ushm" run -d ns prog
	status 126 env PATH="$work/first:/bin:/usr/bin" "$ushm" run -d ns prog
}

own_failures_are_125()
{
	status 125 "$ushm" run
	says 'no program was given'
	status 125 "$ushm" run --no-such-option true
	says "'--no-such-option' is unknown"
	status 125 "$ushm" run --dir
	says "needs an argument"
	status 125 "$ushm" run --dir ns --private true
	says 'exclude each other'
	status 125 "$ushm" run --dir /proc/no/such/place true
	says '/proc/no/such/place'
}

missing_library_is_125()
{
	mkdir -p alone
	cp "$ushm" alone/ushm
	status 125 alone/ushm run -d ns true
	says 'libushm-preload.so'
}

library_path_with_a_blank_is_refused()
{
	mkdir -p 'a b'
	cp "$ushm" 'a b/ushm'
	cp "$library" 'a b/'
	status 125 'a b/ushm' run -d ns true
	says 'LD_PRELOAD cannot hold'
}

library_is_found_in_a_moved_installation()
{
	mkdir -p tree/bin tree/lib/some-triplet/ushm
	cp "$ushm" tree/bin/ushm
	cp "$library" tree/lib/some-triplet/ushm/
	equal "$work/tree/lib/some-triplet/ushm/libushm-preload.so" \
		"$(tree/bin/ushm run -d ns printenv LD_PRELOAD)"
}

libraries_of_a_moved_installation_are_found()
{
	[ -d "$USHM_BUILD/any" ] || skip 'there is only one'
	mkdir -p moved/bin moved/lib/ushm
	cp "$ushm" moved/bin/ushm
	cp "$library" moved/lib/ushm/
	cp -R "$USHM_BUILD/any" moved/lib/ushm/
	equal "$work/moved/lib/ushm/any/\$LIB/libushm-preload.so" \
		"$(moved/bin/ushm run -d ns printenv LD_PRELOAD)"

	# Where the dynamic linker has a name that nobody thought of.
	mv moved/lib/ushm/any/lib64 moved/lib64
	rm -r moved/lib/ushm/any/lib
	equal "$work/moved/lib/ushm/libushm-preload.so" \
		"$(moved/bin/ushm run -d ns printenv LD_PRELOAD)"
}

options_end_at_the_program()
{
	equal '--private -d x' "$("$ushm" run -d ns echo --private -d x)"
	equal '-- y' "$("$ushm" run -d ns -- echo -- y)"
}

arguments_are_passed_untouched()
{
	equal '<a b><><*><$HOME>' \
		"$("$ushm" run -d ns printf '<%s>' 'a b' '' '*' '$HOME')"
}

library_is_put_in_front()
{
	equal "$preload" "$("$ushm" run -d ns printenv LD_PRELOAD)"
	for other in /no/such/one.so '/no/such/one.so /no/such/two.so'; do
		got=$(LD_PRELOAD=$other "$ushm" run -d ns printenv LD_PRELOAD \
			2>/dev/null)
		equal "$preload:$other" "$got"
	done
}

library_is_not_put_twice()
{
	for value in "$preload" "/no/such/one.so:$preload" \
		"/no/such/one.so $preload"; do
		got=$(LD_PRELOAD=$value "$ushm" run -d ns printenv LD_PRELOAD \
			2>/dev/null)
		equal "$value" "$got"
	done
}

ucx_hooks_are_off_unless_the_user_wants_them()
{
	equal none "$("$ushm" run -d ns printenv UCX_MEM_MMAP_HOOK_MODE)"
	equal bistro "$(UCX_MEM_MMAP_HOOK_MODE=bistro \
		"$ushm" run -d ns printenv UCX_MEM_MMAP_HOOK_MODE)"
}

directory_is_passed_as_an_absolute_path()
{
	equal "$(realpath .)/rel" "$("$ushm" run --dir rel printenv USHM_DIR)"
	equal "$(realpath .)/rel" \
		"$(USHM_DIR=rel "$ushm" run printenv USHM_DIR)"
	[ -d rel ] || fail 'the directory was not made'
}

default_namespace_needs_no_variable()
{
	"$ushm" ls >/dev/null || skip "this user's default namespace is refused"
	status 1 "$ushm" run printenv USHM_DIR
}

standard_input_is_untouched()
{
	equal 'first second' "$(printf 'first\nsecond\n' | {
		"$ushm" run -d ns head -c 6 | tr '\n' ' '
		cat
	})"
}

nothing_is_printed_by_default()
{
	equal '' "$("$ushm" run -d ns true 2>&1)"
}

verbose_says_what_is_used()
{
	equal 1 "$("$ushm" run -v -d ns printenv USHM_LOG 2>err)"
	grep -q "library: $library" err
	grep -q "directory: $(realpath ns)" err
	grep -q 'free space: ' err
}

the_library_for_files_is_in_front()
{
	filemap=$(echo "$preload" | sed 's/libushm-preload/libushm-filemap/')
	equal "$filemap:$preload" \
		"$("$ushm" run --filemap -d ns printenv LD_PRELOAD)"
	# It stays in front of all that runs below.
	equal "$filemap:$preload" \
		"$("$ushm" run --filemap -d ns "$ushm" run printenv LD_PRELOAD)"
	"$ushm" run --filemap -v -d ns true 2>err
	grep -q "library: $USHM_BUILD/libushm-filemap.so" err
	grep -q "library: $library" err
	# Without it, there is nothing to put in front.
	mkdir -p half
	cp "$ushm" "$library" half/
	status 125 half/ushm run --filemap -d ns true
	says 'cannot find libushm-filemap.so'
	half/ushm run -d ns true
}

no_process_stays_behind()
{
	"$ushm" run -d ns sh -c 'echo $$' >pid &
	wait $!
	equal $! "$(cat pid)"
}

refused_namespace_is_125()
{
	mkdir -p open
	chmod 777 open
	status 125 "$ushm" run --dir open true
	says open
	ln -sfn ns link
	status 125 "$ushm" run --dir link true
	says link
}

for case in exit_status_is_passed_on death_by_signal_is_seen_by_the_shell \
	missing_program_is_127 program_that_cannot_be_executed_is_126 \
	path_search_goes_past_what_may_not_be_executed own_failures_are_125 \
	missing_library_is_125 library_path_with_a_blank_is_refused \
	library_is_found_in_a_moved_installation \
	libraries_of_a_moved_installation_are_found options_end_at_the_program \
	arguments_are_passed_untouched library_is_put_in_front \
	library_is_not_put_twice ucx_hooks_are_off_unless_the_user_wants_them \
	directory_is_passed_as_an_absolute_path \
	default_namespace_needs_no_variable standard_input_is_untouched \
	nothing_is_printed_by_default verbose_says_what_is_used \
	the_library_for_files_is_in_front \
	no_process_stays_behind refused_namespace_is_125; do
	check $case
done
finish
