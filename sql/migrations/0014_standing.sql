-- How a VM stands is judged from the newest of its points that restore and from its last backup that ended by itself.
CREATE INDEX recovery_points_good ON recovery_points (vm_id, number, time_ms) WHERE deleted_ms = 0 AND damaged = 0;
CREATE INDEX jobs_last_backup ON jobs (vm_id, number, state)
    WHERE type IN ('backup', 'check') AND state IN ('completed', 'completed-with-warnings', 'failed') AND transfer_state <> 'skipped';

-- While a group is stopped its VMs miss nothing.
ALTER TABLE protection_groups ADD COLUMN resumed_ms INTEGER NOT NULL DEFAULT 0;

CREATE VIEW vm_standing AS
SELECT v.*, m.group_id, max(m.added_ms, g.resumed_ms) AS protected_ms, g.name AS group_name, g.policy_id, coalesce(g.stopped, 0) AS stopped,
       (SELECT p.number FROM recovery_points p INDEXED BY recovery_points_good
        WHERE p.vm_id = v.id AND p.deleted_ms = 0 AND p.damaged = 0 ORDER BY p.number DESC LIMIT 1) AS last_point,
       (SELECT p.time_ms FROM recovery_points p INDEXED BY recovery_points_good
        WHERE p.vm_id = v.id AND p.deleted_ms = 0 AND p.damaged = 0 ORDER BY p.number DESC LIMIT 1) AS last_point_ms,
       (SELECT j.number FROM jobs j INDEXED BY jobs_last_backup
        WHERE j.vm_id = v.id AND j.type IN ('backup', 'check') AND j.state IN ('completed', 'completed-with-warnings', 'failed')
          AND j.transfer_state <> 'skipped' ORDER BY j.number DESC LIMIT 1) AS last_backup,
       (SELECT j.state FROM jobs j INDEXED BY jobs_last_backup
        WHERE j.vm_id = v.id AND j.type IN ('backup', 'check') AND j.state IN ('completed', 'completed-with-warnings', 'failed')
          AND j.transfer_state <> 'skipped' ORDER BY j.number DESC LIMIT 1) AS last_backup_state
FROM vms v
LEFT JOIN group_members m ON m.vm_id = v.id
LEFT JOIN protection_groups g ON g.id = m.group_id;

-- Lists walk one of these, or the rows by number.
CREATE INDEX vms_host ON vms (host_id);
CREATE INDEX recovery_points_time ON recovery_points (time_ms);
DROP INDEX jobs_created;
CREATE INDEX jobs_created ON jobs (created_ms, state);
