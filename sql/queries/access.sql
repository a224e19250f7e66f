-- name: user_insert
INSERT INTO users (id, name, role, everything, disabled, password_hash, created_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7);

-- name: user_update
UPDATE users SET name = ?2, role = ?3, everything = ?4, disabled = ?5 WHERE id = ?1;

-- name: user_delete
DELETE FROM users WHERE id = ?1;

-- name: user_set_password
UPDATE users SET password_hash = ?2 WHERE id = ?1;

-- name: user_set_pin
UPDATE users SET pin_hash = ?2 WHERE id = ?1;

-- name: user_set_totp_pending
UPDATE users SET totp_pending = ?2 WHERE id = ?1;

-- name: user_set_totp_secret
UPDATE users SET totp_secret = ?2 WHERE id = ?1;

-- name: user_confirm_totp
UPDATE users SET totp_secret = totp_pending, totp_pending = '', totp_last_step = ?2
WHERE id = ?1 AND totp_pending = ?3 AND totp_pending <> '';

-- name: user_clear_factors
UPDATE users SET totp_secret = '', totp_pending = '', totp_last_step = 0, pin_hash = '' WHERE id = ?1;

-- name: user_use_totp_step
UPDATE users SET totp_last_step = ?2 WHERE id = ?1 AND totp_last_step < ?2;

-- name: user_logged_in
UPDATE users SET last_login_ms = ?2 WHERE id = ?1;

-- All that is known of a user.
-- fragment: user_columns
SELECT number, id, name, role, everything, disabled, password_hash, pin_hash, totp_secret, totp_pending, totp_last_step,
       created_ms, last_login_ms, (SELECT COUNT(*) FROM recovery_codes c WHERE c.user_id = users.id)

-- name: user_find
{user_columns}
FROM users WHERE id = ?1 OR name = ?1 ORDER BY id = ?1 DESC LIMIT 1;

-- name: user_list
{user_columns}
FROM users WHERE number > ?1 ORDER BY number LIMIT ?2;

-- name: user_group_add
INSERT OR IGNORE INTO user_groups (user_id, group_id) VALUES (?1, ?2);

-- name: user_group_clear
DELETE FROM user_groups WHERE user_id = ?1;

-- name: user_group_list
SELECT g.id, g.name FROM user_groups u JOIN protection_groups g ON g.id = u.group_id WHERE u.user_id = ?1 ORDER BY g.name;

-- name: recovery_code_add
INSERT OR IGNORE INTO recovery_codes (user_id, code_hash) VALUES (?1, ?2);

-- name: recovery_code_use
DELETE FROM recovery_codes WHERE user_id = ?1 AND code_hash = ?2;

-- name: recovery_code_clear
DELETE FROM recovery_codes WHERE user_id = ?1;

-- name: access_token_insert
INSERT INTO access_tokens (id, user_id, kind, name, secret_hash, role, destructive, address, created_ms, expires_ms, last_used_ms)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?9);

-- All that is known of a token.
-- fragment: access_token_columns
SELECT t.number, t.id, t.user_id, u.name, t.kind, t.name, t.role, t.destructive, t.address, t.created_ms, t.expires_ms,
       t.last_used_ms, u.role, u.everything, u.disabled

-- name: access_token_by_hash
{access_token_columns}
FROM access_tokens t JOIN users u ON u.id = t.user_id WHERE t.secret_hash = ?1;

-- name: access_token_list
{access_token_columns}
FROM access_tokens t JOIN users u ON u.id = t.user_id
WHERE t.number > ?1 AND (?2 IS NULL OR t.user_id = ?2) ORDER BY t.number LIMIT ?3;

-- The second bound is just behind every id that begins with ?1.
-- name: access_token_find
{access_token_columns}
FROM access_tokens t JOIN users u ON u.id = t.user_id
WHERE (t.id >= ?1 AND t.id < ?1 || 'g') AND (?2 IS NULL OR t.user_id = ?2) LIMIT 2;

-- name: access_token_used
UPDATE access_tokens SET last_used_ms = ?2 WHERE id = ?1;

