-- name: vm_insert
INSERT INTO vms (id, host_id, uuid, kind, name, power, guest_agent, tracking, memory_mib, cpus, present, vanished_ms)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12);

-- name: vm_update
UPDATE vms SET host_id = ?2, uuid = ?3, kind = ?4, name = ?5, power = ?6, guest_agent = ?7, tracking = ?8,
               memory_mib = ?9, cpus = ?10, present = ?11, vanished_ms = ?12, moved_away = 0
WHERE id = ?1;

-- name: vm_identity
SELECT id FROM vms WHERE host_id = ?1 AND kind = ?2 AND uuid = ?3;

-- The VM of that identity that is gone from every other host; the one with a history first.
-- name: vm_gone_elsewhere
SELECT id FROM vms v WHERE uuid = ?3 AND kind = ?2 AND host_id <> ?1 AND present = 0
ORDER BY (SELECT COUNT(*) FROM recovery_points p WHERE p.vm_id = v.id) DESC, number LIMIT 1;

-- ?2: kinds that could not be asked, each between spaces.
-- name: vm_report_begin
UPDATE vms SET present = 0 WHERE host_id = ?1 AND instr(?2, ' ' || kind || ' ') = 0;

-- name: vm_report_end
UPDATE vms SET vanished_ms = ?2 WHERE host_id = ?1 AND present = 0 AND vanished_ms = 0;

-- name: vm_moved_away
UPDATE vms SET moved_away = 1 WHERE host_id = ?1 AND kind = ?2 AND uuid = ?3 AND present = 0;

-- VMs that have left host ?1 and were taken for new ones where they are now: both ids.
-- name: vm_moved_list
SELECT old.id, new.id FROM vms old JOIN vms new
    ON new.uuid = old.uuid AND new.kind = old.kind AND new.host_id <> old.host_id AND new.present = 1
WHERE old.host_id = ?1 AND old.present = 0
  AND NOT EXISTS (SELECT 1 FROM recovery_points p WHERE p.vm_id = new.id)
  AND NOT EXISTS (SELECT 1 FROM group_members m WHERE m.vm_id = new.id)
  AND (EXISTS (SELECT 1 FROM recovery_points p WHERE p.vm_id = old.id)
       OR EXISTS (SELECT 1 FROM group_members m WHERE m.vm_id = old.id))
  AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.vm_id = new.id AND j.state IN ('queued', 'running'));

-- The same for VMs that run at host ?1 and were last reported by a host that is silent: it was moved meanwhile, or that
-- host has failed. Copies that were restored here are VMs of their own.
-- name: vm_taken_over_list
SELECT old.id, new.id FROM vms new JOIN vms old
    ON old.uuid = new.uuid AND old.kind = new.kind AND old.host_id <> new.host_id AND old.present = 1
  JOIN hosts h ON h.id = old.host_id AND h.state IN ('unreachable', 'retired')
WHERE new.host_id = ?1 AND new.present = 1 AND new.power = 'running'
  AND NOT EXISTS (SELECT 1 FROM recovery_points p WHERE p.vm_id = new.id)
  AND NOT EXISTS (SELECT 1 FROM group_members m WHERE m.vm_id = new.id)
  AND (EXISTS (SELECT 1 FROM recovery_points p WHERE p.vm_id = old.id)
       OR EXISTS (SELECT 1 FROM group_members m WHERE m.vm_id = old.id))
  AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.vm_id = new.id AND j.state IN ('queued', 'running'))
  AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.vm_id = old.id AND j.type = 'restore' AND j.host_id = ?1);

-- name: vm_delete
DELETE FROM vms WHERE id = ?1;

-- name: vm_disks_clear
DELETE FROM vm_disks WHERE vm_id = ?1;

-- name: vm_disk_insert
INSERT INTO vm_disks (vm_id, position, name, path, format, size, supported, reason)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8);

-- name: vm_disk_list
SELECT name, path, format, size, supported, reason FROM vm_disks WHERE vm_id = ?1 ORDER BY position;

-- All that is shown of a VM.
-- fragment: vm_rows
SELECT v.number, v.id, v.host_id, h.name, v.uuid, v.kind, v.name, v.power, v.guest_agent, v.tracking, v.memory_mib,
       v.cpus, v.present, v.vanished_ms, v.moved_away,
       (SELECT COALESCE(SUM(d.size), 0) FROM vm_disks d WHERE d.vm_id = v.id),
       (SELECT COUNT(*) FROM vm_disks d WHERE d.vm_id = v.id),
       v.group_id, v.group_name,
       (SELECT COUNT(*) FROM recovery_points p WHERE p.vm_id = v.id AND p.deleted_ms = 0),
       (SELECT p.id FROM recovery_points p WHERE p.number = v.last_point), v.last_point_ms, v.stopped,
       v.last_backup_state
FROM vm_standing v JOIN hosts h ON h.id = v.host_id

-- name: vm_by_id
{vm_rows}
WHERE v.id = ?1;

-- name: vm_by_name
{vm_rows}
WHERE v.name = ?1 ORDER BY v.present DESC, v.number LIMIT 2;

-- name: vm_by_host_and_name
{vm_rows}
WHERE h.name = ?1 AND v.name = ?2 ORDER BY v.present DESC, v.number LIMIT 2;

-- Lists: ?1 after this number, ?2 at most so many, ?3 part of the name or NULL, ?4 host or NULL, ?5 group.
-- name: vm_list
{vm_rows}
WHERE v.number > ?1 AND (?3 IS NULL OR instr(lower(v.name), lower(?3)) > 0) ORDER BY v.number LIMIT ?2;

-- name: vm_list_of_host
{vm_rows}
WHERE v.host_id = ?4 AND v.number > ?1 AND (?3 IS NULL OR instr(lower(v.name), lower(?3)) > 0) ORDER BY v.number LIMIT ?2;

-- The members first: not the VMs by number.
-- name: vm_list_of_group
{vm_rows}
WHERE v.id IN (SELECT vm_id FROM group_members WHERE group_id = ?5) AND +v.number > ?1 AND (?4 IS NULL OR +v.host_id = ?4)
  AND (?3 IS NULL OR instr(lower(v.name), lower(?3)) > 0)
ORDER BY v.number LIMIT ?2;
