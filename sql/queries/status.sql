-- For the user ?1, or for all.
-- name: count_hosts
SELECT state, COUNT(*) FROM hosts
WHERE ?1 IS NULL OR id IN (SELECT s.id FROM scope_objects s WHERE s.user_id = ?1 AND s.kind = 'host') GROUP BY state;

-- name: count_jobs
SELECT state, COUNT(*) FROM jobs
WHERE created_ms >= ?2
  AND (?1 IS NULL OR vm_id IN (SELECT s.id FROM scope_objects s WHERE s.user_id = ?1 AND s.kind = 'vm')) GROUP BY state;
