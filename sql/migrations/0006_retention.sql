-- Retention locks and points that were deleted but can still be had back.
ALTER TABLE policy_versions ADD COLUMN lock_days INTEGER NOT NULL DEFAULT 0;
ALTER TABLE recovery_points ADD COLUMN locked_until_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE recovery_points ADD COLUMN deleted_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE recovery_points ADD COLUMN purge_ms INTEGER NOT NULL DEFAULT 0; -- of a deleted one: when it goes for good
ALTER TABLE recovery_points ADD COLUMN deleted_by TEXT NOT NULL DEFAULT '';
-- The group with whose stop it was deleted, '' when by itself; the group may be gone.
ALTER TABLE recovery_points ADD COLUMN deleted_with TEXT NOT NULL DEFAULT '';
CREATE INDEX recovery_points_purge ON recovery_points (purge_ms) WHERE deleted_ms <> 0;
CREATE INDEX recovery_points_deleted_with ON recovery_points (deleted_with) WHERE deleted_ms <> 0;
