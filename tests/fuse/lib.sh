# shellcheck shell=bash
# What the tests of programs that map files share. A test sets 'limit' (seconds
# it may take at all) and sources this file; it gets $mnt, an empty directory
# on the ground, and $backing, where its bytes are.
#
# USHM_FUSE_GROUND says what the directory is:
#
#   direct   (default) on FUSE with direct_io: shared mappings are ENODEV
#   locks    the same, of a server that keeps record locks itself
#   cached   on FUSE with the kernel's pages, which can be mapped
#   seccomp  an ordinary one, and a filter that refuses shared mappings: where
#            there is no FUSE
#
# USHM_FUSE_MODE says what the programs are run by:
#
#   plain    (default) by nothing: on a ground that refuses they must fail, in
#            the way that they are known to; on another one they show that a
#            script asks for what is right
#   filemap  by $USHM_FILEMAP, else by 'ushm run --filemap' where the kernel's
#            System V calls are forbidden: they must work
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=${USHM_BUILD:-$here/../../build}
ground=${USHM_FUSE_GROUND:-direct}
mode=${USHM_FUSE_MODE:-plain}

skip() {
	echo "skipped: $*"
	exit 77
}

# The test as a whole is bounded; TERM lets it clean up.
if [ -z "${USHM_FUSE_BOUNDED:-}" ]; then
	USHM_FUSE_BOUNDED=1 exec timeout -k 10 "${limit:?}" "$0" "$@"
fi

export LC_ALL=C
unset USHM_DIR USHM_LOG LD_PRELOAD
tmp=
script=$BASHPID

# fuse_start DIR MOUNTPOINT [OPTION...]: sets $fuse, to be unmounted
fuse_start() {
	local dir=$1 at=$2 end=$((SECONDS + 5))

	shift 2
	[ -c /dev/fuse ] || skip "no /dev/fuse"
	[ -x "$build/tests/passthrough" ] ||
		skip "built without libfuse (Debian: libfuse3-dev)"
	"$build/tests/passthrough" -f "$@" "$dir" "$at" >"$tmp/fuse.log" 2>&1 &
	fuse=$!
	until mountpoint -q "$at"; do
		kill -0 $fuse 2>/dev/null ||
			skip "nothing can be mounted: $(tail -n 1 "$tmp/fuse.log")"
		[ $SECONDS -lt $end ] || skip "nothing is mounted in 5 seconds"
		sleep 0.02
	done
}

# fuse_stop MOUNTPOINT: its bytes are all in the directory then
fuse_stop() {
	local end=$((SECONDS + 5))

	until fusermount3 -q -u "$1"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.1
	done
	wait "$fuse" || return 1
}

# Pids of what runs in the directory still.
leftovers() {
	find /proc -mindepth 2 -maxdepth 2 -name cwd -lname "$tmp/*" \
		-printf '%h\n' 2>/dev/null | sed 's,/proc/,,'
}

# What processes that were killed, or went by exec, have left of these files in
# memory: they will not be mapped again.
forget_objects() {
	local device inode at

	at=$(stat -c %d "$mnt")
	if [ "$at" != "$(stat -c %d "$tmp")" ]; then
		at=$(object_of "$at")
		rm -f "$at"-*
		return
	fi
	find "$mnt" -type f -printf '%D %i\n' | while read -r device inode; do
		at=$(object_of "$device")-$(printf %x "$inode")
		rm -f "$at" "$at.ctl"
	done
}

# object_of DEVICE, a number as stat(1) has it
object_of() {
	local high=$(($1 >> 8 & 0xfff)) low=$(($1 & 0xff | $1 >> 12 & 0xfff00))

	printf '/dev/shm/ushm-file.%x' $((high << 32 | low))
}

cleanup() {
	local status=$? i pids

	trap - EXIT
	trap '' INT TERM HUP
	set +e
	# Subshells inherit the trap in some cases: only the script cleans up.
	[ "$BASHPID" = "$script" ] || exit "$status"
	cd /
	if [ -n "$tmp" ]; then
		for ((i = 0; i < 20; i++)); do
			pids=$(leftovers)
			[ -n "$pids" ] || break
			# shellcheck disable=SC2086 # a list of pids
			kill -KILL $pids 2>/dev/null
			sleep 0.05
		done
		forget_objects
		! mountpoint -q "$tmp/mnt" || fusermount3 -q -u "$tmp/mnt" ||
			fusermount3 -q -u -z "$tmp/mnt"
		rm -rf --one-file-system "$tmp"
	fi
	exit "$status"
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

tmp=$(mktemp -d /tmp/ushm-fuse.XXXXXX)
mnt=$tmp/mnt
backing=$tmp/backing
mkdir "$mnt" "$backing"
mkdir -m 700 "$tmp/ns"

under=()
case $ground in
direct) fuse_start "$backing" "$mnt" ;;
locks) fuse_start "$backing" "$mnt" -o locks ;;
cached) fuse_start "$backing" "$mnt" -o cached ;;
seccomp)
	backing=$mnt
	under=("$build/tests/no-shared-map")
	status=0
	"${under[@]}" true || status=$?
	[ $status != 77 ] || skip "no seccomp filter to be had"
	;;
