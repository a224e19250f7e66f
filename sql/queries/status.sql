-- name: count_hosts
SELECT state, COUNT(*) FROM hosts GROUP BY state;

-- name: count_jobs
SELECT state, COUNT(*) FROM jobs WHERE created_ms >= ?1 GROUP BY state;

