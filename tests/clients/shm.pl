# SPDX-License-Identifier: MIT
#
# shm.pl DIRECTORY         all checks, as TAP; starts itself again for the rest
# shm.pl peer ID KEY       the other process: reads by id and key, answers
use strict;
use warnings;
use Errno qw(EEXIST EIDRM EINVAL ENOENT);
use IPC::SharedMem;
use IPC::SysV qw(ftok IPC_CREAT IPC_EXCL IPC_PRIVATE IPC_RMID IPC_SET IPC_STAT
	S_IRUSR S_IWUSR shmat shmdt memread memwrite);
use POSIX ();
use Test::More;

if ($ARGV[0] eq 'peer') {
	my (undef, $id, $key) = @ARGV;
	my $text;

	shmread($id, $text, 100, 11) or die "shmread: $!";
	$text eq 'from parent' or die "read '$text'";
	shmget($key, 0, 0) == $id or die "key leads elsewhere: $!";

	my $shm = IPC::SharedMem->new($key, 0, 0) or die "new: $!";
	$shm->attach or die "attach: $!";
	$shm->stat->nattch == 1 or die 'nattch ' . $shm->stat->nattch;
	$shm->write('from peer', 200, 9) or die "write: $!";
	$shm->detach or die "detach: $!";
	exit 0;
}

my ($dir) = @ARGV;
my $key = ftok($dir, 7);
my $mode = S_IRUSR | S_IWUSR;
my $text;

# The core functions.
ok(defined $key, 'ftok');
ok(!defined shmget($key, 0, 0) && $! == ENOENT, 'no such key yet');
my $id = shmget($key, 10000, IPC_CREAT | IPC_EXCL | $mode);
ok(defined $id, 'shmget creates') or BAIL_OUT("shmget: $!");
ok(!defined shmget($key, 10000, IPC_CREAT | IPC_EXCL | $mode) && $! == EEXIST,
	'the key is taken');
ok(!defined shmget($key, 10001, 0) && $! == EINVAL, 'larger than it is');
is(shmget($key, 0, 0), $id, 'the key leads to the id');
ok(shmwrite($id, 'from parent', 100, 11), 'shmwrite');
ok(shmread($id, $text, 99, 13), 'shmread');
is($text, "\0from parent\0", 'what was written, zeros around it');
ok(!shmwrite($id, 'x', 10000, 1), 'shmwrite past the end is refused');

# A second process.
is(system($^X, $0, 'peer', $id, $key), 0, 'another perl reads and answers');
ok(shmread($id, $text, 200, 9) && $text eq 'from peer', 'its answer');

# IPC::SharedMem.
my $shm = IPC::SharedMem->new($key, 0, 0);
ok($shm, 'IPC::SharedMem finds it');
is($shm->id, $id, 'by the same id');
my $stat = $shm->stat;
is($stat->segsz, 10000, 'its size');
is($stat->nattch, 0, 'nobody is attached');
is($stat->uid, $>, 'its owner');
is($stat->cpid, $$, 'its creator');
is($stat->lpid, $$, 'we were the last, reading');
is($stat->mode & 0777, 0600, 'its mode');
ok(abs($stat->ctime - time) < 100, 'its time');
ok($shm->attach, 'attach');
is($shm->stat->nattch, 1, 'attached once');
is($shm->stat->lpid, $$, 'by us');

my $pid = fork // die "fork: $!";
if ($pid == 0) {
	$shm->write('child' . $shm->stat->nattch, 300, 6);
	POSIX::_exit(0);
}
waitpid $pid, 0;
is($?, 0, 'a forked child');
is($shm->read(300, 6), 'child2', 'holds its own attachment');
is($shm->stat->nattch, 1, 'which ends with it');

# Nothing in Perl fills a struct shmid_ds: the mode is at byte 20 of it.
ok(shmctl($id, IPC_STAT, $text), 'shmctl IPC_STAT');
substr($text, 20, 2) = pack 'S', 0640;
ok(shmctl($id, IPC_SET, $text), 'shmctl IPC_SET');
is($shm->stat->mode & 0777, 0640, 'the new mode');
ok($shm->remove, 'remove');
ok(!defined shmget($key, 0, 0) && $! == ENOENT, 'the key is free');
is($shm->stat->nattch, 1, 'still there for us');
is($shm->read(100, 11), 'from parent', 'and readable');
ok($shm->detach, 'detach');
ok(!shmread($id, $text, 0, 1) && ($! == EINVAL || $! == EIDRM), 'gone');

# IPC::SysV's own, on a private segment.
my $private = shmget(IPC_PRIVATE, 64, $mode);
ok(defined $private, 'IPC_PRIVATE');
my $addr = shmat($private, undef, 0);
ok(defined $addr, 'shmat');
ok(memwrite($addr, 'abc', 1, 3), 'memwrite');
ok(memread($addr, $text, 0, 5) && $text eq "\0abc\0", 'memread');
ok(shmctl($private, IPC_RMID, 0), 'shmctl IPC_RMID');
ok(defined shmdt($addr), 'shmdt');

done_testing;
