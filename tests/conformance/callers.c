/* SPDX-License-Identifier: MIT */
/*
 * Who calls, and from where: signal handlers, threads, small stacks, between
 * fork and exec, exit handlers, by number. System calls do not care.
 */
#include "conformance.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/time.h>

#define MARK 12345 /* no errno value */

CASE("C91", errno_is_left_alone_by_success)
{
	struct shm_info shm_info;
	struct shminfo info;
	struct shmid_ds ds;
	int id;
	char *p, *q;

	errno = MARK;
	id = shmget(KEY, 4096, IPC_CREAT | IPC_EXCL | 0600);
	CHECK_EQ(errno, MARK);
	REQUIRE(id >= 0);

	errno = MARK;
	shmget(KEY, 0, 0);
	CHECK_EQ(errno, MARK);

	errno = MARK;
	p = shmat(id, NULL, 0);
	CHECK_EQ(errno, MARK);
	errno = MARK;
	q = shmat(id, NULL, SHM_RDONLY);
	CHECK_EQ(errno, MARK);

	errno = MARK;
	shmctl(id, IPC_STAT, &ds);
	CHECK_EQ(errno, MARK);
	errno = MARK;
	shmctl(id, IPC_SET, &ds);
	CHECK_EQ(errno, MARK);
	errno = MARK;
	shmctl(id, SHM_LOCK, NULL);
	shmctl(id, SHM_UNLOCK, NULL);
	CHECK_EQ(errno, MARK);
	errno = MARK;
	shmctl(0, IPC_INFO, (void *)&info);
	shmctl(0, SHM_INFO, (void *)&shm_info);
	CHECK_EQ(errno, MARK);

	errno = MARK;
	shmdt(p);
	CHECK_EQ(errno, MARK);
	errno = MARK;
	shmctl(id, IPC_RMID, NULL);
	CHECK_EQ(errno, MARK);
	errno = MARK;
	shmdt(q);
	CHECK_EQ(errno, MARK);
	CHECK(!exists(id));
}

CASE("C91", errno_survives_fork)
{
	int id = make(4096, 0600);
	char *p = attach(id, 0);
	pid_t pid;

	errno = MARK;
	pid = fork();
	if (pid == 0) {
		CHECK_EQ(errno, MARK);
		child_exit();
	}
	CHECK_EQ(errno, MARK);
	join(pid);
	detach(p);
	destroy(id);
}

/* ------------------------------------------------------- signal handlers */

static int handler_id;
static atomic_int handled;

/* All four calls, errno put back as a handler must. */
static void all_calls(int sig)
{
	int saved = errno, id;
	struct shmid_ds ds;
	char *p;

	(void)sig;
	CHECK_EQ(shmctl(handler_id, IPC_STAT, &ds), 0);
	p = shmat(handler_id, NULL, 0);
	if (CHECK(p != FAILED_ATTACH)) {
		p[0]++;
		CHECK_EQ(shmdt(p), 0);
	}
	id = shmget(IPC_PRIVATE, 1, 0600);
	if (CHECK(id >= 0))
		CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
	atomic_fetch_add(&handled, 1);
	errno = saved;
}

CASE("C91", calls_work_in_a_signal_handler)
{
	handler_id = make(4096, 0600);
	signal(SIGUSR1, all_calls);
	raise(SIGUSR1);
	CHECK_EQ(atomic_load(&handled), 1);
	CHECK_EQ(nattch_of(handler_id), 0);
	destroy(handler_id);
}

CASE("C91", first_call_ever_may_be_a_signal_handlers)
{
	struct peer peer;
	int ids[2], id;

	REQUIRE_OK(pipe(ids));
	if (peer_start(&peer)) {
		REQUIRE(read(ids[0], &handler_id, sizeof(handler_id)) ==
			sizeof(handler_id));
		signal(SIGUSR1, all_calls);
		raise(SIGUSR1);
		CHECK_EQ(atomic_load(&handled), 1);
		child_exit();
	}
	id = make(4096, 0600);
	REQUIRE(write(ids[1], &id, sizeof(id)) == sizeof(id));
	peer_join(&peer);
	destroy(id);
}

