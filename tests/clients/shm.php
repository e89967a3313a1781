<?php
// SPDX-License-Identifier: MIT
// shm.php write|read|check|remove DIRECTORY: one process each, keys by ftok.

[, $role, $dir] = $argv;
$plain = ftok($dir, 'p');
$variables = ftok($dir, 'v');
$text = 'written by shmop';
$value = ['list' => [1, 2.5, null], 'text' => str_repeat('ushm', 100)];

function must($what, $ok)
{
	if (!$ok) {
		echo "$what failed\n";
		exit(1);
	}
}

switch ($role) {
case 'write':
	$shm = shmop_open($plain, 'n', 0600, 5000);
	must('shmop_open', $shm);
	must('shmop_size', shmop_size($shm) === 5000);
	must('shmop_write', shmop_write($shm, $text, 77) === strlen($text));

	$var = shm_attach($variables, 20000, 0600);
	must('shm_attach', $var);
	must('shm_put_var', shm_put_var($var, 42, $value));
	must('shm_detach', shm_detach($var));
	echo "wrote both\n";
	break;

case 'read':
	$shm = shmop_open($plain, 'w', 0, 0);
	must('shmop_open', $shm);
	must('shmop_size', shmop_size($shm) === 5000);
	must('shmop_read', shmop_read($shm, 76, strlen($text) + 2)
		=== "\0$text\0");
	must('shmop_write', shmop_write($shm, 'answer', 4994) === 6);

	$var = shm_attach($variables);
	must('shm_attach', $var);
	must('shm_has_var', shm_has_var($var, 42) && !shm_has_var($var, 43));
	must('shm_get_var', shm_get_var($var, 42) === $value);
	must('shm_put_var', shm_put_var($var, 43, 'answer'));
	must('shm_remove_var', shm_remove_var($var, 42));
	echo "another process read both\n";
	break;

case 'check':
	$shm = shmop_open($plain, 'a', 0, 0);
	must('shmop_open', $shm);
	must('shmop_read', shmop_read($shm, 4994, 6) === 'answer');
	$var = shm_attach($variables);
	must('shm_has_var', !shm_has_var($var, 42));
	must('shm_get_var', shm_get_var($var, 43) === 'answer');
	echo "the first reader's answer is there\n";
	break;

case 'remove':
	must('shmop_delete', shmop_delete(shmop_open($plain, 'w', 0, 0)));
	must('shm_remove', shm_remove(shm_attach($variables)));
	must('gone', @shmop_open($plain, 'w', 0, 0) === false);
	echo "removed both\n";
	break;
}
