-- Snapshots that stay on their hosts after a backup, as the hosts report them. Their numbers are of the sequence of the
-- recovery points: both are listed together.
CREATE TABLE host_snapshots (
    number      INTEGER PRIMARY KEY,
    point_id    TEXT NOT NULL UNIQUE, -- of the recovery point, whether or not it came into the store
    host_id     TEXT NOT NULL REFERENCES hosts (id),
    vm_id       TEXT NOT NULL REFERENCES vms (id) ON DELETE CASCADE,
    vm_name     TEXT NOT NULL,
    kind        TEXT NOT NULL,
    job_id      TEXT NOT NULL,
    consistency TEXT NOT NULL,
    time_ms     INTEGER NOT NULL,
    until_ms    INTEGER NOT NULL,
    size        INTEGER NOT NULL, -- of all disks
    disks       TEXT NOT NULL, -- JSON: [{"name", "format", "size"}]
    unwanted    INTEGER NOT NULL DEFAULT 0 -- deleted here, its host is not told yet
);
CREATE INDEX host_snapshots_host ON host_snapshots (host_id);
CREATE INDEX host_snapshots_vm ON host_snapshots (vm_id);

-- What an operator can restore: points of the store, with their snapshot if there is one, and snapshots without a point.
CREATE VIEW restorable_points AS
SELECT p.number, p.id, p.vm_id, p.vm_name, p.kind, p.job_id, p.time_ms, p.consistency, p.size, 0 AS host_only,
       coalesce(h.id, '') AS host_id, coalesce(h.name, '') AS host_name, coalesce(s.until_ms, 0) AS until_ms,
       coalesce(s.disks, '') AS disks, p.deleted_ms
FROM recovery_points p
     LEFT JOIN host_snapshots s ON s.point_id = p.id AND s.vm_id = p.vm_id AND NOT s.unwanted AND s.until_ms > strftime('%s', 'now') * 1000
     LEFT JOIN hosts h ON h.id = s.host_id
UNION ALL
SELECT s.number, s.point_id, s.vm_id, s.vm_name, s.kind, s.job_id, s.time_ms, s.consistency, s.size, 1, h.id, h.name,
       s.until_ms, s.disks, 0
FROM host_snapshots s JOIN hosts h ON h.id = s.host_id
WHERE NOT s.unwanted AND s.until_ms > strftime('%s', 'now') * 1000
      AND NOT EXISTS (SELECT 1 FROM recovery_points p WHERE p.id = s.point_id);
