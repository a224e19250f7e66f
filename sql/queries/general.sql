-- name: begin
BEGIN IMMEDIATE;

-- name: commit
COMMIT;

-- name: roll_back
ROLLBACK;

-- name: vacuum
VACUUM;

-- name: checkpoint
PRAGMA wal_checkpoint(TRUNCATE);

-- name: setting_get
SELECT value FROM settings WHERE name = ?1;

-- name: setting_set
INSERT INTO settings (name, value) VALUES (?1, ?2)
ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: token_insert
INSERT INTO tokens (id, secret_hash, created_ms, expires_ms) VALUES (?1, ?2, ?3, ?4);

-- name: token_use
UPDATE tokens SET used_ms = ?2, host_id = ?3 WHERE secret_hash = ?1 AND used_ms = 0 AND expires_ms > ?2;

-- name: token_check
SELECT 1 FROM tokens WHERE secret_hash = ?1 AND used_ms = 0 AND expires_ms > ?2;

-- name: token_prune
DELETE FROM tokens WHERE expires_ms < ?1;
