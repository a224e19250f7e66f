-- Every version of a policy, the newest first; ?2 is the version to go on before, 0 to begin.
-- name: policy_version_list
SELECT p.number, p.id, p.name, w.version, w.enabled, w.schedule, w.interval_minutes, w.daily_times, w.days, w.time_zone,
       w.spread_minutes, w.keep_days, w.keep_latest, w.keep_daily, w.keep_weekly, w.keep_monthly, w.keep_yearly,
       w.snapshot_days, w.consistency, w.consistency_required, w.exclude_pages,
       w.hour_minute, w.priority, w.schedule_changed_ms, w.changed_by, w.lock_days, p.created_ms, w.changed_ms,
       (SELECT COUNT(*) FROM protection_groups g WHERE g.policy_id = p.id)
FROM policies p JOIN policy_versions w ON w.policy_id = p.id
WHERE p.id = ?1 AND (?2 = 0 OR w.version < ?2) ORDER BY w.version DESC LIMIT ?3;

-- name: group_priority
SELECT w.priority FROM protection_groups g JOIN policies p ON p.id = g.policy_id
JOIN policy_versions w ON w.policy_id = p.id AND w.version = p.version WHERE g.id = ?1;
