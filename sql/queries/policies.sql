-- name: policy_insert
INSERT INTO policies (id, name, version, created_ms) VALUES (?1, ?2, 1, ?3);

-- Only from the version that was edited.
-- name: policy_update
UPDATE policies SET name = ?2, version = version + 1 WHERE id = ?1 AND version = ?3;

-- The values of the version that is in force.
-- name: policy_version_insert
INSERT INTO policy_versions (policy_id, version, changed_ms, enabled, schedule, interval_minutes, daily_times, days,
                             time_zone, spread_minutes, keep_days, keep_latest, keep_daily, keep_weekly, keep_monthly,
                             keep_yearly, snapshot_days, consistency, consistency_required,
                             exclude_pages,
                             hour_minute, priority, schedule_changed_ms, changed_by, lock_days)
SELECT id, version, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,
       ?20, ?21, ?22, ?23, ?24
FROM policies WHERE id = ?1;

-- name: policy_delete
DELETE FROM policies WHERE id = ?1;

-- All that is shown of a version of a policy.
-- fragment: policy_columns
SELECT p.number, p.id, p.name, w.version, w.enabled, w.schedule, w.interval_minutes, w.daily_times, w.days, w.time_zone,
       w.spread_minutes, w.keep_days, w.keep_latest, w.keep_daily, w.keep_weekly, w.keep_monthly, w.keep_yearly,
       w.snapshot_days, w.consistency, w.consistency_required, w.exclude_pages,
       w.hour_minute, w.priority, w.schedule_changed_ms, w.changed_by, w.lock_days, p.created_ms, w.changed_ms,
       (SELECT COUNT(*) FROM protection_groups g WHERE g.policy_id = p.id)

-- ?2 is a version, 0 the one in force.
-- name: policy_find
{policy_columns}
FROM policies p JOIN policy_versions w ON w.policy_id = p.id AND w.version = CASE ?2 WHEN 0 THEN p.version ELSE ?2 END
WHERE p.id = ?1 OR p.name = ?1 ORDER BY p.id = ?1 DESC LIMIT 1;

-- name: policy_list
{policy_columns}
FROM policies p JOIN policy_versions w ON w.policy_id = p.id AND w.version = p.version
WHERE p.number > ?1 ORDER BY p.number LIMIT ?2;

-- Every version of a policy, the newest first; ?2 is the version to go on before, 0 to begin.
-- name: policy_version_list
{policy_columns}
FROM policies p JOIN policy_versions w ON w.policy_id = p.id
WHERE p.id = ?1 AND (?2 = 0 OR w.version < ?2) ORDER BY w.version DESC LIMIT ?3;
