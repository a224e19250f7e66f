-- name: point_soft_delete
UPDATE recovery_points SET deleted_ms = ?2, purge_ms = ?3, deleted_by = ?4, deleted_with = ?5
WHERE id = ?1 AND deleted_ms = 0 AND held = 0;

-- name: point_purge_at
UPDATE recovery_points SET purge_ms = ?2 WHERE id = ?1 AND deleted_ms <> 0;

-- name: point_undelete
UPDATE recovery_points SET deleted_ms = 0, purge_ms = 0, deleted_by = '', deleted_with = ''
WHERE id = ?1 AND deleted_ms <> 0;

-- name: point_list_deleted_with
SELECT id FROM recovery_points WHERE deleted_with = ?1 AND deleted_ms <> 0;

-- name: point_list_purgeable
SELECT id FROM recovery_points WHERE purge_ms <= ?1 AND deleted_ms <> 0 ORDER BY purge_ms LIMIT 1000;

-- name: point_count_other_good
SELECT COUNT(*) FROM recovery_points WHERE vm_id = ?1 AND id <> ?2 AND deleted_ms = 0 AND damaged = 0;
