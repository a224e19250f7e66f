-- name: alert_insert
INSERT INTO alerts (id, code, severity, object_kind, object_id, object_name, message, cause_code, cause, job_id,
                    raised_ms, resolved_ms, acknowledged_ms, acknowledged_by, note)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 0, 0, '', '');

-- name: alert_update
UPDATE alerts SET severity = ?2, object_name = ?3, message = ?4, cause_code = ?5, cause = ?6, job_id = ?7 WHERE id = ?1;

-- name: alert_resolve
UPDATE alerts SET resolved_ms = ?2 WHERE id = ?1 AND resolved_ms = 0;

-- name: alert_acknowledge
UPDATE alerts SET acknowledged_ms = ?2, acknowledged_by = ?3, note = ?4 WHERE id = ?1;

-- name: alert_prune
DELETE FROM alerts WHERE resolved_ms > 0 AND resolved_ms < ?1;

-- All columns of an alert.
-- fragment: alert_columns
SELECT number, id, code, severity, object_kind, object_id, object_name, message, cause_code, cause, job_id, raised_ms,
       resolved_ms, acknowledged_ms, acknowledged_by, note

-- The second bound is just behind every id that begins with ?1.
-- name: alert_find
{alert_columns}
FROM alerts WHERE id >= ?1 AND id < ?1 || 'g' LIMIT 2;

-- ?5: of what this user is scoped to, or NULL.
-- name: alert_list
{alert_columns}
FROM alerts WHERE (?1 = 0 OR number < ?1) AND (?3 OR resolved_ms = 0) AND (?4 IS NULL OR severity = ?4)
  AND (?5 IS NULL OR EXISTS (SELECT 1 FROM scope_objects s
                             WHERE s.user_id = ?5 AND s.kind = alerts.object_kind AND s.id = alerts.object_id))
ORDER BY number DESC LIMIT ?2;

-- name: alert_count
SELECT severity, acknowledged_ms > 0, COUNT(*) FROM alerts
WHERE resolved_ms = 0
  AND (?1 IS NULL OR EXISTS (SELECT 1 FROM scope_objects s
                             WHERE s.user_id = ?1 AND s.kind = alerts.object_kind AND s.id = alerts.object_id))
GROUP BY 1, 2;

-- How a VM stands: its group's policy, its newest point, and the last backup and restore that ended.
-- name: alert_vms
SELECT v.number, v.id, v.name, h.name, v.power, v.present, v.moved_away, v.vanished_ms, COALESCE(v.group_id, ''),
       v.stopped, COALESCE(v.policy_id, ''), COALESCE(v.protected_ms, 0), COALESCE(v.last_point_ms, 0),
       COALESCE((SELECT j.id FROM jobs j WHERE j.number = v.last_backup), ''),
       COALESCE((SELECT j.id FROM jobs j INDEXED BY jobs_vm WHERE j.vm_id = v.id AND j.type = 'restore'
                 AND j.state IN ('completed', 'completed-with-warnings', 'failed') AND j.finished_ms > ?3
                 ORDER BY j.number DESC LIMIT 1), '')
FROM vm_standing v JOIN hosts h ON h.id = v.host_id
WHERE v.number > ?1 ORDER BY v.number LIMIT ?2;

-- name: alert_job
SELECT state, error_code, error_message, error_cause FROM jobs WHERE id = ?1;

-- name: alert_store_job
SELECT id FROM jobs INDEXED BY jobs_type
WHERE type = ?1 AND state IN ('completed', 'completed-with-warnings', 'failed') AND (vm_id IS NULL OR vm_id = '')
ORDER BY number DESC LIMIT 1;

-- name: alert_job_log
SELECT level, code, message FROM job_log WHERE job_id = ?1 AND code <> '' ORDER BY number LIMIT 200;

-- name: change_unjudged
SELECT p.number, p.id, p.vm_id, p.vm_name, p.mode, p.time_ms, p.size, p.stored_bytes,
       (SELECT COALESCE(SUM(d.transferred_bytes), 0) FROM recovery_point_disks d WHERE d.point_id = p.id), 0
FROM recovery_points p WHERE p.number > ?1 ORDER BY p.number LIMIT 100;

-- The points of a VM before one, the newest first.
-- name: change_history
SELECT p.number, p.id, p.vm_id, p.vm_name, p.mode, p.time_ms, p.size, p.stored_bytes,
       (SELECT COALESCE(SUM(d.transferred_bytes), 0) FROM recovery_point_disks d WHERE d.point_id = p.id),
       EXISTS (SELECT 1 FROM anomalies a WHERE a.point_id = p.id AND a.acknowledged_ms = 0)
FROM recovery_points p WHERE p.vm_id = ?1 AND p.time_ms < ?2 ORDER BY p.time_ms DESC LIMIT ?3;

-- name: anomaly_insert
INSERT INTO anomalies (vm_id, vm_name, point_id, last_good, description, found_ms, acknowledged_ms)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0)
ON CONFLICT (point_id) DO NOTHING;

-- The first of each VM: what is behind it is under suspicion, too.
-- name: anomaly_list_open
SELECT a.vm_id, a.vm_name, a.point_id, a.last_good, a.description FROM anomalies a
WHERE a.acknowledged_ms = 0
  AND a.number = (SELECT MIN(b.number) FROM anomalies b WHERE b.vm_id = a.vm_id AND b.acknowledged_ms = 0)
ORDER BY a.number LIMIT 10000;

-- name: anomaly_acknowledge
UPDATE anomalies SET acknowledged_ms = ?2 WHERE vm_id = ?1 AND acknowledged_ms = 0;

-- name: anomaly_last_good
SELECT 1 FROM anomalies a INDEXED BY anomalies_last_good WHERE a.last_good = ?1 AND a.acknowledged_ms = 0
  AND a.number = (SELECT MIN(b.number) FROM anomalies b WHERE b.vm_id = a.vm_id AND b.acknowledged_ms = 0);

-- name: anomaly_suspicious
SELECT 1 FROM anomalies WHERE point_id = ?1 AND acknowledged_ms = 0;

-- What VMs are judged by. ?3: those that this user's groups have, or NULL.
-- name: standing_vms
SELECT v.number, v.group_id IS NOT NULL, v.stopped, v.present, v.last_backup_state = 'failed', COALESCE(v.policy_id, ''),
       COALESCE(v.protected_ms, 0), COALESCE(v.last_point_ms, 0)
FROM vm_standing v
WHERE v.number > ?1
  AND (?3 IS NULL OR EXISTS (SELECT 1 FROM user_groups u WHERE u.user_id = ?3 AND u.group_id = v.group_id))
ORDER BY v.number LIMIT ?2;

-- name: standing_jobs
SELECT state, COUNT(*) FROM jobs WHERE created_ms >= ?1 GROUP BY state;
