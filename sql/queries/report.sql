-- name: store_sample_put
INSERT INTO store_samples (day, time_ms, stored_bytes, chunk_bytes, free_bytes, total_bytes, points)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (day) DO UPDATE SET time_ms = excluded.time_ms, stored_bytes = excluded.stored_bytes,
    chunk_bytes = excluded.chunk_bytes, free_bytes = excluded.free_bytes, total_bytes = excluded.total_bytes,
    points = excluded.points;

-- name: vm_samples_put
INSERT OR REPLACE INTO vm_samples (day, vm_id, size, points, stored_bytes)
SELECT ?1, vm_id, size, points, stored
FROM (SELECT vm_id, size, COUNT(*) AS points, SUM(stored_bytes) AS stored, MAX(number) -- size: of that row
      FROM recovery_points GROUP BY vm_id);

-- name: store_samples_prune
DELETE FROM store_samples WHERE day < ?1;

-- name: vm_samples_prune
DELETE FROM vm_samples WHERE day < ?1;

-- name: store_sample_list
SELECT day, time_ms, stored_bytes, chunk_bytes, free_bytes, total_bytes, points FROM store_samples
WHERE day > ?1 AND day >= ?2 AND day <= ?3 ORDER BY day LIMIT ?4;

-- The first and the last sample of each VM in a span of days; ?5: of those that this user is scoped to, or NULL.
-- name: vm_growth_list
WITH bounds AS MATERIALIZED (
    SELECT number, id, name, host_id,
           (SELECT MIN(day) FROM vm_samples s WHERE s.vm_id = v.id AND day >= ?2 AND day <= ?3) AS first_day,
           (SELECT MAX(day) FROM vm_samples s WHERE s.vm_id = v.id AND day >= ?2 AND day <= ?3) AS last_day
    FROM vms v WHERE number > ?1 AND EXISTS (SELECT 1 FROM vm_samples s WHERE s.vm_id = v.id AND day >= ?2 AND day <= ?3)
      AND (?5 IS NULL OR EXISTS (SELECT 1 FROM user_groups u JOIN group_members m ON m.group_id = u.group_id
                                 WHERE u.user_id = ?5 AND m.vm_id = v.id))
    ORDER BY number LIMIT ?4)
SELECT v.number, v.id, v.name, h.name, COALESCE(g.name, ''), f.day, l.day, f.size, l.size, f.stored_bytes,
       l.stored_bytes, l.points
FROM bounds v JOIN hosts h ON h.id = v.host_id
JOIN vm_samples f ON f.vm_id = v.id AND f.day = v.first_day
JOIN vm_samples l ON l.vm_id = v.id AND l.day = v.last_day
LEFT JOIN group_members m ON m.vm_id = v.id LEFT JOIN protection_groups g ON g.id = m.group_id
ORDER BY v.number;

-- All that reports and metrics say of a VM, its jobs created in [?2, ?3): none are looked at when that is empty. A gap is
-- the time between two backups that made a point, from the jobs: points may be gone. ?5: as above.
-- name: report_vm_list
WITH page AS MATERIALIZED (
    SELECT v.number, v.id, v.name, v.host_id, v.present, v.group_name, v.policy_id, v.stopped, v.protected_ms, v.last_point_ms,
           v.last_backup, (SELECT COUNT(*) FROM recovery_points p WHERE p.vm_id = v.id) AS points
    FROM vm_standing v
    WHERE v.number > ?1 AND (v.present OR v.group_id IS NOT NULL
                             OR EXISTS (SELECT 1 FROM recovery_points p WHERE p.vm_id = v.id))
      AND (?5 IS NULL OR EXISTS (SELECT 1 FROM user_groups u WHERE u.user_id = ?5 AND u.group_id = v.group_id))
    ORDER BY v.number LIMIT ?4),
made AS MATERIALIZED (
    SELECT j.vm_id, j.state, j.wire_bytes, j.stored_bytes, j.transfer_state = 'completed' AS good,
           CASE WHEN j.snapshot_finished_ms > 0 THEN j.snapshot_finished_ms ELSE j.finished_ms END AS at
    FROM page CROSS JOIN jobs j INDEXED BY jobs_vm ON j.vm_id = page.id
    WHERE ?2 < ?3 AND j.created_ms >= ?2 AND j.created_ms < ?3 AND j.type IN ('backup', 'check')),
counts AS (
    SELECT vm_id, SUM(state = 'completed') AS completed, SUM(state = 'completed-with-warnings') AS warned,
           SUM(state = 'failed') AS failed, SUM(state = 'cancelled') AS cancelled, SUM(wire_bytes) AS sent,
           SUM(stored_bytes) AS stored
    FROM made GROUP BY vm_id),
steps AS (SELECT vm_id, at, at - LAG(at) OVER (PARTITION BY vm_id ORDER BY at) AS gap FROM made WHERE good),
gaps AS (SELECT vm_id, MAX(gap) AS longest, at AS gap_end FROM steps GROUP BY vm_id), -- at: of that row
lasts AS (SELECT vm_id, MAX(at) AS last FROM made WHERE good GROUP BY vm_id)
SELECT v.number, v.id, v.name, h.name, v.present, COALESCE(v.group_name, ''), COALESCE(v.policy_id, ''), v.stopped,
       COALESCE(v.protected_ms, 0), COALESCE(v.last_point_ms, 0),
       v.points, COALESCE(c.completed, 0), COALESCE(c.warned, 0), COALESCE(c.failed, 0), COALESCE(c.cancelled, 0),
       COALESCE(c.sent, 0), COALESCE(c.stored, 0), COALESCE(j.state, ''), COALESCE(j.error_code, ''),
       COALESCE(j.finished_ms, 0), COALESCE(s.longest, 0), COALESCE(s.gap_end, 0), COALESCE(l.last, 0)
FROM page v JOIN hosts h ON h.id = v.host_id
LEFT JOIN counts c ON c.vm_id = v.id LEFT JOIN gaps s ON s.vm_id = v.id LEFT JOIN lasts l ON l.vm_id = v.id
LEFT JOIN jobs j ON j.number = v.last_backup
ORDER BY v.number;

-- Jobs that are known, by type and state: how many, how long, how much.
-- name: report_job_list
SELECT type, state, COUNT(*), SUM(CASE WHEN finished_ms > started_ms AND started_ms > 0
                                       THEN finished_ms - started_ms ELSE 0 END),
       SUM(done_bytes), SUM(wire_bytes), SUM(stored_bytes)
FROM jobs GROUP BY type, state;

-- name: report_oldest_point
SELECT time_ms FROM recovery_points ORDER BY time_ms LIMIT 1;

-- name: report_oldest_point_of_user
SELECT COALESCE(MIN(p.time_ms), 0) FROM user_groups u JOIN group_members m ON m.group_id = u.group_id
JOIN recovery_points p ON p.vm_id = m.vm_id WHERE u.user_id = ?1;
