-- name: host_put
INSERT INTO hosts (id, name, state, state_since_ms, serial, previous_serial, certificate_expires_ms, software, system,
                   kinds, address, enrolled_ms, last_seen_ms)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
ON CONFLICT (id) DO UPDATE SET
    name = excluded.name, state = excluded.state, state_since_ms = excluded.state_since_ms, serial = excluded.serial,
    previous_serial = excluded.previous_serial, certificate_expires_ms = excluded.certificate_expires_ms,
    software = excluded.software, system = excluded.system, kinds = excluded.kinds, address = excluded.address,
    enrolled_ms = excluded.enrolled_ms, last_seen_ms = excluded.last_seen_ms;

-- Retired is for ever.
-- name: host_set_state
UPDATE hosts SET state = ?2, state_since_ms = ?3 WHERE id = ?1 AND state <> 'retired';

-- name: host_seen
UPDATE hosts SET last_seen_ms = ?2 WHERE id = ?1;

-- name: host_seen_all
UPDATE hosts SET last_seen_ms = ?1 WHERE state IN ('connected', 'outdated');

-- name: host_disconnect_all
UPDATE hosts SET state = 'unreachable', state_since_ms = last_seen_ms WHERE state IN ('connected', 'outdated');

-- All columns of a host.
-- fragment: host_columns
SELECT number, id, name, state, state_since_ms, serial, previous_serial, certificate_expires_ms, software, system,
       kinds, address, enrolled_ms, last_seen_ms, draining, limit_rate, limit_other_rate, limit_from_minute,
       limit_to_minute, limit_days, limit_time_zone

-- name: host_find
{host_columns}
FROM hosts WHERE id = ?1 OR name = ?1
ORDER BY id = ?1 DESC, state = 'retired', number DESC LIMIT 1;

-- name: host_list
{host_columns}
FROM hosts WHERE number > ?1 ORDER BY number LIMIT ?2;

-- name: host_set_limit
UPDATE hosts SET limit_rate = ?2, limit_other_rate = ?3, limit_from_minute = ?4, limit_to_minute = ?5, limit_days = ?6,
    limit_time_zone = ?7
WHERE id = ?1;

-- name: host_set_draining
UPDATE hosts SET draining = ?2 WHERE id = ?1;
