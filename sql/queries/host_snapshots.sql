-- All columns of what can be restored.
-- fragment: restorable_columns
SELECT number, id, vm_id, vm_name, kind, job_id, time_ms, consistency, size, host_only, host_id, host_name, until_ms, disks

-- name: restorable_by_id
{restorable_columns}
FROM restorable_points WHERE id = ?1;

-- name: restorable_by_prefix
{restorable_columns}
FROM restorable_points WHERE id >= ?1 AND id < ?1 || 'g' LIMIT 2;

-- name: restorable_by_number
{restorable_columns}
FROM restorable_points WHERE number = ?1;

-- The numbers of what can be restored, the newest first: ?1 before this one, ?2 at most so many, ?3 0 all, 1 what is not
-- deleted, 2 what is, ?4 the VM.
-- name: restorable_numbers
SELECT number FROM (
    SELECT number FROM recovery_points WHERE number < ?1
      AND (?3 = 0 OR (?3 = 1) = (deleted_ms = 0)) ORDER BY number DESC LIMIT ?2)
UNION ALL
SELECT number FROM (
    SELECT s.number FROM host_snapshots s
    WHERE s.number < ?1 AND ?3 <> 2 AND NOT s.unwanted AND s.until_ms > strftime('%s', 'now') * 1000
      AND NOT EXISTS (SELECT 1 FROM recovery_points p WHERE p.id = s.point_id)
    ORDER BY s.number DESC LIMIT ?2)
ORDER BY number DESC LIMIT ?2;

-- name: restorable_numbers_of_vm
SELECT number FROM (
    SELECT number FROM recovery_points INDEXED BY recovery_points_vm WHERE vm_id = ?4 AND number < ?1
      AND (?3 = 0 OR (?3 = 1) = (deleted_ms = 0)) ORDER BY number DESC LIMIT ?2)
UNION ALL
SELECT number FROM (
    SELECT s.number FROM host_snapshots s
    WHERE s.vm_id = ?4 AND s.number < ?1 AND ?3 <> 2 AND NOT s.unwanted AND s.until_ms > strftime('%s', 'now') * 1000
      AND NOT EXISTS (SELECT 1 FROM recovery_points p WHERE p.id = s.point_id)
    ORDER BY s.number DESC LIMIT ?2)
ORDER BY number DESC LIMIT ?2;

-- A host speaks of its own VMs only.
-- name: snapshot_vm
SELECT id FROM vms WHERE host_id = ?1 AND kind = ?2 AND uuid = ?3;

-- name: snapshot_sequence_begin
INSERT INTO sqlite_sequence (name, seq)
SELECT 'recovery_points', 0 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'recovery_points');

-- name: snapshot_sequence_next
UPDATE sqlite_sequence SET seq = seq + 1 WHERE name = 'recovery_points';

-- name: snapshot_update
UPDATE host_snapshots SET until_ms = ?3 WHERE point_id = ?1 AND host_id = ?2;

-- name: snapshot_insert
INSERT INTO host_snapshots (number, point_id, host_id, vm_id, vm_name, kind, job_id, consistency, time_ms, until_ms, size, disks)
VALUES ((SELECT seq FROM sqlite_sequence WHERE name = 'recovery_points'), ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11);

-- name: snapshot_ids_of_host
SELECT point_id FROM host_snapshots WHERE host_id = ?1;

-- name: snapshot_delete
DELETE FROM host_snapshots WHERE point_id = ?1 AND host_id = ?2;

-- name: snapshot_set_unwanted
UPDATE host_snapshots SET unwanted = 1 WHERE point_id = ?1;

-- How long each should stay by the policy that its VM has now, where that is not what its host says. 1: not at all.
-- name: snapshot_limits
SELECT point_id, wanted_ms FROM (
    SELECT s.point_id, s.until_ms,
           CASE WHEN s.unwanted OR w.snapshot_days IS NULL THEN 1
                ELSE max(1, s.time_ms + min(w.snapshot_days, 5) * 86400000) END AS wanted_ms
    FROM host_snapshots s
         LEFT JOIN group_members m ON m.vm_id = s.vm_id
         LEFT JOIN protection_groups g ON g.id = m.group_id
         LEFT JOIN policies p ON p.id = g.policy_id
         LEFT JOIN policy_versions w ON w.policy_id = p.id AND w.version = p.version
    WHERE s.host_id = ?1)
WHERE wanted_ms <> until_ms;

-- name: snapshot_of_job
SELECT point_id, until_ms FROM host_snapshots WHERE job_id = ?1 AND host_id = ?2 AND NOT unwanted
ORDER BY number DESC LIMIT 1;
