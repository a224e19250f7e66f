-- name: count_hosts
SELECT state, COUNT(*) FROM hosts GROUP BY state;

-- name: count_jobs
SELECT state, COUNT(*) FROM jobs WHERE created_ms >= ?1 GROUP BY state;

-- In no group; in a group, without a recovery point; with one.
-- name: count_vms
SELECT
    COUNT(*) - COUNT(m.vm_id),
    COUNT(m.vm_id) - COALESCE(SUM(m.vm_id IS NOT NULL AND has_point), 0),
    COALESCE(SUM(m.vm_id IS NOT NULL AND has_point), 0)
FROM (SELECT v.id, EXISTS (SELECT 1 FROM recovery_points p WHERE p.vm_id = v.id) AS has_point FROM vms v) c
LEFT JOIN group_members m ON m.vm_id = c.id;