-- name: access_token_delete
DELETE FROM access_tokens WHERE id = ?1;

-- name: access_token_end_sessions
DELETE FROM access_tokens WHERE user_id = ?1 AND kind = 'session' AND id <> ?2;

-- name: access_token_trim
DELETE FROM access_tokens WHERE user_id = ?1 AND kind = ?2
  AND number NOT IN (SELECT number FROM access_tokens WHERE user_id = ?1 AND kind = ?2 ORDER BY number DESC LIMIT ?3);

-- name: access_token_prune
DELETE FROM access_tokens WHERE expires_ms < ?1;

-- name: access_token_count
SELECT COUNT(*) FROM access_tokens WHERE user_id = ?1 AND kind = ?2;

-- name: scope_has_vm
SELECT 1 FROM user_groups u JOIN group_members m ON m.group_id = u.group_id WHERE u.user_id = ?1 AND m.vm_id = ?2 LIMIT 1;

-- name: scope_has_group
SELECT 1 FROM user_groups WHERE user_id = ?1 AND group_id = ?2 LIMIT 1;

-- name: scope_has_policy
SELECT 1 FROM user_groups u JOIN protection_groups g ON g.id = u.group_id WHERE u.user_id = ?1 AND g.policy_id = ?2 LIMIT 1;

-- name: scope_has_host
SELECT 1 FROM user_groups u JOIN group_members m ON m.group_id = u.group_id JOIN vms v ON v.id = m.vm_id
WHERE u.user_id = ?1 AND v.host_id = ?2 LIMIT 1;

-- name: scope_has_point
SELECT 1 FROM user_groups u JOIN group_members m ON m.group_id = u.group_id JOIN recovery_points p ON p.vm_id = m.vm_id
WHERE u.user_id = ?1 AND p.id = ?2 LIMIT 1;

-- name: scope_has_job
SELECT 1 FROM user_groups u JOIN group_members m ON m.group_id = u.group_id JOIN jobs j ON j.vm_id = m.vm_id
WHERE u.user_id = ?1 AND j.id = ?2 LIMIT 1;

-- name: scope_has_alert
SELECT 1 FROM alerts a JOIN scope_objects s ON s.kind = a.object_kind AND s.id = a.object_id
WHERE s.user_id = ?1 AND a.id = ?2 LIMIT 1;

-- name: approval_insert
INSERT INTO approvals (id, user_id, what, method, path, query, body, state, created_ms, expires_ms)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'pending', ?8, ?9);

-- All columns of a request that waits for approval.
-- fragment: approval_columns
SELECT a.number, a.id, a.user_id, u.name, a.what, a.method, a.path, a.query, a.body, a.state, a.decided_by, a.created_ms,
       a.expires_ms, a.decided_ms

-- name: approval_list
{approval_columns}
FROM approvals a JOIN users u ON u.id = a.user_id WHERE (?1 = 0 OR a.number < ?1) ORDER BY a.number DESC LIMIT ?2;

-- The second bound is just behind every id that begins with ?1.
-- name: approval_find
{approval_columns}
FROM approvals a JOIN users u ON u.id = a.user_id WHERE a.id >= ?1 AND a.id < ?1 || 'g' LIMIT 2;

-- The same request again.
-- name: approval_same
{approval_columns}
FROM approvals a JOIN users u ON u.id = a.user_id
WHERE a.state = 'pending' AND a.expires_ms > ?1 AND a.user_id = ?2 AND a.method = ?3 AND a.path = ?4 AND a.query = ?5
  AND a.body = ?6 LIMIT 1;

-- name: approval_decide
UPDATE approvals SET state = ?2, decided_by = ?3, decided_ms = ?4 WHERE id = ?1 AND state = 'pending' AND expires_ms > ?4;

-- name: approval_count
SELECT COUNT(*) FROM approvals WHERE user_id = ?1 AND state = 'pending' AND expires_ms > ?2;

-- name: approval_prune
DELETE FROM approvals WHERE expires_ms < ?1;
