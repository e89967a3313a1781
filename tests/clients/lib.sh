# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# What the tests of real programs share. A test sets 'limit' (seconds it may
# take at all), sources this file and uses the functions below.
#
# USHM_CLIENT_MODE says what the programs run on:
#
#   ushm       (default) on ushm, with the kernel's four calls forbidden
#   kernel     on the kernel's segments, in an IPC namespace of their own:
#              shows that a script asks for what is right
#   forbidden  on nothing. Several programs then fall back in silence and
#              exit 0; a script is good if it fails here (see ./detects)
#
# Everything lives in $tmp and $ns; for what does not, a test defines tidy(). Programs are started in $tmp/cwd, which is
# also how those left over are recognised at the end, whoever started them.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=${USHM_BUILD:-$here/../../build}
mode=${USHM_CLIENT_MODE:-ushm}

skip() {
	echo "skipped: $*"
	exit 77
}

# The test as a whole is bounded; TERM lets it clean up.
if [ -z "${USHM_CLIENT_BOUNDED:-}" ]; then
	USHM_CLIENT_BOUNDED=1 exec timeout -k 20 "${limit:?}" "$0" "$@"
fi

if [ "$mode" = kernel ] && [ ! -e /proc/sysvipc/shm ]; then
	skip "the kernel has no System V shared memory"
fi
if [ "$mode" = kernel ] && [ -z "${USHM_CLIENT_UNSHARED:-}" ]; then
	export USHM_CLIENT_UNSHARED=1
	if unshare --ipc true 2>/dev/null; then
		exec unshare --ipc "$0" "$@"
	elif unshare --map-current-user --ipc true 2>/dev/null; then
		exec unshare --map-current-user --ipc "$0" "$@"
	fi
	skip "no IPC namespace to be had"
fi

launcher=$build/tests/without-sysv
ushm=$build/ushm
for program in "$launcher" "$ushm"; do
	case $mode:$program in
	kernel:* | forbidden:"$ushm") ;;
	*)
		[ -x "$program" ] || {
			echo "$program: not built"
			exit 2
		}
		;;
	esac
done
status=0
[ "$mode" = kernel ] || "$launcher" true || status=$?
[ $status != 77 ] || skip "no seccomp filter to be had"

tmp=
ns=
as=()
script=$BASHPID

# Pids of what still runs.
leftovers() {
	find /proc -mindepth 2 -maxdepth 2 -name cwd \
		\( -lname "$tmp/cwd" -o -lname "$tmp/cwd/*" \) \
		-printf '%h\n' 2>/dev/null | sed 's,/proc/,,'
}

# POSIX shared memory has no owner that would remove it: remove what PIDS map.
remove_posix() {
	local pid

	for pid in $1; do
		sed -n 's,.* \(/dev/shm/PostgreSQL\.[0-9]*\)$,\1,p' \
			"/proc/$pid/maps" 2>/dev/null
	done | sort -u | xargs -r rm -f
}

cleanup() {
	local status=$? signal=TERM i pids

	trap - EXIT
	trap '' INT TERM HUP
	set +e
	# Subshells inherit the trap in some cases: only the script cleans up.
	[ "$BASHPID" = "$script" ] || exit "$status"
	if [ -n "$tmp" ]; then
		for ((i = 0; i < 50; i++)); do
			pids=$(leftovers)
			[ -n "$pids" ] || break
			remove_posix "$pids"
			# shellcheck disable=SC2086 # a list of pids
			kill -$signal $pids 2>/dev/null
			sleep 0.1
			[ $i -lt 5 ] || signal=KILL
		done
		! declare -F tidy >/dev/null || tidy
		rm -rf "$tmp" "$ns"
	fi
	exit "$status"
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

tmp=$(mktemp -d /tmp/ushm-client.XXXXXX)
chmod 755 "$tmp"
mkdir "$tmp/cwd"

# The namespace lies where the default one would, if there is room.
room_kb=$(df -k --output=avail /dev/shm 2>/dev/null | tail -n 1 || echo 0)
if [ -w /dev/shm ] && [ "$((room_kb))" -ge 400000 ]; then
	ns=$(mktemp -d /dev/shm/ushm-client.XXXXXX)
else
	ns=$tmp/ns
	mkdir -m 700 "$ns"
fi

# fail TEXT...: with what the programs said in $tmp/*.log and $tmp/cwd/*.log
fail() {
	local log

	echo "FAILED ($mode): $*"
	for log in "$tmp"/*.log "$tmp"/cwd/*.log; do
		[ -s "$log" ] || continue
		echo "--- last lines of ${log##*/}"
		tail -n 40 "$log"
	done
	exit 1
}

