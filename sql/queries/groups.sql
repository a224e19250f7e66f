-- name: group_insert
INSERT INTO protection_groups (id, name, policy_id, stopped, created_ms, scheduled_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6);

-- name: group_update
UPDATE protection_groups
SET name = ?2, policy_id = ?3, stopped = ?4, resumed_ms = CASE WHEN stopped AND NOT ?4 THEN ?5 ELSE resumed_ms END
WHERE id = ?1;

-- name: group_set_scheduled
UPDATE protection_groups SET scheduled_ms = ?2 WHERE id = ?1;

-- name: group_delete
DELETE FROM protection_groups WHERE id = ?1;

-- All that is shown of a group.
-- fragment: group_rows
SELECT g.number, g.id, g.name, g.policy_id, p.name, g.stopped, g.created_ms, g.scheduled_ms,
       (SELECT COUNT(*) FROM group_members m WHERE m.group_id = g.id)
FROM protection_groups g JOIN policies p ON p.id = g.policy_id

-- name: group_find
{group_rows}
WHERE g.id = ?1 OR g.name = ?1 ORDER BY g.id = ?1 DESC LIMIT 1;

-- name: group_list
{group_rows}
WHERE g.number > ?1 ORDER BY g.number LIMIT ?2;

-- name: group_of_vm
SELECT g.id, g.name, v.name FROM group_members m JOIN protection_groups g ON g.id = m.group_id
JOIN vms v ON v.id = m.vm_id WHERE m.vm_id = ?1;

-- name: group_add
INSERT INTO group_members (vm_id, group_id, added_ms) VALUES (?2, ?1, ?3);

-- name: group_remove
DELETE FROM group_members WHERE group_id = ?1 AND vm_id = ?2;
