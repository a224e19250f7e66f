-- name: idempotency_begin
INSERT INTO idempotency_keys (actor, key, fingerprint, state, created_ms, status, answer)
VALUES (?1, ?2, ?3, 'running', ?4, 0, '') ON CONFLICT DO NOTHING;

-- name: idempotency_get
SELECT fingerprint, state, status, answer FROM idempotency_keys WHERE actor = ?1 AND key = ?2;

-- name: idempotency_done
UPDATE idempotency_keys SET state = ?3, status = ?4, answer = ?5 WHERE actor = ?1 AND key = ?2;

-- name: idempotency_forget
DELETE FROM idempotency_keys WHERE actor = ?1 AND key = ?2;

-- name: idempotency_prune
DELETE FROM idempotency_keys WHERE created_ms < ?1;

-- Of those of one who makes very many, the newest ?2 stay.
-- name: idempotency_trim
DELETE FROM idempotency_keys WHERE actor = ?1 AND state <> 'running' AND number <= (
    SELECT number FROM idempotency_keys WHERE actor = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2);

-- What a former life of the server did not come to the end of.
-- name: idempotency_interrupted
UPDATE idempotency_keys SET state = 'unknown' WHERE state = 'running';
