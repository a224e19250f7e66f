-- What users that are scoped to groups have of what alerts are about.
CREATE VIEW scope_objects (user_id, kind, id) AS
SELECT u.user_id, 'vm', m.vm_id FROM user_groups u JOIN group_members m ON m.group_id = u.group_id
UNION ALL
SELECT u.user_id, 'host', v.host_id
FROM user_groups u JOIN group_members m ON m.group_id = u.group_id JOIN vms v ON v.id = m.vm_id
UNION ALL
SELECT u.user_id, 'group', u.group_id FROM user_groups u;
