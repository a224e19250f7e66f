-- name: group_priority
SELECT w.priority FROM protection_groups g JOIN policies p ON p.id = g.policy_id
JOIN policy_versions w ON w.policy_id = p.id AND w.version = p.version WHERE g.id = ?1;
