-- What is wrong now and was: open while resolved_ms is 0.
CREATE TABLE alerts (
    number          INTEGER PRIMARY KEY AUTOINCREMENT,
    id              TEXT NOT NULL UNIQUE,
    code            TEXT NOT NULL, -- of the error catalogue
    severity        TEXT NOT NULL CHECK (severity IN ('critical', 'warning', 'information')),
    object_kind     TEXT NOT NULL, -- 'vm', 'host', 'store', 'server', 'notification'
    object_id       TEXT NOT NULL,
    object_name     TEXT NOT NULL,
    message         TEXT NOT NULL,
    cause_code      TEXT NOT NULL, -- of the error catalogue, or ''
    cause           TEXT NOT NULL,
    job_id          TEXT NOT NULL, -- the job may be gone
    raised_ms       INTEGER NOT NULL,
    resolved_ms     INTEGER NOT NULL,
    acknowledged_ms INTEGER NOT NULL,
    acknowledged_by TEXT NOT NULL,
    note            TEXT NOT NULL
);
CREATE UNIQUE INDEX alerts_open ON alerts (code, object_kind, object_id) WHERE resolved_ms = 0;
CREATE INDEX alerts_resolved ON alerts (resolved_ms);

-- Recovery points whose changes are unlike those before.
CREATE TABLE anomalies (
    number          INTEGER PRIMARY KEY AUTOINCREMENT,
    vm_id           TEXT NOT NULL REFERENCES vms (id) ON DELETE CASCADE,
    vm_name         TEXT NOT NULL,
    point_id        TEXT NOT NULL UNIQUE, -- the point may be gone
    last_good       TEXT NOT NULL,        -- the point before it, which stays until it is acknowledged
    description     TEXT NOT NULL,
    found_ms        INTEGER NOT NULL,
    acknowledged_ms INTEGER NOT NULL
);
CREATE INDEX anomalies_last_good ON anomalies (last_good);
CREATE INDEX anomalies_vm ON anomalies (vm_id, acknowledged_ms);

-- Who is told.
CREATE TABLE notifications (
    number           INTEGER PRIMARY KEY AUTOINCREMENT,
    id               TEXT NOT NULL UNIQUE,
    name             TEXT NOT NULL UNIQUE,
    kind             TEXT NOT NULL CHECK (kind IN ('mail', 'webhook')),
    enabled          INTEGER NOT NULL,
    severity         TEXT NOT NULL, -- the least
    events           INTEGER NOT NULL, -- bit 0 alerts, bit 1 jobs that ask for it, bit 2 the daily digest
    digest_time      TEXT NOT NULL,
    digest_zone      TEXT NOT NULL,
    server           TEXT NOT NULL, -- of mail: HOST:PORT; of a webhook: its address
    security         TEXT NOT NULL, -- of mail: 'starttls', 'tls'
    user             TEXT NOT NULL,
    sender           TEXT NOT NULL,
    recipients       TEXT NOT NULL, -- commas between
    authorities      TEXT NOT NULL, -- PEM; '': the system's
    secret           TEXT NOT NULL, -- encrypted with a key of the data directory
    created_ms       INTEGER NOT NULL,
    digest_ms        INTEGER NOT NULL, -- of the last
    delivered_ms     INTEGER NOT NULL,
    failures         INTEGER NOT NULL, -- since then
    failing_since_ms INTEGER NOT NULL,
    lost             INTEGER NOT NULL, -- messages given up since then
    last_error       TEXT NOT NULL
);

-- What is on its way.
CREATE TABLE notification_outbox (
    number          INTEGER PRIMARY KEY AUTOINCREMENT,
    id              TEXT NOT NULL UNIQUE,
    notification_id TEXT NOT NULL REFERENCES notifications (id) ON DELETE CASCADE,
    event           TEXT NOT NULL,
    subject         TEXT NOT NULL,
    body            TEXT NOT NULL,
    html            TEXT NOT NULL,
    data            TEXT NOT NULL, -- JSON
    created_ms      INTEGER NOT NULL,
    attempts        INTEGER NOT NULL,
    next_attempt_ms INTEGER NOT NULL
);
CREATE INDEX notification_outbox_target ON notification_outbox (notification_id, number);

-- Jobs of whose end somebody wants to know.
CREATE TABLE job_notifications (
    job_id TEXT PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE
) WITHOUT ROWID;
