/* SPDX-License-Identifier: MIT */
/*
 * The operations: what must be there before, the call itself with a check of
 * its answer, and the errnos that its manual page has.
 */
#include "failure/operations.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/posix.h"
#include "core/process.h"
#include "core/space.h"
#include "store/layout.h"

#define KEY   0x5eed
#define PAGES 4
#define MODE  0700
#define SIZE  (PAGES * 4096)
#define HUGE_ (2 << 20)

/* Where nothing is, in any process. */
#define GAP ((char *)(sizeof(long) == 8 ? 0x10000000000 : 0x60000000))

#define MUST(cond)                                                             \
	do {                                                                   \
		if (!(cond)) {                                                 \
			fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, \
				#cond, strerror(errno));                       \
			_exit(3);                                              \
		}                                                              \
	} while (0)

#define RIGHT(cond)                              \
	do {                                     \
		if (!(cond))                     \
			return WRONG - __LINE__; \
	} while (0)

struct stage stage = { .id = -1 };

static int failed(int r)
{
	return r < 0 ? -errno : r;
}

/* ----------------------------------------------------------- before it */

static void nothing(void)
{
}

void stage_open(void)
{
	struct shminfo info;
	struct ushm_problem problem;

	errno = 0;
	MUST(ushm_open(stage.dir, USHM_CREATE, NULL, &stage.sp, &problem) == 0);

	/* For the drop-ins as well. */
	MUST(ushm_shmctl(0, IPC_INFO, (void *)&info) >= 0);
}

static void somebody_made_it(void)
{
	int status;

	if (fork() == 0) {
		stage_open();
		MUST(ushm_get(stage.sp, KEY, SIZE, IPC_CREAT | MODE,
			      &stage.id) == 0);
		_exit(0);
	}
	MUST(wait(&status) > 0 && status == 0);
}

static void namespace_exists(void)
{
	stage_open();
}

static void segment_exists(void)
{
	stage_open();
	MUST(ushm_get(stage.sp, KEY, SIZE, IPC_CREAT | MODE, &stage.id) == 0);
}

static void *another(void)
{
	void *p;

	MUST(ushm_attach(stage.sp, stage.id, NULL, 0, &p) == 0);
	return p;
}

static void attached(void)
{
	segment_exists();
	stage.at = another();
	memset(stage.at, 1, SIZE);
}

static void attached_with_room(void)
{
	segment_exists();
	MUST(ushm_attach(stage.sp, stage.id, GAP, 0, (void **)&stage.at) == 0);
	memset(stage.at, 1, SIZE);
}

static void attached_twice_before(void)
{
	segment_exists();
	MUST(ushm_detach(stage.sp, another()) == 0);
}

static void attached_thrice_before(void)
{
	attached_twice_before();
	MUST(ushm_detach(stage.sp, another()) == 0);
}

static void attached_and_split(void)
{
	attached();
	MUST(ushm_munmap(stage.at + 4096, 4096) == 0);
}

static void attached_and_removed(void)
{
	attached();
	MUST(ushm_remove(stage.sp, stage.id) == 0);
}

static void registry_of_another_boot(void)
{
	char path[120];
	int fd, status;

	if (fork() == 0) {
		segment_exists();
		_exit(0);
	}
	MUST(wait(&status) > 0 && status == 0);
	snprintf(path, sizeof(path), "%s/registry.%u", stage.dir, geteuid());
	fd = open(path, O_RDWR);
	MUST(fd >= 0);
	MUST(pwrite(fd, "0000", 4, offsetof(struct layout_header, boot_id)) ==
	     4);
	close(fd);
}

static void in_the_parent_directory(void)
{
	*strrchr(stage.dir, '/') = '\0';
	MUST(chdir(stage.dir) == 0);
	stage.dir[strlen(stage.dir)] = '/';
}

