#!/bin/sh
# `ushm run`: programs into which the library cannot be loaded.
. "$(dirname "$0")/lib.sh"

cc=${CC:-cc}
why="so it would use the kernel's System V shared memory"

# refused PROGRAM PATTERN: 126 and one line, and --allow-native helps
refused()
{
	status 126 "$ushm" run -d ns "$1"
	says "$2"
	says "$why"
	status 0 "$ushm" run --allow-native -d ns "$1"
}

# An ushm without libraries for other programs, as $ushm.
main_library_only()
{
	mkdir -p only
	cp "$ushm" "$USHM_BUILD/libushm-preload.so" only/
	ushm=$work/only/ushm
}

static_program()
{
	compile "$cc" -static -o static || skip 'no static libc'
	refused ./static 'static is statically linked'
}

static_pie_program()
{
	compile "$cc" -static-pie -o static-pie || skip 'no static-pie'
	refused ./static-pie 'is statically linked'
}

program_of_32_bits()
{
	compile "$cc" -m32 -o small || skip 'no -m32'
	[ "$(od -An -tx1 -j4 -N1 "$ushm")" = ' 02' ] || skip 'ushm is 32-bit'
	main_library_only
	refused ./small 'small needs .*/only/m32/libushm-preload.so, which is'
}

program_for_musl()
{
	compile musl-gcc -o musl || skip 'no musl-gcc'
	main_library_only
	refused ./musl 'musl needs .*/only/musl/libushm-preload.so, which is'
}

allowed_musl_program_does_not_get_the_library()
{
	printf '#include <stdlib.h>\nint main(void) { return getenv("LD_PRELOAD") ? 3 : 4; }\n' >env.c
	musl-gcc -o musl-env env.c || skip 'no musl-gcc'
	main_library_only
	status 4 "$ushm" run --allow-native -d ns ./musl-env
}

set_user_id_program()
{
	if [ "$(id -u)" -eq 0 ]; then
		compile "$cc" -o suid || skip 'no compiler'
		chown 1234 suid
		chmod 4755 suid
		file=./suid
		refused $file 'suid is set-user-ID'
	else
		file=$(command -v su) && [ -u "$file" ] || skip 'no su'
		status 126 "$ushm" run -d ns "$file"
		says 'is set-user-ID'
	fi

	# The kernel ignores the bit then, and so do we.
	setpriv --no-new-privs true || skip 'no setpriv'
	status 0 setpriv --no-new-privs "$ushm" run -d ns "$file" --help \
		>/dev/null
}

set_user_id_to_oneself_is_fine()
{
	compile "$cc" -o own || skip 'no compiler'
	chmod 4755 own
	status 0 "$ushm" run -d ns ./own
}

set_group_id_program()
{
	[ "$(id -u)" -eq 0 ] || skip 'not root'
	compile "$cc" -o sgid || skip 'no compiler'
	chgrp 1234 sgid
	chmod 2755 sgid
	refused ./sgid 'sgid is set-group-ID'

	# Without the group's execute bit it means something else.
	chmod 2705 sgid
	status 0 "$ushm" run -d ns ./sgid
}

program_with_file_capabilities()
{
	[ "$(id -u)" -eq 0 ] || skip 'not root'
	compile "$cc" -o cap || skip 'no compiler'
	setcap cap_net_raw+ep cap || skip 'no setcap'
	status 0 "$ushm" run -d ns ./cap

	chmod 755 . cap
	as="setpriv --reuid 1234 --regid 1234 --clear-groups"
	$as "$ushm" --version || {
		chmod 700 .
		skip 'the build directory is closed to others'
	}
	mkdir -p ns-1234
	chmod 700 ns-1234
	chown 1234:1234 ns-1234
	: >err
	chmod 666 err
	status 126 $as "$ushm" run -d ns-1234 ./cap
	says 'cap has file capabilities'
	chmod 700 .
}

script_is_judged_by_its_interpreter()
{
	compile "$cc" -static -o static || skip 'no static libc'
	printf '#!%s/static\n' "$work" >direct
	printf '#! %s/direct with an argument\n' "$work" >indirect
	printf '#!/usr/bin/env static\n' >by-env
	printf '#!/usr/bin/env -S A=b static -x\n' >by-env-s
	chmod +x direct indirect by-env by-env-s
	PATH=$work:$PATH
	for script in direct indirect by-env by-env-s; do
		status 126 "$ushm" run -d ns ./$script
		says 'is statically linked'
	done
}

script_without_an_interpreter_is_the_shells()
{
	printf 'exit 5\n' >plain
	chmod +x plain
	status 5 "$ushm" run -d ns ./plain
}

ordinary_scripts_are_fine()
{
	printf '#!/bin/sh\nexit 6\n' >one
	printf '#!/usr/bin/env sh\nexit 7\n' >two
	printf '#! /bin/sh -e\nfalse\nexit 8\n' >three
	chmod +x one two three
	status 6 "$ushm" run -d ns ./one
	status 7 "$ushm" run -d ns ./two
	status 1 "$ushm" run -d ns ./three
}

endless_chain_of_scripts_ends()
{
	printf '#!%s/loop\n' "$work" >loop
	chmod +x loop
	status 126 "$ushm" run -d ns ./loop
	says 'too many'
}

missing_interpreter_is_127()
{
	printf '#!/no/such/interpreter\n' >orphan
	chmod +x orphan
	status 127 "$ushm" run -d ns ./orphan
	says 'orphan: its interpreter /no/such/interpreter'
}

missing_dynamic_linker_is_127()
{
	compile "$cc" -Wl,--dynamic-linker=/no/such/ld-linux.so -o odd ||
		skip 'no compiler'
	status 127 "$ushm" run -d ns ./odd
	says 'odd: its dynamic linker /no/such/ld-linux.so'
}

damaged_program_is_126()
{
	head -c 64 "$ushm" >short
	head -c 5 "$ushm" >shorter
	chmod +x short shorter
	status 126 "$ushm" run -d ns ./short
	says 'damaged'
	status 126 "$ushm" run -d ns ./shorter
	says 'damaged'
}

for case in static_program static_pie_program program_of_32_bits \
	program_for_musl allowed_musl_program_does_not_get_the_library \
	set_user_id_program set_user_id_to_oneself_is_fine \
	set_group_id_program program_with_file_capabilities \
	script_is_judged_by_its_interpreter \
	script_without_an_interpreter_is_the_shells ordinary_scripts_are_fine \
	endless_chain_of_scripts_ends missing_interpreter_is_127 \
	missing_dynamic_linker_is_127 damaged_program_is_126; do
	check $case
done
finish
