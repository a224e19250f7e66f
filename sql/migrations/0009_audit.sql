-- Who did what: append-only, each row's hash covers the row before (server/audit/audit.h). number has no gaps.
CREATE TABLE audit (
    number  INTEGER PRIMARY KEY,
    time_ms INTEGER NOT NULL,
    actor   TEXT NOT NULL,
    address TEXT NOT NULL,
    action  TEXT NOT NULL,    -- "POST /v1/backups", "retention delete", "server start"
    object  TEXT NOT NULL,    -- as it was named
    outcome TEXT NOT NULL CHECK (outcome IN ('begun', 'done', 'refused', 'noted')),
    code    TEXT NOT NULL,    -- of the error catalogue; ''
    detail  TEXT NOT NULL,    -- JSON
    of      INTEGER NOT NULL, -- the row that this is the outcome of; 0
    hash    TEXT NOT NULL     -- SHA-256, hexadecimal
);
CREATE INDEX audit_of ON audit (of) WHERE of > 0;
CREATE INDEX audit_time ON audit (time_ms);

-- One row a day (days since 1970 UTC): what the store used, and what each VM had in it.
CREATE TABLE store_samples (
    day          INTEGER PRIMARY KEY,
    time_ms      INTEGER NOT NULL,
    stored_bytes INTEGER NOT NULL,
    chunk_bytes  INTEGER NOT NULL, -- of distinct chunks, plain
    free_bytes   INTEGER NOT NULL,
    total_bytes  INTEGER NOT NULL,
    points       INTEGER NOT NULL
);
CREATE TABLE vm_samples (
    day          INTEGER NOT NULL,
    vm_id        TEXT NOT NULL,
    size         INTEGER NOT NULL, -- of its newest point
    points       INTEGER NOT NULL,
    stored_bytes INTEGER NOT NULL, -- that its points added when they were made
    PRIMARY KEY (vm_id, day)
) WITHOUT ROWID;
