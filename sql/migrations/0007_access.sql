-- Who may do what. Secrets are only here as hashes, but for those that codes are made from (totp_secret).
CREATE TABLE users (
    number         INTEGER PRIMARY KEY AUTOINCREMENT,
    id             TEXT NOT NULL UNIQUE,
    name           TEXT NOT NULL UNIQUE,
    role           TEXT NOT NULL CHECK (role IN ('administrator', 'operator', 'viewer')),
    everything     INTEGER NOT NULL, -- or only the groups in user_groups
    disabled       INTEGER NOT NULL DEFAULT 0,
    password_hash  TEXT NOT NULL DEFAULT '', -- '': can't log in with a password
    pin_hash       TEXT NOT NULL DEFAULT '',
    totp_secret    TEXT NOT NULL DEFAULT '', -- base 32
    totp_pending   TEXT NOT NULL DEFAULT '', -- one that is not yet confirmed by a code
    totp_last_step INTEGER NOT NULL DEFAULT 0,
    created_ms     INTEGER NOT NULL,
    last_login_ms  INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE user_groups (
    user_id  TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    group_id TEXT NOT NULL REFERENCES protection_groups (id) ON DELETE CASCADE,
    PRIMARY KEY (user_id, group_id)
) WITHOUT ROWID;
CREATE INDEX user_groups_group ON user_groups (group_id);

CREATE TABLE recovery_codes (
    user_id   TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    code_hash TEXT NOT NULL,
    PRIMARY KEY (user_id, code_hash)
) WITHOUT ROWID;

-- Sessions of people and API tokens of scripts.
CREATE TABLE access_tokens (
    number       INTEGER PRIMARY KEY AUTOINCREMENT,
    id           TEXT NOT NULL UNIQUE,
    user_id      TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    kind         TEXT NOT NULL CHECK (kind IN ('session', 'api')),
    name         TEXT NOT NULL,
    secret_hash  TEXT NOT NULL UNIQUE, -- SHA-256, hexadecimal
    role         TEXT NOT NULL CHECK (role IN ('administrator', 'operator', 'viewer')),
    destructive  INTEGER NOT NULL,
    address      TEXT NOT NULL, -- it was made from
    created_ms   INTEGER NOT NULL,
    expires_ms   INTEGER NOT NULL,
    last_used_ms INTEGER NOT NULL
);
CREATE INDEX access_tokens_user ON access_tokens (user_id, number);

-- What waits for a second person.
CREATE TABLE approvals (
    number       INTEGER PRIMARY KEY AUTOINCREMENT,
    id           TEXT NOT NULL UNIQUE,
    user_id      TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE, -- who asked
    what         TEXT NOT NULL,
    method       TEXT NOT NULL,
    path         TEXT NOT NULL,
    query        TEXT NOT NULL,
    body         TEXT NOT NULL, -- JSON, passwords hashed
    state        TEXT NOT NULL CHECK (state IN ('pending', 'approved', 'rejected')),
    decided_by   TEXT NOT NULL DEFAULT '', -- a user's name
    created_ms   INTEGER NOT NULL,
    expires_ms   INTEGER NOT NULL,
    decided_ms   INTEGER NOT NULL DEFAULT 0
);

-- The built-in administrator: whoever holds admin.token.
INSERT INTO users (id, name, role, everything, created_ms)
VALUES ('00000000-0000-4000-8000-000000000001', 'admin', 'administrator', 1, 0);