say() {
	echo "- $*"
}

# need PROGRAM PACKAGE
need() {
	command -v "$1" >/dev/null || skip "no $1 (Debian: $2)"
}

# have PATTERN FILE WHAT: the file has a line that matches
have() {
	grep -Eq -- "$1" "$2" || fail "$3: nothing like '$1' in ${2##*/}"
}

# lacks PATTERN FILE WHAT
lacks() {
	! grep -Eq -- "$1" "$2" || fail "$3: '$1' in ${2##*/}"
}

# Some programs refuse to be root: run what follows as 'postgres' or 'nobody'.
be_unprivileged() {
	local user=nobody

	[ "$(id -u)" = 0 ] || return 0
	! getent passwd postgres >/dev/null || user=postgres
	as=(setpriv "--reuid=$user" "--regid=$(id -gn "$user")" --init-groups)
	"${as[@]}" true 2>/dev/null || skip "cannot become $user"
	chown "$user:" "$tmp/cwd" "$ns"

	# The source may lie where only root can read.
	if [ "$mode" != kernel ] && ! "${as[@]}" test -r "$build/ushm"; then
		mkdir "$tmp/bin"
		cp -L "$build/tests/without-sysv" "$tmp/bin"
		launcher=$tmp/bin/without-sysv
		if [ "$mode" = ushm ]; then
			cp -L "$build/ushm" "$build"/libushm*.so* "$tmp/bin"
			ushm=$tmp/bin/ushm
		fi
	fi
}

# The words before a program's own.
prefix=()
set_prefix() {
	case $mode in
	kernel) prefix=() ;;
	forbidden) prefix=("$launcher") ;;
	ushm) prefix=("$launcher" "$ushm" run --dir "$ns" --) ;;
	*)
		echo "USHM_CLIENT_MODE=$mode?"
		exit 2
		;;
	esac
}

# on_sysv SECONDS PROGRAM ARGUMENT...: in $tmp/cwd, with the prefix, bounded
on_sysv() {
	local seconds=$1

	shift
	set_prefix
	(cd "$tmp/cwd" &&
		exec "${as[@]}" timeout --foreground -k 2 "$seconds" \
			"${prefix[@]}" "$@")
}

# plain SECONDS PROGRAM ARGUMENT...: as on_sysv, for one that needs no segment
plain() {
	local seconds=$1

	shift
	(cd "$tmp/cwd" &&
		exec "${as[@]}" timeout --foreground -k 2 "$seconds" "$@")
}

# A line "ID NATTCH BYTES" for each segment there is.
segments() {
	if [ "$mode" = ushm ]; then
		plain 10 "$ushm" ls --dir "$ns" --noheadings --raw --bytes \
			-o ID,NATTCH,SIZE
	else
		plain 10 lsipc -m --noheadings --raw --bytes -o ID,NATTCH,SIZE
	fi
}

# eventually SECONDS COMMAND...: ask until it says yes
eventually() {
	local end=$((SECONDS + $1))

	shift
	until "$@"; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.1
	done
}

none_left() {
	[ -z "$(segments)" ]
}
