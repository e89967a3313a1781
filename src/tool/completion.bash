# SPDX-License-Identifier: MIT
# bash(1) completion for ushm(1): commands, options, ids and keys of segments.

_ushm()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
	local cmd=${COMP_WORDS[1]} i dir=() words=

	COMPREPLY=()
	if ((COMP_CWORD == 1)); then
		words='run ls stat mk rm sync init limits fsck gc help --help --version'
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
		return
	fi

	for ((i = 2; i < COMP_CWORD - 1; i++)); do
		case ${COMP_WORDS[i]} in
		-d | --dir) dir=(--dir "${COMP_WORDS[i+1]}") ;;
		esac
	done

	if [[ $cmd == run ]]; then
		# From the program on it is that program's command line.
		for ((i = 2; i < COMP_CWORD; i++)); do
			case ${COMP_WORDS[i]} in
			-d | --dir) ((i++)) ;;
			--) ((i++)); break ;;
			-*) ;;
			*) break ;;
			esac
		done
		if ((i < COMP_CWORD)) && declare -F _command_offset >/dev/null; then
			_command_offset "$i"
			return
		fi
	fi

	case $prev in
	-d | --dir)
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		compopt -o filenames
		return
		;;
	-M | --shmem-key)
		[[ $cmd == rm ]] && words=$("${COMP_WORDS[0]}" ls "${dir[@]}" \
			-n -o KEY 2>/dev/null | grep -vx 0x00000000)
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
		return
		;;
	-o | --output)
		words='KEY ID PERMS OWNER SIZE NATTCH STATUS CTIME CPID LPID
			COMMAND ATTACH DETACH CUID CUSER CGID CGROUP UID USER
			GID GROUP RSS SWAP AGE'
		[[ " ${COMP_WORDS[*]} " != *" --posix "* ]] || words='NAME PERMS
			OWNER SIZE RSS MTIME ATIME CTIME UID GID GROUP'
		local before=${cur%"${cur##*[,+]}"}
		mapfile -t COMPREPLY < <(compgen -P "$before" -W "$words" -- \
			"${cur##*[,+]}")
		compopt -o nospace
		return
		;;
	--time-format)
		words='short full iso'
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
		return
		;;
	esac

	if [[ $cur == -* ]]; then
		case $cmd in
		run) words='--dir --private --filemap --verbose --allow-native
			--help' ;;
		ls) words='--dir --posix --output --time --time-format --bytes
			--noheadings --notruncate --raw --export --json --help' ;;
		stat) words='--dir --time-format --bytes --notruncate --json
			--help' ;;
		mk) words='--shmem --mode --key --dir --help' ;;
		rm) words='--shmem-id --shmem-key --posix --all --force --dry-run
			--verbose --dir --help' ;;
		sync) words='--all --verbose --dir --help' ;;
		init) words='--durable --force --max-segments --max-processes
			--max-attachments --dir --help' ;;
		limits) words='--dir --json --help' ;;
		fsck) words='--repair --start-over --quiet --dir --json --help' ;;
		gc) words='--dry-run --forget --quiet --dir --help' ;;
		esac
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
		return
	fi

	case $cmd in
	run) mapfile -t COMPREPLY < <(compgen -c -- "$cur") ;;
	stat | rm | sync)
		# Of which kind: as the last option that begins a list says.
		local kind=(-o ID)
		for ((i = 2; i < COMP_CWORD; i++)); do
			case ${COMP_WORDS[i]} in
			-m | --shmem-id) kind=(-o ID) ;;
			-M | --shmem-key) kind=(-o KEY) ;;
			--posix) kind=(--posix -o NAME) ;;
			esac
		done
		words=$("${COMP_WORDS[0]}" ls "${dir[@]}" -n -r "${kind[@]}" 2>/dev/null)
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
		;;
	help)
		words='run ls stat mk rm sync init limits fsck gc'
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
		;;
	esac
}

complete -F _ushm ushm
