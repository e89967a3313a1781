# What the shell tests of the tool share. Sourced: sets $ushm, $work (removed
# at the end) and a few functions. A case is a function of its own in a
# subshell; what it prints is shown only if it fails.

ushm=${USHM_BUILD:?is the build directory}/ushm
[ -x "$ushm" ] || { echo "no $ushm"; exit 1; }

unset USHM_DIR USHM_LOG LD_PRELOAD UCX_MEM_MMAP_HOOK_MODE
LC_ALL=C
# A sanitized ushm meets a library in front of it in $LD_PRELOAD.
ASAN_OPTIONS=verify_asan_link_order=0:${ASAN_OPTIONS:-}
export LC_ALL ASAN_OPTIONS

work=$(mktemp -d) || exit 1
# The directory is writable for its owner alone, as a namespace must be.
chmod 700 "$work"
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

failures=0
skips=0

# check NAME: runs the function NAME; 77 is a skip.
check()
{
	(set -e; cd "$work"; "$1") >"$work/log" 2>&1
	case $? in
	0) echo "ok    $1" ;;
	77) echo "skip  $1: $(tail -n 1 "$work/log")"; skips=$((skips + 1)) ;;
	*)
		echo "FAIL  $1"
		sed 's/^/      /' "$work/log"
		failures=$((failures + 1))
		;;
	esac
}

finish()
{
	[ "$failures" -eq 0 ] || { echo "$failures failed"; exit 1; }
	exit 0
}

skip()
{
	echo "$*"
	exit 77
}

fail()
{
	echo "$*"
	exit 1
}

# equal WANT GOT
equal()
{
	[ "$1" = "$2" ] || fail "wanted '$1', got '$2'"
}

# status WANT COMMAND...: standard error goes to ./err
status()
{
	want=$1
	shift
	got=0
	"$@" 2>err || got=$?
	[ "$got" -eq "$want" ] ||
		fail "'$*' ended with $got, not $want: $(cat err)"
}

# says PATTERN: the last error is one line with this in it
says()
{
	equal 1 "$(grep -vc ': hint: ' err)"
	grep -q -- "$1" err || fail "no '$1' in: $(cat err)"
}

# eventually COMMAND...: within ten seconds it succeeds
eventually()
{
	tries=0
	until "$@"; do
		tries=$((tries + 1))
		[ $tries -lt 200 ] || fail "never happened: $*"
		sleep 0.05
	done
}

gone()
{
	[ ! -e "$1" ]
}

# word FILE OFFSET: the 4 bytes there, as a number
word()
{
	od -A n -t u4 -j "$2" -N 4 "$1" | tr -d ' '
}

# poke FILE OFFSET VALUE: write 4 bytes, the lowest first
poke()
{
	for shift in 0 8 16 24; do
		printf "\\$(printf %03o $(($3 >> shift & 255)))"
	done | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}

compile()
{
	printf 'int main(void) { return 0; }\n' >prog.c
	"$@" prog.c >/dev/null 2>&1
}
