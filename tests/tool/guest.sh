#!/bin/sh
# A good guest: what the preload does to a program that does not need it.
. "$(dirname "$0")/lib.sh"
preload=$USHM_BUILD/libushm-preload.so

nothing_happens_before_the_first_call()
{
	command -v strace >/dev/null || { echo "no strace"; exit 77; }
	strace -o without true
	LD_PRELOAD=$preload strace -o with true
	# Loading the library is all: what is opened beyond it is the same.
	grep -o '^open[^,]*, "[^"]*"' without >a || true
	grep -o '^open[^,]*, "[^"]*"' with | grep -v libushm-preload >b || true
	diff a b
	# A dozen calls of the dynamic linker for the library itself, no more.
	[ $(($(grep -c . with) - $(grep -c . without))) -le 12 ]
}

# The real dlopen() looks at its caller: for its RUNPATH, among others.
deepbind_is_stripped_and_the_callers_runpath_counts()
{
	command -v cc >/dev/null || { echo "no compiler"; exit 77; }
	mkdir sub
	cat >inner.c <<-'END'
		#include <sys/shm.h>
		int get(void) { return shmget(0x77, 4096, IPC_CREAT | 0600); }
	END
	cat >outer.c <<-'END'
		#define _GNU_SOURCE
		#include <dlfcn.h>
		void *load(void) { return dlopen("libinner.so", RTLD_NOW | RTLD_DEEPBIND); }
	END
	cat >main.c <<-'END'
		#include <dlfcn.h>
		#include <stdio.h>
		void *load(void);
		int main(void)
		{
			void *h = load();
			int (*get)(void);
			if (!h) { puts(dlerror()); return 1; }
			get = (int (*)(void))dlsym(h, "get");
			return get() < 0;
		}
	END
	cc -shared -fPIC inner.c -o sub/libinner.so
	# shellcheck disable=SC2016
	cc -shared -fPIC outer.c -o libouter.so -ldl \
		-Wl,--enable-new-dtags,-rpath,'$ORIGIN/sub'
	# shellcheck disable=SC2016
	cc main.c -o main -L. -louter -ldl -Wl,-rpath,'$ORIGIN'
	"$USHM_BUILD/tests/without-sysv" "$ushm" run --dir "$work/ns" ./main
	"$ushm" ls --dir "$work/ns" | grep -q 0x00000077
}

check nothing_happens_before_the_first_call
check deepbind_is_stripped_and_the_callers_runpath_counts
finish
