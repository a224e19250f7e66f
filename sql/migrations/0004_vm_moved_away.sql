-- A VM that left its host by migration and was not reported by any since.
ALTER TABLE vms ADD COLUMN moved_away INTEGER NOT NULL DEFAULT 0;
