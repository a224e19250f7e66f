-- The catalog. Times are milliseconds since 1970 UTC, 0 for never. `number` orders the rows of a list.

CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE tokens (
    id          TEXT PRIMARY KEY,
    secret_hash TEXT NOT NULL UNIQUE, -- SHA-256, hexadecimal
    created_ms  INTEGER NOT NULL,
    expires_ms  INTEGER NOT NULL,
    used_ms     INTEGER NOT NULL DEFAULT 0,
    host_id     TEXT -- that used it
) WITHOUT ROWID;

CREATE TABLE hosts (
    number                 INTEGER PRIMARY KEY AUTOINCREMENT,
    id                     TEXT NOT NULL UNIQUE,
    name                   TEXT NOT NULL,
    state                  TEXT NOT NULL CHECK (state IN ('connected', 'unreachable', 'outdated', 'retired')),
    state_since_ms         INTEGER NOT NULL,
    serial                 TEXT NOT NULL,
    previous_serial        TEXT NOT NULL,
    certificate_expires_ms INTEGER NOT NULL,
    software               TEXT NOT NULL,
    system                 TEXT NOT NULL,
    kinds                  TEXT NOT NULL,
    address                TEXT NOT NULL,
    enrolled_ms            INTEGER NOT NULL,
    last_seen_ms           INTEGER NOT NULL
);
CREATE UNIQUE INDEX hosts_name ON hosts (name) WHERE state <> 'retired';

CREATE TABLE vms (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE,
    host_id     TEXT NOT NULL REFERENCES hosts (id),
    uuid        TEXT NOT NULL,
    kind        TEXT NOT NULL,
    name        TEXT NOT NULL,
    power       TEXT NOT NULL,
    guest_agent TEXT NOT NULL,
    tracking    TEXT NOT NULL,
    memory_mib  INTEGER NOT NULL,
    cpus        INTEGER NOT NULL,
    present     INTEGER NOT NULL,
    vanished_ms INTEGER NOT NULL,
    UNIQUE (host_id, kind, uuid)
);
CREATE INDEX vms_name ON vms (name);
CREATE INDEX vms_uuid ON vms (uuid);

CREATE TABLE vm_disks (
    vm_id     TEXT NOT NULL REFERENCES vms (id) ON DELETE CASCADE,
    position  INTEGER NOT NULL,
    name      TEXT NOT NULL,
    path      TEXT NOT NULL,
    format    TEXT NOT NULL,
    size      INTEGER NOT NULL,
    supported INTEGER NOT NULL,
    reason    TEXT NOT NULL,
    PRIMARY KEY (vm_id, position)
) WITHOUT ROWID;

CREATE TABLE policies (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    name       TEXT NOT NULL UNIQUE,
    version    INTEGER NOT NULL, -- the one in force
    created_ms INTEGER NOT NULL
);

CREATE TABLE policy_versions (
    policy_id            TEXT NOT NULL REFERENCES policies (id) ON DELETE CASCADE,
    version              INTEGER NOT NULL,
    changed_ms           INTEGER NOT NULL,
    enabled              INTEGER NOT NULL,
    schedule             TEXT NOT NULL CHECK (schedule IN ('manual', 'interval', 'daily')),
    interval_minutes     INTEGER NOT NULL,
    daily_times          TEXT NOT NULL, -- 'HH:MM,HH:MM'
    days                 INTEGER NOT NULL, -- bit 0 Sunday ... bit 6 Saturday
    time_zone            TEXT NOT NULL,
    spread_minutes       INTEGER NOT NULL,
    keep_days            INTEGER NOT NULL,
    keep_latest          INTEGER NOT NULL,
    keep_daily           INTEGER NOT NULL,
    keep_weekly          INTEGER NOT NULL,
    keep_monthly         INTEGER NOT NULL,
    keep_yearly          INTEGER NOT NULL,
    snapshot_days        INTEGER NOT NULL,
    consistency          TEXT NOT NULL CHECK (consistency IN ('application', 'filesystem', 'crash')),
    consistency_required INTEGER NOT NULL,
    PRIMARY KEY (policy_id, version)
) WITHOUT ROWID;

CREATE TABLE protection_groups (
    number       INTEGER PRIMARY KEY AUTOINCREMENT,
    id           TEXT NOT NULL UNIQUE,
    name         TEXT NOT NULL UNIQUE,
    policy_id    TEXT NOT NULL REFERENCES policies (id) ON DELETE RESTRICT,
    stopped      INTEGER NOT NULL,
    created_ms   INTEGER NOT NULL,
    scheduled_ms INTEGER NOT NULL
);
CREATE INDEX protection_groups_policy ON protection_groups (policy_id);