CASE("C91", calls_are_interrupted_by_handlers_that_call)
{
	enum { ROUNDS = 300 };
	struct itimerval every = { { 0, 500 }, { 0, 500 } };
	struct itimerval never = { { 0, 0 }, { 0, 0 } };
	struct sigaction sa;
	struct shmid_ds ds;
	char *p;
	int id;

	handler_id = make(4096, 0600);
	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = all_calls; /* and no SA_RESTART: never EINTR */
	sigaction(SIGALRM, &sa, NULL);
	REQUIRE_OK(setitimer(ITIMER_REAL, &every, NULL));

	while (atomic_load(&handled) < ROUNDS && check_failures() == 0) {
		id = shmget(KEY, 4096, IPC_CREAT | 0600);
		REQUIRE_OK(id);
		p = shmat(id, NULL, 0);
		REQUIRE_OK(p);
		CHECK_OK(shmctl(id, IPC_STAT, &ds));
		CHECK_EQ(ds.shm_nattch, 1);
		CHECK_OK(shmdt(p));
		CHECK_OK(shmctl(id, IPC_RMID, NULL));
	}

	setitimer(ITIMER_REAL, &never, NULL);
	CHECK_EQ(nattch_of(handler_id), 0);
	destroy(handler_id);
}

CASE("C91", calls_work_on_a_small_signal_stack)
{
	static char memory[16384];
	stack_t stack = { .ss_sp = memory, .ss_size = sizeof(memory) };
	struct sigaction sa;

	handler_id = make(4096, 0600);
	REQUIRE_OK(sigaltstack(&stack, NULL));
	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = all_calls;
	sa.sa_flags = SA_ONSTACK;
	sigaction(SIGUSR1, &sa, NULL);
	raise(SIGUSR1);
	CHECK_EQ(atomic_load(&handled), 1);
	destroy(handler_id);
}

CASE("C91", signal_mask_is_as_before_after_each_call)
{
	sigset_t want, is;
	struct shmid_ds ds;
	int id, round, sig;
	char *p;

	for (round = 0; round < 2; round++) {
		sigemptyset(&want);
		sigaddset(&want, SIGUSR1);
		if (round)
			sigaddset(&want, SIGTERM);
		sigprocmask(SIG_SETMASK, &want, NULL);

		id = make(4096, 0600);
		p = attach(id, 0);
		shmctl(id, IPC_STAT, &ds);
		CHECK_ERRNO(shmat(id, p, 0), EINVAL);
		CHECK_ERRNO(shmdt(p + 1), EINVAL);
		if (child())
			child_exit();
		detach(p);
		destroy(id);

		sigprocmask(SIG_SETMASK, NULL, &is);
		for (sig = 1; sig < 32; sig++) {
			NOTE("signal %d", sig);
			CHECK_EQ(sigismember(&is, sig),
				 sigismember(&want, sig));
		}
	}
}

CASE("C91", signal_dispositions_are_the_programs)
{
	struct sigaction before[32], after;
	struct shmid_ds ds;
	int id, sig;

	for (sig = 1; sig < 32; sig++)
		sigaction(sig, NULL, &before[sig]);

	id = make(4096, 0600);
	detach(attach(id, 0));
	shmctl(id, IPC_STAT, &ds);
	destroy(id);

	for (sig = 1; sig < 32; sig++) {
		NOTE("signal %d", sig);
		sigaction(sig, NULL, &after);
		CHECK(after.sa_handler == before[sig].sa_handler);
		CHECK_EQ(after.sa_flags, before[sig].sa_flags);
	}
}

