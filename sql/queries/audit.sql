-- name: audit_insert
INSERT INTO audit (number, time_ms, actor, address, action, object, outcome, code, detail, of, hash)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11);

-- All columns.
-- fragment: audit_columns
SELECT number, time_ms, actor, address, action, object, outcome, code, detail, of, hash

-- name: audit_last
{audit_columns}
FROM audit ORDER BY number DESC LIMIT 1;

-- name: audit_walk
{audit_columns}
FROM audit WHERE number > ?1 ORDER BY number LIMIT ?2;

-- Newest first. A row that has its outcome in another is left out, unless ?7.
-- name: audit_list
{audit_columns}
FROM audit a
WHERE (?1 = 0 OR number < ?1) AND time_ms >= ?2 AND time_ms < ?3 AND (?5 IS NULL OR actor = ?5)
  AND (?6 IS NULL OR instr(' ' || object || ' ', ' ' || ?6 || ' ') > 0 OR instr(detail, ?6) > 0)
  AND (?7 OR outcome <> 'begun' OR NOT EXISTS (SELECT 1 FROM audit b WHERE b.of > 0 AND b.of = a.number))
ORDER BY number DESC LIMIT ?4;

-- name: audit_hash
SELECT hash FROM audit WHERE number = ?1;

-- The row before the first one that is not older than a time: with it, everything before goes. Not by its own time: a
-- clock that was once wrong must not make what is young go. The last one when all are older.
-- name: audit_before
SELECT number, hash FROM audit
WHERE number = COALESCE((SELECT MIN(number) FROM audit WHERE time_ms >= ?1) - 1, (SELECT MAX(number) FROM audit));

-- The hash of row ?1, as the row tells it with which it was removed.
-- name: audit_checkpoint
SELECT object FROM audit WHERE of > 0 AND of = ?1 AND action = 'audit prune' ORDER BY number DESC LIMIT 1;

-- name: audit_prune
DELETE FROM audit WHERE number <= ?1;
