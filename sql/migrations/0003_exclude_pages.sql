-- Page and swap files are left out of what is stored.
ALTER TABLE policy_versions ADD COLUMN exclude_pages INTEGER NOT NULL DEFAULT 0;