*)
	echo "USHM_FUSE_GROUND=$ground?"
	exit 2
	;;
esac

by=()
refuses=
case $mode in
plain) [ "$ground" = cached ] || refuses=yes ;;
filemap)
	if [ -n "${USHM_FILEMAP:-}" ]; then
		read -ra by <<<"$USHM_FILEMAP"
	else
		"$build/ushm" run --help | grep -q -e --filemap ||
			skip "'ushm run' has no --filemap"
		by=("$build/tests/without-sysv" "$build/ushm" run --filemap
			--dir "$tmp/ns" --)
	fi
	;;
*)
	echo "USHM_FUSE_MODE=$mode?"
	exit 2
	;;
esac

say() {
	echo "- $*"
}

# fail TEXT...: with what the programs said in $tmp/*.log
fail() {
	local log

	echo "FAILED ($mode, $ground): $*"
	for log in "$tmp"/*.log; do
		[ -s "$log" ] || continue
		echo "--- last lines of ${log##*/}"
		tail -n 20 "$log"
	done
	exit 1
}

# need PROGRAM PACKAGE
need() {
	command -v "$1" >/dev/null || skip "no $1 (Debian: $2)"
}

# built PROGRAM PACKAGE: a program of ours that needs a library of others
built() {
	[ -x "$build/tests/$1" ] || skip "$1 is not built (Debian: $2)"
}

# mapping COMMAND...: in $mnt, by the launcher, on the ground
mapping() {
	(cd "$mnt" && exec "${by[@]}" "${under[@]}" "$@")
}

# plainly COMMAND...: the same without either, in $backing
plainly() {
	(cd "$backing" && exec "$@")
}

# refused PATTERN COMMAND...: it fails, and says this
refused() {
	local pattern=$1 status=0

	shift
	mapping "$@" >"$tmp/refused.log" 2>&1 || status=$?
	[ $status != 0 ] || fail "'$*' was not refused"
	[ $status -lt 126 ] || fail "'$*' ended with $status"
	grep -Eq -e "$pattern" "$tmp/refused.log" ||
		fail "'$*' said nothing like '$pattern'"
	say "refused: $(grep -E -m 1 -e "$pattern" "$tmp/refused.log")"
}

# is WHAT GOT WANT
is() {
	[ "$2" = "$3" ] || fail "$1: '$2' instead of '$3'"
}

# The last transaction that a writer said was done; the line may be torn.
said() {
	sed -n 's/^done \([0-9]*\)$/\1/p' "$1" | tail -n 1
}

# Those of writer NAME that are there, as a program's 'check' printed them.
there() {
	awk -v name="$1" '$1 == name { n = $2 } END { print n + 0 }' "$2"
}

# agree WHO THERE LOG: what a killed writer said was done is there, and no more
# than the one that was under way
agree() {
	local done

	done=$(said "$3")
	[ "$2" = "${done:-0}" ] || [ "$2" = $((${done:-0} + 1)) ] ||
		fail "$1: $2 transactions, but ${done:-0} were done"
}

sums() {
	(cd "$1" && find . -type f ! -name '.fuse_hidden*' -exec sha256sum {} + |
		sort -k 2)
}

# Unmount: what was read through the mount must be what the backing directory
# has.
unmount() {
	sums "$mnt" >"$tmp/before.sums"
	[ "$ground" = seccomp ] || fuse_stop "$mnt" || fail "cannot be unmounted"
	sums "$backing" >"$tmp/after.sums"
	cmp -s "$tmp/before.sums" "$tmp/after.sums" || {
		diff "$tmp/before.sums" "$tmp/after.sums" || :
		fail "the mount showed other bytes than the directory has"
	}
	[ -s "$tmp/after.sums" ] || fail "there is no file"
	say "unmounted: $(wc -l <"$tmp/after.sums") files are byte by byte the same"
}