CREATE TABLE group_members (
    vm_id    TEXT PRIMARY KEY REFERENCES vms (id) ON DELETE CASCADE, -- one group for each VM
    group_id TEXT NOT NULL REFERENCES protection_groups (id) ON DELETE CASCADE,
    added_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX group_members_group ON group_members (group_id);

CREATE TABLE recovery_points (
    number             INTEGER PRIMARY KEY AUTOINCREMENT,
    id                 TEXT NOT NULL UNIQUE,
    vm_id              TEXT NOT NULL REFERENCES vms (id),
    vm_name            TEXT NOT NULL,
    host_id            TEXT NOT NULL, -- where it was taken; the host may be gone
    host_name          TEXT NOT NULL,
    kind               TEXT NOT NULL,
    parent             TEXT NOT NULL, -- the point may be gone
    job_id             TEXT NOT NULL, -- the job may be gone
    time_ms            INTEGER NOT NULL,
    committed_ms       INTEGER NOT NULL,
    mode               TEXT NOT NULL,
    reason             TEXT NOT NULL,
    consistency        TEXT NOT NULL,
    consistency_reason TEXT NOT NULL,
    size               INTEGER NOT NULL,
    read_bytes         INTEGER NOT NULL,
    sent_bytes         INTEGER NOT NULL,
    stored_bytes       INTEGER NOT NULL,
    retain_until_ms    INTEGER NOT NULL,
    held               INTEGER NOT NULL,
    damaged            INTEGER NOT NULL,
    verified_ms        INTEGER NOT NULL
);
CREATE INDEX recovery_points_vm ON recovery_points (vm_id); -- and so by number
CREATE INDEX recovery_points_job ON recovery_points (job_id);

CREATE TABLE recovery_point_disks (
    point_id          TEXT NOT NULL REFERENCES recovery_points (id) ON DELETE CASCADE,
    position          INTEGER NOT NULL,
    name              TEXT NOT NULL,
    format            TEXT NOT NULL,
    size              INTEGER NOT NULL,
    transferred_bytes INTEGER NOT NULL,
    PRIMARY KEY (point_id, position)
) WITHOUT ROWID;

-- What the hypervisor has recorded since a recovery point; its metadata goes with the VM to another host.
CREATE TABLE tracking_points (
    number   INTEGER PRIMARY KEY AUTOINCREMENT,
    vm_id    TEXT NOT NULL REFERENCES vms (id) ON DELETE CASCADE,
    name     TEXT NOT NULL,
    metadata TEXT NOT NULL,
    point_id TEXT NOT NULL, -- the point may be gone
    UNIQUE (vm_id, name)
);

CREATE TABLE jobs (
    number               INTEGER PRIMARY KEY AUTOINCREMENT,
    id                   TEXT NOT NULL UNIQUE,
    type                 TEXT NOT NULL,
    state                TEXT NOT NULL CHECK (state IN ('queued', 'running', 'completed', 'completed-with-warnings',
                                                        'failed', 'cancelled')),
    snapshot_state       TEXT NOT NULL CHECK (snapshot_state IN ('none', 'running', 'completed', 'skipped', 'failed')),
    transfer_state       TEXT NOT NULL CHECK (transfer_state IN ('none', 'running', 'completed', 'skipped', 'failed')),
    vm_id                TEXT REFERENCES vms (id) ON DELETE SET NULL,
    vm_name              TEXT NOT NULL,
    host_id              TEXT NOT NULL,
    host_name            TEXT NOT NULL,
    group_id             TEXT REFERENCES protection_groups (id) ON DELETE SET NULL,
    point_id             TEXT NOT NULL,
    requested_by         TEXT NOT NULL,
    on_demand            INTEGER NOT NULL,
    full                 INTEGER NOT NULL,
    mode                 TEXT NOT NULL,
    reason               TEXT NOT NULL,
    step                 TEXT NOT NULL,
    retain_until_ms      INTEGER NOT NULL,
    attempt              INTEGER NOT NULL,
    max_attempts         INTEGER NOT NULL,
    next_attempt_ms      INTEGER NOT NULL,
    error_code           TEXT NOT NULL,
    error_message        TEXT NOT NULL,
    error_cause          TEXT NOT NULL,
    done_bytes           INTEGER NOT NULL,
    total_bytes          INTEGER NOT NULL,
    wire_bytes           INTEGER NOT NULL,
    stored_bytes         INTEGER NOT NULL,
    rate                 INTEGER NOT NULL,
    created_ms           INTEGER NOT NULL,
    started_ms           INTEGER NOT NULL,
    snapshot_started_ms  INTEGER NOT NULL,
    snapshot_finished_ms INTEGER NOT NULL,
    transfer_started_ms  INTEGER NOT NULL,
    transfer_finished_ms INTEGER NOT NULL,
    finished_ms          INTEGER NOT NULL,
    restore_to_original  INTEGER NOT NULL,
    restore_start        INTEGER NOT NULL,
    restore_stop_running INTEGER NOT NULL,
    restore_name         TEXT NOT NULL,
    restore_directory    TEXT NOT NULL,
    restored_uuid        TEXT NOT NULL,
    restored_name        TEXT NOT NULL
);
CREATE INDEX jobs_vm ON jobs (vm_id, number);
CREATE INDEX jobs_group ON jobs (group_id, number);
CREATE INDEX jobs_state ON jobs (state, number);
CREATE INDEX jobs_type ON jobs (type, number);
CREATE INDEX jobs_created ON jobs (created_ms);

CREATE TABLE job_log (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id  TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    time_ms INTEGER NOT NULL,
    level   TEXT NOT NULL CHECK (level IN ('information', 'warning', 'error')),
    code    TEXT NOT NULL,
    message TEXT NOT NULL
);
CREATE INDEX job_log_job ON job_log (job_id, number);
