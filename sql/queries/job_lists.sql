-- The numbers of jobs, newest first, for one type and one state: ?1 before this number, ?2 and from this one on, ?3 and ?4
-- created in this time (0: any), ?5 at most so many, ?6 type, ?7 state, ?8 VM, ?9 group, ?10 host, ?11 requested by.

-- name: job_numbers
SELECT number FROM jobs
WHERE number < ?1 AND number >= ?2 AND (?3 = 0 OR created_ms >= ?3) AND (?4 = 0 OR created_ms < ?4)
ORDER BY number DESC LIMIT ?5;

-- name: job_numbers_of_type
SELECT number FROM jobs INDEXED BY jobs_type
WHERE type = ?6 AND state = ?7 AND number < ?1 AND number >= ?2
  AND (?3 = 0 OR created_ms >= ?3) AND (?4 = 0 OR created_ms < ?4)
ORDER BY number DESC LIMIT ?5;

-- name: job_numbers_of_vm
SELECT number FROM jobs INDEXED BY jobs_vm
WHERE vm_id = ?8 AND type = ?6 AND state = ?7 AND number < ?1 AND number >= ?2
  AND (?11 IS NULL OR requested_by = ?11) AND (?10 IS NULL OR host_id = ?10) AND (?9 IS NULL OR group_id = ?9)
  AND (?3 = 0 OR created_ms >= ?3) AND (?4 = 0 OR created_ms < ?4)
ORDER BY number DESC LIMIT ?5;

-- name: job_numbers_of_group
SELECT number FROM jobs INDEXED BY jobs_group
WHERE group_id = ?9 AND type = ?6 AND state = ?7 AND number < ?1 AND number >= ?2
  AND (?11 IS NULL OR requested_by = ?11) AND (?10 IS NULL OR host_id = ?10)
  AND (?3 = 0 OR created_ms >= ?3) AND (?4 = 0 OR created_ms < ?4)
ORDER BY number DESC LIMIT ?5;

-- name: job_numbers_of_host
SELECT number FROM jobs INDEXED BY jobs_host
WHERE host_id = ?10 AND type = ?6 AND state = ?7 AND number < ?1 AND number >= ?2
  AND (?11 IS NULL OR requested_by = ?11)
  AND (?3 = 0 OR created_ms >= ?3) AND (?4 = 0 OR created_ms < ?4)
ORDER BY number DESC LIMIT ?5;

-- name: job_numbers_requested
SELECT number FROM jobs INDEXED BY jobs_requester
WHERE requested_by = ?11 AND type = ?6 AND state = ?7 AND number < ?1 AND number >= ?2
  AND (?3 = 0 OR created_ms >= ?3) AND (?4 = 0 OR created_ms < ?4)
ORDER BY number DESC LIMIT ?5;

-- name: job_first_since
SELECT number FROM jobs INDEXED BY jobs_created WHERE created_ms >= ?1 ORDER BY created_ms LIMIT 1;

-- name: job_last_until
SELECT number FROM jobs INDEXED BY jobs_created WHERE created_ms < ?1 ORDER BY created_ms DESC LIMIT 1;

-- A piece at a time, so that nobody waits long for the catalog.
-- name: job_prune
DELETE FROM jobs WHERE number IN (
    SELECT number FROM jobs INDEXED BY jobs_created
    WHERE created_ms < ?1 AND finished_ms > 0 AND finished_ms < ?1 ORDER BY created_ms LIMIT ?2);
