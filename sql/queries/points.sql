-- name: point_insert
INSERT INTO recovery_points (id, vm_id, vm_name, host_id, host_name, kind, parent, job_id, time_ms, committed_ms, mode,
                             reason, consistency, consistency_reason, size, read_bytes, sent_bytes, stored_bytes,
                             retain_until_ms, held, damaged, verified_ms, locked_until_ms)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23);

-- name: point_disk_insert
INSERT INTO recovery_point_disks (point_id, position, name, format, size, transferred_bytes)
VALUES (?1, ?2, ?3, ?4, ?5, ?6);

-- name: point_delete
DELETE FROM recovery_points WHERE id = ?1;

-- name: point_set_held
UPDATE recovery_points SET held = ?2 WHERE id = ?1;

-- name: point_set_retain_until
UPDATE recovery_points SET retain_until_ms = ?2 WHERE id = ?1;

-- name: point_set_verified
UPDATE recovery_points SET damaged = ?2, verified_ms = CASE WHEN ?2 THEN verified_ms ELSE ?3 END WHERE id = ?1;

-- All columns of a recovery point.
-- fragment: point_columns
SELECT number, id, vm_id, vm_name, host_id, host_name, kind, parent, job_id, time_ms, committed_ms, mode, reason, consistency,
       consistency_reason, size, read_bytes, sent_bytes, stored_bytes, retain_until_ms, held, damaged, verified_ms,
       locked_until_ms, deleted_ms, purge_ms, deleted_by, deleted_with

-- name: point_by_id
{point_columns}
FROM recovery_points WHERE id = ?1;

-- The second bound is just behind every id that begins with ?1.
-- name: point_by_prefix
{point_columns}
FROM recovery_points WHERE id >= ?1 AND id < ?1 || 'g' LIMIT 2;

-- name: point_of_job
{point_columns}
FROM recovery_points WHERE job_id = ?1 LIMIT 1;

-- name: point_newest
{point_columns}
FROM recovery_points WHERE vm_id = ?1 ORDER BY number DESC LIMIT 1;

-- name: point_list
{point_columns}
FROM recovery_points WHERE number < ?1 AND (?3 = 0 OR (?3 = 1) = (deleted_ms = 0)) ORDER BY number DESC LIMIT ?2;

-- name: point_list_of_vm
{point_columns}
FROM recovery_points INDEXED BY recovery_points_vm WHERE vm_id = ?4 AND number < ?1
  AND (?3 = 0 OR (?3 = 1) = (deleted_ms = 0)) ORDER BY number DESC LIMIT ?2;

-- name: point_disk_list
SELECT name, format, size, transferred_bytes FROM recovery_point_disks WHERE point_id = ?1
ORDER BY position;

-- name: tracking_list
SELECT name, metadata, point_id, left_out FROM tracking_points WHERE vm_id = ?1 ORDER BY number DESC;

-- name: tracking_insert
INSERT INTO tracking_points (vm_id, name, metadata, point_id, left_out) VALUES (?1, ?2, ?3, ?4, ?5);

-- name: tracking_remove
DELETE FROM tracking_points WHERE vm_id = ?1 AND name = ?2;

-- name: tracking_trim
DELETE FROM tracking_points WHERE vm_id = ?1
  AND number NOT IN (SELECT number FROM tracking_points WHERE vm_id = ?1 ORDER BY number DESC LIMIT 2);

-- name: tracking_clear
DELETE FROM tracking_points WHERE vm_id = ?1;