CASE("C72 C91", refusing_a_buffer_leaves_signals_alone)
{
	struct sigaction before[32], after;
	sigset_t was, is;
	int id, sig;

	NEED_BARE_BUFFERS();
	id = make(4096, 0600);
	sigprocmask(SIG_SETMASK, NULL, &was);
	for (sig = 1; sig < 32; sig++)
		sigaction(sig, NULL, &before[sig]);

	CHECK_ERRNO(shmctl(id, IPC_STAT, (void *)page_with(PROT_NONE)), EFAULT);
	CHECK_ERRNO(shmctl(id, IPC_SET, (void *)page_with(PROT_NONE)), EFAULT);

	sigprocmask(SIG_SETMASK, NULL, &is);
	for (sig = 1; sig < 32; sig++) {
		NOTE("signal %d", sig);
		CHECK_EQ(sigismember(&is, sig), sigismember(&was, sig));
		sigaction(sig, NULL, &after);
		CHECK(after.sa_handler == before[sig].sa_handler);
	}
	destroy(id);
}

/* --------------------------------------------------------------- threads */

enum { THREADS = 4, TURNS = 300 };

static void *busy_body(void *arg)
{
	int shared = *(int *)arg, id, i;
	char *p, *q;

	for (i = 0; i < TURNS; i++) {
		p = attach(shared, 0);
		id = make(4096, 0600);
		q = attach(id, 0);
		q[0] = 1;
		destroy(id);
		CHECK_EQ(nattch_of(id), 1);
		detach(q);
		CHECK(!exists(id));
		detach(p);
	}
	return NULL;
}

CASE("C61 C91", threads_call_at_the_same_time)
{
	pthread_t threads[THREADS];
	int id = make(4096, 0600), i;

	for (i = 0; i < THREADS; i++)
		REQUIRE(pthread_create(&threads[i], NULL, busy_body, &id) == 0);
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	CHECK_EQ(nattch_of(id), 0);
	destroy(id);
}

CASE("C21 C91", processes_call_at_the_same_time)
{
	struct peer peers[THREADS];
	int id = make(4096, 0600), i;

	for (i = 0; i < THREADS; i++) {
		if (peer_start(&peers[i])) {
			busy_body(&id);
			child_exit();
		}
	}
	for (i = 0; i < THREADS; i++)
		peer_join(&peers[i]);
	CHECK_EQ(nattch_of(id), 0);
	destroy(id);
}

static atomic_bool churn_stop;

static void *churn_body(void *arg)
{
	int id = *(int *)arg;

	while (!atomic_load(&churn_stop))
		detach(attach(id, 0));
	return NULL;
}

