-- Each list of jobs is a walk through one of these, whatever it is filtered by (server/catalog/catalog_job_list.c): within one
-- VM, group, host or requester, one type and one state, by number. The columns behind `number` spare a look at the row.
DROP INDEX jobs_vm;
DROP INDEX jobs_group;
DROP INDEX jobs_state;
DROP INDEX jobs_type;
CREATE INDEX jobs_vm ON jobs (vm_id, type, state, number);
CREATE INDEX jobs_group ON jobs (group_id, type, state, number, host_id, requested_by);
CREATE INDEX jobs_host ON jobs (host_id, type, state, number, requested_by);
CREATE INDEX jobs_requester ON jobs (requested_by, type, state, number);
CREATE INDEX jobs_type ON jobs (type, state, number);
CREATE INDEX jobs_open ON jobs (number) WHERE state IN ('queued', 'running');

-- Requests that were made once, by the client's key; for a day.
CREATE TABLE idempotency_keys (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    actor       TEXT NOT NULL,
    key         TEXT NOT NULL,
    fingerprint TEXT NOT NULL, -- SHA-256 of method, path and body, hexadecimal
    state       TEXT NOT NULL CHECK (state IN ('running', 'done', 'unknown')),
    created_ms  INTEGER NOT NULL,
    status      INTEGER NOT NULL, -- of the answer
    answer      TEXT NOT NULL,    -- JSON; '' when it is not kept
    UNIQUE (actor, key)
);
CREATE INDEX idempotency_keys_created ON idempotency_keys (created_ms);
