-- Page and swap files are left out of what is stored.
ALTER TABLE policy_versions ADD COLUMN exclude_pages INTEGER NOT NULL DEFAULT 0;
-- What the point that a tracking point was begun with left out: what is not left out again must be read then, changed or
-- not. As the agent gave it.
ALTER TABLE tracking_points ADD COLUMN left_out TEXT NOT NULL DEFAULT '';
