-- The sweeper finishes transfers that a process left behind; the jobs that did are left over.

DELETE FROM jobs WHERE kind = 'transfer_finish';
