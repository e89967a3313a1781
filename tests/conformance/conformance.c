/* SPDX-License-Identifier: MIT */
#define CHECK_MAIN
#include "conformance.h"

#include <setjmp.h>
#include <sys/syscall.h>

size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

int make(size_t size, int mode)
{
	int id = shmget(IPC_PRIVATE, size, IPC_CREAT | mode);

	MUST(OK(id));
	return id;
}

int make_key(size_t size, int mode)
{
	int id = shmget(KEY, size, IPC_CREAT | IPC_EXCL | mode);

	MUST(OK(id));
	return id;
}

void *attach(int id, int flags)
{
	void *p = shmat(id, NULL, flags);

	MUST(OK(p));
	return p;
}

void detach(const void *p)
{
	OK(shmdt(p));
}

void destroy(int id)
{
	OK(shmctl(id, IPC_RMID, NULL));
}

struct shmid_ds stat_of(int id)
{
	struct shmid_ds ds;

	memset(&ds, 0, sizeof(ds));
	MUST(OK(shmctl(id, IPC_STAT, &ds)));
	return ds;
}

unsigned long nattch_of(int id)
{
	return stat_of(id).shm_nattch;
}

bool exists(int id)
{
	struct shmid_ds ds;

	return shmctl(id, IPC_STAT, &ds) == 0 || errno != EINVAL;
}

void set_mode(int id, int mode)
{
	struct shmid_ds ds = stat_of(id);

	ds.shm_perm.mode = (unsigned short)mode;
	MUST(OK(shmctl(id, IPC_SET, &ds)));
}

/* Does not need to read the segment first. */
int set_owner(int id, uid_t uid, gid_t gid)
{
	struct shmid_ds ds;

	memset(&ds, 0, sizeof(ds));
	ds.shm_perm.uid = uid;
	ds.shm_perm.gid = gid;
	ds.shm_perm.mode = 0600;
	return shmctl(id, IPC_SET, &ds);
}

int index_of(int id)
{
	return id % 32768;
}

char *hole(size_t npages)
{
	size_t page = page_size(), size = (npages + 2) * page;
	char *p = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0);

	MUST(p != MAP_FAILED);
	MUST(OK(munmap(p, size)));
	return p + page;
}

char *page_with(int prot)
{
	char *p = mmap(NULL, page_size(), prot, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0);

	MUST(p != MAP_FAILED);
	return p;
}

char *end_of_page(size_t n)
{
	size_t page = page_size();
	char *p = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST(p != MAP_FAILED);
	MUST(OK(mprotect(p + page, page, PROT_NONE)));
	return p + page - n;
}

static sigjmp_buf touch_back;
static volatile int touch_fault;

static void touch_handler(int sig, siginfo_t *info, void *context)
{
	(void)context;
	touch_fault = FAULT(sig, info->si_code);
	siglongjmp(touch_back, 1);
}

/* Faults are the purpose, address 0 included. */
__attribute__((no_sanitize("undefined"))) static int touch(
	const volatile void *readable, volatile void *writable)
{
	struct sigaction sa, segv, bus;

	memset(&sa, 0, sizeof(sa));
	sa.sa_sigaction = touch_handler;
	sa.sa_flags = SA_SIGINFO;
	sigaction(SIGSEGV, &sa, &segv);
	sigaction(SIGBUS, &sa, &bus);

	touch_fault = 0;
	if (sigsetjmp(touch_back, 1) == 0) {
		if (writable)
			*(volatile char *)writable = 1;
		else
			(void)*(const volatile char *)readable;
	}

	sigaction(SIGSEGV, &segv, NULL);
	sigaction(SIGBUS, &bus, NULL);
	return touch_fault;
}

int touch_read(const volatile void *p)
{
	return touch(p, NULL);
}

int touch_write(volatile void *p)
{
	return touch(NULL, p);
}

time_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME_COARSE, &ts);
	return ts.tv_sec;
}

time_t next_second(void)
{
	time_t start = now();
	struct timespec ts = { start + 1, 0 };

	/* The coarse clock follows a tick later. */
	while (clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &ts, NULL) != 0)
		;
	while (now() == start)
		;
	return now();
}

/* capset(2) without libcap: two words each of effective, permitted, ... */
#define CAPABILITY_VERSION_3 0x20080522

static void set_effective(unsigned long long mask)
{
	uint32_t header[2] = { CAPABILITY_VERSION_3, 0 };
	uint32_t data[6];

	MUST(OK(syscall(SYS_capget, header, data)));
	data[0] = data[1] & (uint32_t)mask;
	data[3] = data[4] & (uint32_t)(mask >> 32);
	MUST(OK(syscall(SYS_capset, header, data)));
}

void keep_capabilities(unsigned long long mask)
{
	set_effective(mask);
}

void full_capabilities(void)
{
	set_effective(~0ull);
}

void act_as(uid_t uid, gid_t gid)
{
	MUST(OK(setgroups(0, NULL)));
	MUST(OK(setegid(gid)));
	MUST(OK(seteuid(uid)));
}

void act_as_root(void)
{
	MUST(OK(seteuid(0)));
	MUST(OK(setegid(0)));
}

/* After each case: report and remove what it left. */
static void sweep(void)
{
	struct shm_info info;
	struct shmid_ds ds;
	int i, id, last;

	last = shmctl(0, SHM_INFO, (struct shmid_ds *)&info);
	if (!CHECK_OK(last))
		return;
	if (info.used_ids == 0)
		return;

	for (i = 0; i <= last; i++) {
		id = shmctl(i, SHM_STAT_ANY, &ds);
		if (id < 0)
			continue;
		NOTE("left behind: id %d, key 0x%x, size %lu, nattch %lu", id,
		     (unsigned)ds.shm_perm.__key, (unsigned long)ds.shm_segsz,
		     (unsigned long)ds.shm_nattch);
		CHECK(!"the namespace is empty after the case");
		shmctl(id, IPC_RMID, NULL);
	}
}

__attribute__((constructor)) static void set_sweep(void)
{
	check_set_after(sweep);
}