static void no_descriptors(void)
{
	struct rlimit limit;

	MUST(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = 0;
	MUST(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

static void open_and_no_descriptors(void)
{
	stage_open();
	no_descriptors();
}

static void segment_and_no_descriptors(void)
{
	segment_exists();
	no_descriptors();
}

static void small_files_only(void)
{
	struct rlimit limit;

	stage_open();
	MUST(getrlimit(RLIMIT_FSIZE, &limit) == 0);
	limit.rlim_cur = 100;
	MUST(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

static void huge_segment_exists(void)
{
	stage_open();
	MUST(ushm_get(stage.sp, KEY, HUGE_, IPC_CREAT | SHM_HUGETLB | MODE,
		      &stage.id) == 0);
}

static struct registry *registry(void)
{
	return &((struct space *)stage.sp)->reg;
}

static void as_many_attachments_as_are_ready(void)
{
	struct layout_header *h;

	attached();
	for (h = registry()->h; h->nattaches < h->attaches.ready;)
		another();
}

static void one_record_is_left(void)
{
	as_many_attachments_as_are_ready();
	MUST(ushm_detach(stage.sp, another()) == 0);
}

static void as_many_segments_as_are_ready(void)
{
	struct layout_header *h;
	int id;

	segment_exists();
	for (h = registry()->h; h->in_use < h->segments.ready;)
		MUST(ushm_get(stage.sp, IPC_PRIVATE, 1, 0600, &id) == 0);
}

/* By processes that seem to live: the slots say no more. */
static void as_many_processes_as_are_ready(void)
{
	struct layout_header *h;

	somebody_made_it();
	stage_open();
	h = registry()->h;
	for (uint32_t i = 0; i < h->procs.ready; i++)
		registry()->procs[i].claim = claim_make(0, PROC_LIVE,
							getppid());
	h->procs.used = h->procs.ready;
}

static void attached_and_no_process_slot_left(void)
{
	struct layout_header *h;

	attached();
	h = registry()->h;
	for (uint32_t i = 1; i < h->procs.ready; i++)
		registry()->procs[i].claim = claim_make(0, PROC_LIVE,
							getppid());
	h->procs.used = h->procs.ready;
}

static void somebody_died_attached(void)
{
	pid_t pid;

	segment_exists();
	pid = fork();
	if (pid == 0) {
		another();
		kill(getpid(), SIGKILL);
	}
	MUST(waitpid(pid, NULL, 0) == pid);
}

static int ends[2];

static void segment_and_pipe_exist(void)
{
	segment_exists();
	MUST(pipe2(ends, O_NONBLOCK) == 0);
}

/* ------------------------------------------------------------- the calls */

static int do_open(void)
{
	struct ushm_problem problem;
	ushm_space *sp;
	int r = ushm_open(stage.dir, USHM_CREATE, NULL, &sp, &problem);

	if (r < 0) {
		RIGHT(problem.error == -r && strstr(problem.text, stage.dir));
		return r;
	}
	RIGHT(strcmp(ushm_dir(sp), stage.dir) == 0);
	stage.sp = sp;
	return 0;
}

static int do_open_relative(void)
{
	struct ushm_problem problem;
	int r = ushm_open(strrchr(stage.dir, '/') + 1, USHM_CREATE, NULL,
			  &stage.sp, &problem);

	RIGHT(r < 0 || strcmp(ushm_dir(stage.sp), stage.dir) == 0);
	return r;
}

static int get(key_t key, size_t size, int flags)
{
	int id = ushm_shmget(key, size, flags);

	if (id < 0)
		return -errno;
	stage.id = id;
	return id;
}

static int get_new(void)
{
	return get(KEY, SIZE, IPC_CREAT | IPC_EXCL | 0600);
}

static int get_old(void)
{
	int before = stage.id, id = get(KEY, 0, 0);

	RIGHT(id < 0 || before < 0 || id == before);
	return id;
}

static int get_private(void)
{
	return get(IPC_PRIVATE, 1, 0600);
}

static int get_exclusive(void)
{
	int saved = errno, r = get(KEY, SIZE, IPC_CREAT | IPC_EXCL | 0600);

	RIGHT(r < 0);
	if (r != -EEXIST)
		return r;
	errno = saved;
	return 0;
}

static int get_huge(void)
{
	return get(KEY, HUGE_, IPC_CREAT | SHM_HUGETLB | MODE);
}

static int get_unreserved(void)
{
	return get(KEY, 64 << 20, IPC_CREAT | SHM_NORESERVE | 0600);
}

static int attach(void *hint, int flags)
{
	char *p = ushm_shmat(stage.id, hint, flags);

	if (p == (char *)-1)
		return -errno;
	RIGHT(!hint || flags & SHM_RND || p == hint);
	if (!(flags & SHM_RDONLY))
		p[SIZE - 1] = 1;
	RIGHT(p[0] == (stage.at ? stage.at[0] : 0));
	stage.at = p;
	return 0;
}

static int attach_anywhere(void)
{
	return attach(NULL, 0);
}

static int attach_to_read(void)
{
	return attach(NULL, SHM_RDONLY);
}

static int attach_to_execute(void)
{
	return attach(NULL, SHM_EXEC);
}

static int attach_here(void)
{
	return attach(GAP, 0);
}

static int attach_rounded(void)
{
	int r = attach(GAP + 77, SHM_RND);

	RIGHT(r < 0 || stage.at == GAP);
	return r;
}

static int attach_over_memory(void)
{
	char *p = mmap(NULL, SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0);
	int r;

	if (p == MAP_FAILED)
		return -ENOMEM;
	r = attach(p, SHM_REMAP);
	if (r < 0)
		munmap(p, SIZE);
	return r;
}

/* The second half of what is attached already. */
static int attach_over_attachment(void)
{
	return attach(stage.at + SIZE / 2, SHM_REMAP);
}

static int attach_huge(void)
{
	char *p = ushm_shmat(stage.id, NULL, 0);

	if (p == (char *)-1)
		return -errno;
	RIGHT((uintptr_t)p % HUGE_ == 0);
	p[HUGE_ - 1] = 1;
	stage.at = p;
	return 0;
}

static int detach(void)
{
	return failed(ushm_shmdt(stage.at));
}

static int stat_(void)
{
	struct shmid_ds *ds = malloc(sizeof(*ds));
	int r = failed(ushm_shmctl(stage.id, IPC_STAT, ds));

	RIGHT(r < 0 || (ds->shm_segsz == SIZE && ds->shm_nattch == 1 &&
			ds->shm_perm.mode == MODE));
	free(ds);
	return r;
}

static int stat_by_index(void)
{
	struct shmid_ds ds;
	int r = failed(ushm_shmctl(0, SHM_STAT, &ds));

	RIGHT(r < 0 || (r == stage.id && ds.shm_segsz == SIZE));
	return r;
}

static int stat_dead(void)
{
	struct shmid_ds ds;
	int r = failed(ushm_shmctl(stage.id, IPC_STAT, &ds));

	/* Who could not be asked about is believed to live. */
	RIGHT(r < 0 || ds.shm_nattch == 0 ||
	      (ds.shm_nattch == 1 && stage.in->met));
	return r;
}

static int set(void)
{
	struct shmid_ds *ds = calloc(1, sizeof(*ds));
	struct ushm_segment seg;
	int r;

	ds->shm_perm.uid = geteuid();
	ds->shm_perm.gid = 77;
	ds->shm_perm.mode = 0640;
	r = failed(ushm_shmctl(stage.id, IPC_SET, ds));
	free(ds);
	if (r == 0)
		RIGHT(ushm_stat(stage.sp, stage.id, &seg) == 0 &&
		      seg.gid == 77 && seg.mode == 0640);
	return r;
}

static int remove_(void)
{
	return failed(ushm_shmctl(stage.id, IPC_RMID, NULL));
}

static int lock(void)
{
	return failed(ushm_shmctl(stage.id, SHM_LOCK, NULL));
}

static int ipc_info(void)
{
	struct shminfo info;
	int r = failed(ushm_shmctl(0, IPC_INFO, (void *)&info));

	RIGHT(r < 0 || info.shmmni == 32768);
	return r;
}

static int shm_info(void)
{
	struct shm_info info;
	int r = failed(ushm_shmctl(0, SHM_INFO, (void *)&info));

	RIGHT(r < 0 || (info.used_ids == 1 && info.shm_tot == PAGES));
	return r;
}

static int info(void)
{
	struct ushm_info i;
	int r = ushm_info(stage.sp, &i);

	RIGHT(r < 0 || (i.used_ids == 1 && i.attachments == 1));
	return r;
}

static int limits(void)
{
	uint64_t value;
	int r = ushm_limit_set(stage.sp, USHM_SHM_RMID_FORCED, 1);

	RIGHT(r < 0 ||
	      (ushm_limit_get(stage.sp, USHM_SHM_RMID_FORCED, &value) == 0 &&
	       value == 1));
	return r;
}

static int next(void)
{
	struct ushm_segment seg;
	uint32_t cursor = 0;
	int r = ushm_next(stage.sp, &cursor, &seg);

	RIGHT(r < 0 || (r == 1 && seg.id == stage.id));
	return r;
}

static int next_attachment(void)
{
	struct ushm_attachment a;
	uint32_t cursor = 0;
	int r = ushm_next_attachment(stage.sp, stage.id, &cursor, &a);

	RIGHT(r < 0 || (r == 1 && a.address == (uintptr_t)stage.at));
	return r;
}

static int write_proc(void)
{
	int r = ushm_write_proc(stage.sp, ends[1]);
	char buf[2000];
	ssize_t n = read(ends[0], buf, sizeof(buf));

	RIGHT(r < 0 || (n > 300 && buf[n - 1] == '\n'));
	return r;
}

static void on_finding(void *arg, const struct ushm_finding *finding)
{
	(void)arg;
	(void)finding;
}

static int check_all(void)
{
	return ushm_check(stage.dir, USHM_REPAIR, on_finding, NULL, NULL);
}

static int collect_all(void)
{
	return ushm_collect(stage.dir, 0, on_finding, NULL, NULL);
}

/* ----------------------------------------------------------- memory calls */

static int unmap_middle(void)
{
	return failed(ushm_munmap(stage.at + 4096, 4096));
}

static int unmap_head(void)
{
	return failed(ushm_munmap(stage.at, 4096));
}

static int unmap_all(void)
{
	return failed(ushm_munmap(stage.at, SIZE));
}

static int map_over(void)
{
	return ushm_mmap(stage.at + 4096, 4096, PROT_READ,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
			 0) == MAP_FAILED
		       ? -errno
		       : 0;
}

static int moved(void *p)
{
	if (p == MAP_FAILED)
		return -errno;
	RIGHT(*(char *)p == 1);
	return 0;
}

static int move(void)
{
	return moved(ushm_mremap(stage.at, SIZE, SIZE,
				 MREMAP_MAYMOVE | MREMAP_FIXED, GAP));
}

static int move_part(void)
{
	return moved(ushm_mremap(stage.at + 4096, 4096, 4096,
				 MREMAP_MAYMOVE | MREMAP_FIXED, GAP));
}

static int duplicate(void)
{
	return moved(ushm_mremap(stage.at, 0, SIZE, MREMAP_MAYMOVE));
}

static int shrink(void)
{
	return moved(ushm_mremap(stage.at, SIZE, SIZE / 2, 0));
}

static int protect(void)
{
	return failed(ushm_mprotect(stage.at + 4096, 4096, PROT_READ));
}

static int lock_pages(void)
{
	return failed(ushm_mlock(stage.at, 4096));
}

static int unlock_pages(void)
{
	return failed(ushm_munlock(stage.at, SIZE));
}

static int advise(void)
{
	return failed(ushm_madvise(stage.at, SIZE, MADV_DONTFORK));
}

static int advise_part(void)
{
	return failed(ushm_madvise(stage.at, 4096, MADV_DONTFORK));
}

/* ----------------------------------------------------------- processes */

/* As the preload forks: nattch as the child sees it while its parent waits. */
static int fork_and_count(void)
{
	uint32_t mine = registry()->segments[0].attaches;
	struct ushm_segment seg;
	int status, r = process_room();
	pid_t pid;

	if (r < 0)
		return r;
	pid = fork();
	if (pid == 0) {
		r = ushm_stat(stage.sp, stage.id, &seg);
		inject_disarm();
		if (r == 0 && (seg.nattch != 2 * mine || stage.at[0] != 1))
			_exit(1);
		_exit(r < 0 ? 2 : 0);
	}
	MUST(waitpid(pid, &status, 0) == pid);
	RIGHT(WIFEXITED(status) && WEXITSTATUS(status) != 1);
	return WEXITSTATUS(status) ? -EINVAL : 0;
}

/* ------------------------------------------------------------- objects */

static struct space *the_space(void)
{
	return (struct space *)stage.sp;
}

static void object_exists(void)
{
	stage_open();
	MUST(close(posix_open(the_space(), "o", O_RDWR | O_CREAT, 0600)) == 0);
}

/* What opening gives, without the descriptor. */
static int open_object(const char *name, int flags)
{
	int fd = posix_open(the_space(), name, flags | O_CLOEXEC, 0600);

	if (fd < 0)
		return fd;
	RIGHT(syscall(SYS_close, fd) == 0);
	return 0;
}

static int object_make(void)
{
	return open_object("new", O_RDWR | O_CREAT | O_EXCL);
}

static int object_open(void)
{
	return open_object("o", O_RDONLY);
}

static int object_remove(void)
{
	return posix_unlink(the_space(), "o");
}

static int end(void)
{
	exit(0);
}

#define GET_ERRORS                             \
	{                                      \
		ENOMEM, ENOSPC, EACCES, ENOSYS \
	}
/* The last two are mmap's, which Linux passes on. */
#define ATTACH_ERRORS                                        \
	{                                                    \
		ENOMEM, EACCES, EIDRM, EINVAL, EAGAIN, EPERM \
	}
#define CONTROL_ERRORS                 \
	{                              \
		EACCES, EINVAL, ENOMEM \
	}

const struct operation operations[] = {
	{ "open, new", OPENS | SAME, nothing, do_open, { EPROTO } },
	{ "open, new, no hard links",
	  OPENS | SAME | NO_LINKS,
	  nothing,
	  do_open,
	  { EPROTO } },
	{ "open, new, small",
	  OPENS | SAME | SMALL,
	  nothing,
	  do_open,
	  { EPROTO } },
	{ "open, existing",
	  OPENS | SAME,
	  somebody_made_it,
	  do_open,
	  { EPROTO } },
	{ "open, relative",
	  OPENS | SAME,
	  in_the_parent_directory,
	  do_open_relative,
	  { EPROTO } },
	{ "open, older boot",
	  OPENS | SAME | ON_RAM,
	  registry_of_another_boot,
	  do_open,
	  { EPROTO } },
	{ "open, no descriptor",
	  OPENS | SAME,
	  no_descriptors,
	  do_open,
	  { EPROTO, EMFILE } },

	{ "shmget, first call", OPENS, nothing, get_new, GET_ERRORS },
	{ "shmget, first, existing", OPENS, somebody_made_it, get_old,
	  GET_ERRORS },
	{ "shmget, new", 0, namespace_exists, get_new, GET_ERRORS },
	{ "shmget, new, small", SMALL, namespace_exists, get_new, GET_ERRORS },
	{ "shmget, existing", 0, segment_exists, get_old, { ENOMEM } },
	{ "shmget, IPC_PRIVATE", 0, namespace_exists, get_private, GET_ERRORS },
	{ "shmget, IPC_EXCL", 0, segment_exists, get_exclusive, { ENOMEM } },
	{ "shmget, SHM_HUGETLB", 0, namespace_exists, get_huge, GET_ERRORS },
	{ "shmget, SHM_NORESERVE", 0, namespace_exists, get_unreserved,
	  GET_ERRORS },
	{ "shmget, no descriptor", 0, open_and_no_descriptors, get_new,
	  GET_ERRORS },
	{ "shmget, RLIMIT_FSIZE", 0, small_files_only, get_new, GET_ERRORS },
	{ "shmget, exposed", EXPOSED, namespace_exists, get_new, GET_ERRORS },
	{ "shmget, segments grow", 0, as_many_segments_as_are_ready,
	  get_private, GET_ERRORS },
	{ "shmget, processes grow", 0, as_many_processes_as_are_ready,
	  get_private, GET_ERRORS },

	{ "shmat, first", 0, segment_exists, attach_anywhere, ATTACH_ERRORS },
	{ "shmat, second", 0, attached_twice_before, attach_anywhere,
	  ATTACH_ERRORS },
	{ "shmat, third", 0, attached_thrice_before, attach_anywhere,
	  ATTACH_ERRORS },
	{ "shmat, fixed", 0, segment_exists, attach_here, ATTACH_ERRORS },
	{ "shmat, SHM_RND", 0, segment_exists, attach_rounded, ATTACH_ERRORS },
	{ "shmat, SHM_RDONLY", 0, segment_exists, attach_to_read,
	  ATTACH_ERRORS },
	{ "shmat, SHM_EXEC", 0, segment_exists, attach_to_execute,
	  ATTACH_ERRORS },
	{ "shmat, SHM_REMAP", 0, segment_exists, attach_over_memory,
	  ATTACH_ERRORS },
	{ "shmat, SHM_REMAP of itself", 0, attached_with_room,
	  attach_over_attachment, ATTACH_ERRORS },
	{ "shmat, huge", 0, huge_segment_exists, attach_huge, ATTACH_ERRORS },
	{ "shmat, no descriptor", 0, segment_and_no_descriptors,
	  attach_anywhere, ATTACH_ERRORS },
	{ "shmat, records grow", 0, as_many_attachments_as_are_ready,
	  attach_anywhere, ATTACH_ERRORS },

	{ "shmat, exposed", EXPOSED, attached_twice_before, attach_anywhere,
	  ATTACH_ERRORS },

	{ "shmdt", 0, attached, detach, { EINVAL } },
	{ "shmdt, split", 0, attached_and_split, detach, { EINVAL } },
	{ "shmdt, removed", 0, attached_and_removed, detach, { EINVAL } },

	{ "IPC_STAT", 0, attached, stat_, CONTROL_ERRORS },
	{ "IPC_STAT after a death", LOOKS, somebody_died_attached, stat_dead,
	  CONTROL_ERRORS },
	{ "SHM_STAT", 0, attached, stat_by_index, CONTROL_ERRORS },
	{ "IPC_SET", 0, segment_exists, set, { EPERM, EINVAL, ENOMEM } },
	{ "IPC_RMID", 0, segment_exists, remove_, { EPERM, EINVAL, ENOMEM } },
	{ "IPC_RMID, exposed",
	  EXPOSED,
	  segment_exists,
	  remove_,
	  { EPERM, EINVAL, ENOMEM } },
	{ "IPC_RMID, attached",
	  0,
	  attached,
	  remove_,
	  { EPERM, EINVAL, ENOMEM } },
	{ "SHM_LOCK", 0, segment_exists, lock, { EPERM, EINVAL, ENOMEM } },
	{ "IPC_INFO", 0, segment_exists, ipc_info, CONTROL_ERRORS },
	{ "SHM_INFO", 0, segment_exists, shm_info, CONTROL_ERRORS },
	{ "ushm_info", 0, attached, info, CONTROL_ERRORS },
	{ "ushm_limit_set", 0, attached, limits, CONTROL_ERRORS },
	{ "ushm_next", 0, segment_exists, next, CONTROL_ERRORS },
	{ "ushm_next_attachment", 0, attached, next_attachment,
	  CONTROL_ERRORS },
	{ "ushm_write_proc", SAME, segment_and_pipe_exist, write_proc, { 0 } },

	{ "ushm_check", SAME | EXPOSED, segment_exists, check_all,
	  CONTROL_ERRORS },
	{ "ushm_collect", SAME | EXPOSED, segment_exists, collect_all,
	  CONTROL_ERRORS },

	{ "munmap, middle", SAME, attached, unmap_middle, { ENOMEM } },
	{ "munmap, head", SAME, attached, unmap_head, { ENOMEM } },
	{ "munmap, all", SAME, attached, unmap_all, { ENOMEM } },
	{ "munmap, records grow",
	  SAME,
	  as_many_attachments_as_are_ready,
	  unmap_middle,
	  { ENOMEM } },
	{ "munmap head, records grow",
	  SAME,
	  as_many_attachments_as_are_ready,
	  unmap_head,
	  { ENOMEM } },
	{ "munmap, one record left",
	  SAME,
	  one_record_is_left,
	  unmap_middle,
	  { ENOMEM } },
	{ "mmap over it", SAME, attached, map_over, { ENOMEM } },
	{ "mmap, records grow",
	  SAME,
	  as_many_attachments_as_are_ready,
	  map_over,
	  { ENOMEM } },
	{ "mremap, move", SAME, attached, move, { ENOMEM } },
	{ "mremap, move part", SAME, attached, move_part, { ENOMEM } },
	{ "mremap, duplicate", SAME, attached, duplicate, { ENOMEM } },
	{ "mremap, shrink", SAME, attached, shrink, { ENOMEM } },
	{ "mremap, records grow",
	  SAME,
	  as_many_attachments_as_are_ready,
	  move,
	  { ENOMEM } },
	{ "mremap part, records grow",
	  SAME,
	  as_many_attachments_as_are_ready,
	  move_part,
	  { ENOMEM } },
	{ "duplicate, records grow",
	  SAME,
	  as_many_attachments_as_are_ready,
	  duplicate,
	  { ENOMEM } },
	{ "mprotect", SAME, attached, protect, { ENOMEM } },
	{ "mprotect, records grow",
	  SAME,
	  as_many_attachments_as_are_ready,
	  protect,
	  { ENOMEM } },
	{ "mlock", SAME, attached, lock_pages, { ENOMEM } },
	{ "munlock", SAME, attached, unlock_pages, { ENOMEM } },
	{ "madvise", SAME, attached, advise, { ENOMEM } },
	{ "madvise, part", SAME, attached, advise_part, { ENOMEM } },

	{ "fork, in the parent", 0, attached, fork_and_count, { 0 } },
	{ "fork, in the child",
	  FORKS,
	  attached,
	  fork_and_count,
	  { EINVAL, ENOMEM } },
	{ "fork, records grow",
	  0,
	  as_many_attachments_as_are_ready,
	  fork_and_count,
	  { EINVAL, ENOMEM } },
	{ "fork, both, records grow",
	  BOTH,
	  as_many_attachments_as_are_ready,
	  fork_and_count,
	  { EINVAL, ENOMEM } },
	{ "fork, both, processes grow",
	  BOTH,
	  attached_and_no_process_slot_left,
	  fork_and_count,
	  { EINVAL, ENOMEM } },
	{ "fork, processes grow",
	  0,
	  attached_and_no_process_slot_left,
	  fork_and_count,
	  { EINVAL, ENOMEM } },
	{ "shm_open, new",
	  SAME | GIVES,
	  object_exists,
	  object_make,
	  { EMFILE, ENOSPC } },
	{ "shm_open", SAME | GIVES, object_exists, object_open, { EMFILE } },
	{ "shm_open, exposed",
	  SAME | EXPOSED,
	  object_exists,
	  object_open,
	  { EMFILE } },
	{ "shm_unlink", SAME, object_exists, object_remove, { 0 } },
	{ "shm_unlink, exposed",
	  SAME | EXPOSED,
	  object_exists,
	  object_remove,
	  { EMFILE } },
	{ "exit", ENDS, attached_and_removed, end, { 0 } },
};

const size_t noperations = sizeof(operations) / sizeof(operations[0]);
