-- name: notification_insert
INSERT INTO notifications (id, name, kind, enabled, severity, events, digest_time, digest_zone, server, security, user,
                           sender, recipients, authorities, secret, created_ms, digest_ms, delivered_ms, failures,
                           failing_since_ms, lost, last_error)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, 0, 0, 0, 0, 0, '');

-- What failed with the former settings may go with these.
-- name: notification_update
UPDATE notifications SET name = ?2, kind = ?3, enabled = ?4, severity = ?5, events = ?6, digest_time = ?7,
    digest_zone = ?8, server = ?9, security = ?10, user = ?11, sender = ?12, recipients = ?13, authorities = ?14,
    secret = ?15
WHERE id = ?1;

-- name: notification_delete
DELETE FROM notifications WHERE id = ?1;

-- All that is known of a receiver.
-- fragment: notification_columns
SELECT number, id, name, kind, enabled, severity, events, digest_time, digest_zone, server, security, user, sender,
       recipients, authorities, secret, created_ms, digest_ms, delivered_ms, failures, failing_since_ms, lost, last_error,
       (SELECT COUNT(*) FROM notification_outbox o WHERE o.notification_id = n.id)

-- name: notification_find
{notification_columns}
FROM notifications n WHERE id = ?1 OR name = ?1 ORDER BY id = ?1 DESC LIMIT 1;

-- name: notification_list
{notification_columns}
FROM notifications n WHERE number > ?1 ORDER BY number LIMIT ?2;

-- name: notification_set_digest
UPDATE notifications SET digest_ms = ?2 WHERE id = ?1;

-- name: notification_delivered
UPDATE notifications SET delivered_ms = ?2, failures = 0, failing_since_ms = 0, lost = 0, last_error = '' WHERE id = ?1;

-- name: notification_failed
UPDATE notifications SET failures = failures + 1, last_error = ?3,
    failing_since_ms = CASE WHEN failing_since_ms = 0 THEN ?2 ELSE failing_since_ms END
WHERE id = ?1;

-- name: notification_lost
UPDATE notifications SET lost = lost + 1 WHERE id = ?1;

-- Not past the bound: ?10 messages of one receiver.
-- name: outbox_insert
INSERT INTO notification_outbox (id, notification_id, event, subject, body, html, data, created_ms, attempts,
                                 next_attempt_ms)
SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, ?9
WHERE (SELECT COUNT(*) FROM notification_outbox WHERE notification_id = ?2) < ?10;

-- The oldest of each receiver, those whose time comes first before others.
-- name: outbox_first
SELECT number, id, notification_id, event, subject, body, html, data, created_ms, attempts, next_attempt_ms
FROM notification_outbox o
WHERE number = (SELECT MIN(number) FROM notification_outbox p WHERE p.notification_id = o.notification_id)
ORDER BY next_attempt_ms, number LIMIT ?1;

-- name: outbox_delay
UPDATE notification_outbox SET attempts = attempts + 1, next_attempt_ms = ?2 WHERE number = ?1;

-- name: outbox_hurry
UPDATE notification_outbox SET next_attempt_ms = 0 WHERE notification_id = ?1;

-- name: outbox_delete
DELETE FROM notification_outbox WHERE number = ?1;

-- name: job_notification_insert
INSERT INTO job_notifications (job_id) VALUES (?1) ON CONFLICT DO NOTHING;

-- name: job_notification_delete
DELETE FROM job_notifications WHERE job_id = ?1;

-- name: job_notification_ended
SELECT n.job_id FROM job_notifications n JOIN jobs j ON j.id = n.job_id
WHERE j.state IN ('completed', 'completed-with-warnings', 'failed', 'cancelled') LIMIT 100;