CASE("C91", child_of_a_busy_threaded_process_can_call)
{
	pthread_t threads[2];
	int id = make(4096, 0600), mine = make(4096, 0600), i;
	char *p = attach(mine, 0);

	for (i = 0; i < 2; i++)
		REQUIRE(pthread_create(&threads[i], NULL, churn_body, &id) ==
			0);
	for (i = 0; i < 100; i++) {
		if (child()) {
			char *q;

			CHECK_EQ(nattch_of(mine), 2);
			q = attach(mine, 0);
			CHECK_EQ(nattch_of(mine), 3);
			CHECK_OK(shmdt(q));
			CHECK_OK(shmdt(p));
			CHECK_EQ(nattch_of(mine), 1);
			child_exit();
		}
	}
	atomic_store(&churn_stop, true);
	for (i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	CHECK_EQ(nattch_of(mine), 1);
	CHECK_EQ(nattch_of(id), 0);
	detach(p);
	destroy(mine);
	destroy(id);
}

static void *cancelled_body(void *arg)
{
	int id = *(int *)arg;
	struct shmid_ds ds;

	pthread_cancel(pthread_self()); /* pending from here */
	CHECK_EQ(shmctl(id, IPC_STAT, &ds), 0);
	detach(attach(id, 0));
	destroy(make(4096, 0600));
	atomic_fetch_add(&handled, 1);
	pthread_testcancel();
	atomic_fetch_add(&handled, 1);
	return NULL;
}

CASE("C91", calls_are_no_cancellation_points)
{
	int id = make(4096, 0600);
	pthread_t thread;
	void *result;

	REQUIRE(pthread_create(&thread, NULL, cancelled_body, &id) == 0);
	REQUIRE(pthread_join(thread, &result) == 0);
	CHECK_EQ(atomic_load(&handled), 1);
	CHECK(result == PTHREAD_CANCELED);
	CHECK_EQ(nattch_of(id), 0);
	destroy(id);
}

static void *small_stack_body(void *arg)
{
	handler_id = *(int *)arg;
	all_calls(0);
	return NULL;
}

CASE("C91", calls_work_on_a_small_stack)
{
	size_t size = 32768;
	int id = make(4096, 0600);
	pthread_attr_t attr;
	pthread_t thread;

	REQUIRE(pthread_attr_init(&attr) == 0);
	if (pthread_attr_setstacksize(&attr, size) != 0)
		SKIP("no thread may have a stack of %d bytes", (int)size);
	REQUIRE(pthread_create(&thread, &attr, small_stack_body, &id) == 0);
	pthread_join(thread, NULL);
	CHECK_EQ(atomic_load(&handled), 1);
	destroy(id);
}

/* ----------------------------------------------------------------- exits */

static char *exit_attach;

static void at_exit(void)
{
	struct shmid_ds ds;

	CHECK_EQ(shmctl(handler_id, IPC_STAT, &ds), 0);
	CHECK_EQ(ds.shm_nattch, 1);
	CHECK_EQ(shmdt(exit_attach), 0);
	CHECK_EQ(shmctl(handler_id, IPC_RMID, NULL), 0);
	atomic_fetch_add(&handled, 1);
	_exit(atomic_load(&handled) == 1 ? 0 : 5);
}

CASE("C91", exit_handlers_can_detach_and_remove)
{
	pid_t pid = fork();

	REQUIRE(pid >= 0);
	if (pid == 0) {
		atexit(at_exit);
		handler_id = make(4096, 0600);
		exit_attach = attach(handler_id, 0);
		exit(0);
	}
	join(pid);
}

/* ---------------------------------------------------------- wild pointers */

CASE("C51 C72", wild_addresses_are_errors_never_signals)
{
	static const uintptr_t wild[] = {
		1, 4095, 4096, 8192, (uintptr_t)-1, (uintptr_t)-4096,
	};
	const uintptr_t high = (uintptr_t)1 << (sizeof(long) * 6 - 1);
	size_t i;
	int id;

	NEED_BARE_BUFFERS();
	id = make(4096, 0600);
	for (i = 0; i < LEN(wild); i++) {
		NOTE("address 0x%lx", (unsigned long)wild[i]);
		CHECK_ERRNO(shmdt((void *)wild[i]), EINVAL);
		CHECK_ERRNO(shmctl(id, IPC_STAT, (void *)wild[i]), EFAULT);
		CHECK_ERRNO(shmctl(id, IPC_SET, (void *)wild[i]), EFAULT);
		CHECK_ERRNO(shmctl(0, IPC_INFO, (void *)wild[i]), EFAULT);
		CHECK_ERRNO(shmctl(0, SHM_INFO, (void *)wild[i]), EFAULT);
	}

	NOTE("the top of the user's half");
	CHECK_ERRNO(shmdt((void *)(high - page_size())), EINVAL);
	CHECK_ERRNO(shmctl(id, IPC_STAT, (void *)high), EFAULT);

	/* Code, the stack, the heap: mapped, but no attach. */
	NOTE("mapped memory");
	CHECK_ERRNO(shmdt((void *)((uintptr_t)&id & ~(page_size() - 1))),
		    EINVAL);
	CHECK_ERRNO(shmdt((void *)((uintptr_t)&handled & ~(page_size() - 1))),
		    EINVAL);
	destroy(id);
}

/* -------------------------------------------------------------- by number */

#ifdef SYS_shmget
CASE_IF("C91", NEEDS_RAW, calls_by_number_are_the_same_calls)
{
	struct shmid_ds ds;
	int id = (int)syscall(SYS_shmget, KEY, 4096,
			      IPC_CREAT | IPC_EXCL | 0600);
	char *p;

	REQUIRE_OK(id);
	CHECK_EQ(shmget(KEY, 4096, 0600), id);
	CHECK_ERRNO(syscall(SYS_shmget, KEY, 4096, IPC_CREAT | IPC_EXCL),
		    EEXIST);

	p = (char *)syscall(SYS_shmat, id, NULL, 0);
	REQUIRE_OK(p);
	CHECK_EQ(touch_write(p), 0);
	CHECK_EQ(nattch_of(id), 1);
	if (LONG_64) {
		CHECK_EQ(syscall(SYS_shmctl, id, IPC_STAT, &ds), 0);
		CHECK_EQ(ds.shm_nattch, 1);
	}
	CHECK_EQ(syscall(SYS_shmdt, p), 0);
	CHECK_ERRNO(syscall(SYS_shmdt, p), EINVAL);
	CHECK_EQ(syscall(SYS_shmctl, id, IPC_RMID, NULL), 0);
}
#endif

CASE("C91", calls_through_pointers_are_the_same_calls)
{
	int (*volatile get)(key_t, size_t, int) = shmget;
	void *(*volatile at)(int, const void *, int) = shmat;
	int (*volatile dt)(const void *) = shmdt;
	int (*volatile ctl)(int, int, struct shmid_ds *) = shmctl;
	int id = get(KEY, 4096, IPC_CREAT | 0600);
	void *p;

	REQUIRE_OK(id);
	p = at(id, NULL, 0);
	REQUIRE_OK(p);
	CHECK_EQ(nattch_of(id), 1);
	CHECK_EQ(dt(p), 0);
	CHECK_EQ(ctl(id, IPC_RMID, NULL), 0);
}

#ifndef SYS_ipc
#define SYS_ipc 0
#endif

/* ipc(2): how 32-bit libraries of x86 make the calls. */
CASE_IF("C91", NEEDS_RAW, calls_by_the_number_of_ipc_are_the_same_calls)
{
	enum { SHMAT = 21, SHMDT, SHMGET, SHMCTL, NEW = 0x100 };
	struct shmid_ds ds;
	char *p;
	int id;

	if (!SYS_ipc)
		SKIP("there is no ipc(2) on this machine");

	id = (int)syscall(SYS_ipc, SHMGET, KEY, 4096, IPC_CREAT | 0600, NULL);
	REQUIRE_OK(id);
	CHECK_EQ(shmget(KEY, 4096, 0600), id);

	CHECK_EQ(syscall(SYS_ipc, SHMAT, id, 0, &p, NULL), 0);
	CHECK_EQ(touch_write(p), 0);
	CHECK_ERRNO(syscall(SYS_ipc, SHMAT, id + 1, 0, &p, NULL), EINVAL);
	CHECK_EQ(syscall(SYS_ipc, SHMCTL, id, IPC_STAT | NEW, 0, &ds), 0);
	CHECK_EQ(ds.shm_nattch, 1);
	CHECK_EQ(ds.shm_segsz, 4096);

	CHECK_EQ(syscall(SYS_ipc, SHMDT, 0, 0, 0, p), 0);
	CHECK_ERRNO(syscall(SYS_ipc, SHMDT, 0, 0, 0, p), EINVAL);
	CHECK_EQ(syscall(SYS_ipc, SHMCTL, id, IPC_RMID, 0, NULL), 0);
	CHECK(!exists(id));
}
