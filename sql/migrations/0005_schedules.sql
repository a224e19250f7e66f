-- More kinds of schedule, and who goes first when jobs wait. The column is made anew since its check named the kinds.
ALTER TABLE policy_versions ADD COLUMN schedule_kind TEXT NOT NULL DEFAULT 'manual'
    CHECK (schedule_kind IN ('manual', 'interval', 'hourly', 'daily', 'weekly'));
UPDATE policy_versions SET schedule_kind = schedule;
ALTER TABLE policy_versions DROP COLUMN schedule;
ALTER TABLE policy_versions RENAME COLUMN schedule_kind TO schedule;
ALTER TABLE policy_versions ADD COLUMN hour_minute INTEGER NOT NULL DEFAULT 0;
ALTER TABLE policy_versions ADD COLUMN priority TEXT NOT NULL DEFAULT 'normal' CHECK (priority IN ('high', 'normal', 'low'));
-- Since when the schedule is what it is: other changes of a policy lose no run.
ALTER TABLE policy_versions ADD COLUMN schedule_changed_ms INTEGER NOT NULL DEFAULT 0;
UPDATE policy_versions SET schedule_changed_ms = changed_ms;
ALTER TABLE policy_versions ADD COLUMN changed_by TEXT NOT NULL DEFAULT '';
-- Schedules that are not daily had days that nothing looked at.
UPDATE policy_versions SET days = 127 WHERE schedule <> 'daily';
