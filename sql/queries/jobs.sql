-- name: job_insert
INSERT INTO jobs (
    id, type, state, snapshot_state, transfer_state, vm_id, vm_name, host_id, host_name, group_id, point_id,
    requested_by, on_demand, full, mode, reason, step, retain_until_ms, attempt, max_attempts, next_attempt_ms,
    error_code, error_message, error_cause, done_bytes, total_bytes, wire_bytes, stored_bytes, rate,
    created_ms, started_ms, snapshot_started_ms, snapshot_finished_ms, transfer_started_ms,
    transfer_finished_ms, finished_ms, restore_to_original, restore_start, restore_stop_running, restore_name,
    restore_directory, restored_uuid, restored_name, bandwidth, restore_networks, restore_pool, restore_format)
VALUES (
    ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23,
    ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33, ?34, ?35, ?36, ?37, ?38, ?39, ?40, ?41, ?42, ?43, ?44,
    ?45, ?46, ?47);

-- name: job_update
UPDATE jobs SET
    type = ?2, state = ?3, snapshot_state = ?4, transfer_state = ?5, vm_id = ?6, vm_name = ?7, host_id = ?8,
    host_name = ?9, group_id = ?10, point_id = ?11, requested_by = ?12, on_demand = ?13, full = ?14,
    mode = ?15, reason = ?16, step = ?17, retain_until_ms = ?18, attempt = ?19, max_attempts = ?20,
    next_attempt_ms = ?21, error_code = ?22, error_message = ?23, error_cause = ?24, done_bytes = ?25,
    total_bytes = ?26, wire_bytes = ?27, stored_bytes = ?28, rate = ?29, created_ms = ?30, started_ms = ?31,
    snapshot_started_ms = ?32, snapshot_finished_ms = ?33, transfer_started_ms = ?34,
    transfer_finished_ms = ?35, finished_ms = ?36, restore_to_original = ?37, restore_start = ?38,
    restore_stop_running = ?39, restore_name = ?40, restore_directory = ?41, restored_uuid = ?42,
    restored_name = ?43, bandwidth = ?44, restore_networks = ?45, restore_pool = ?46, restore_format = ?47
WHERE id = ?1;

-- All columns of a job.
-- fragment: job_columns
SELECT
    number, id, type, state, snapshot_state, transfer_state, vm_id, vm_name, host_id, host_name, group_id,
    point_id, requested_by, on_demand, full, mode, reason, step, retain_until_ms, attempt, max_attempts,
    next_attempt_ms, error_code, error_message, error_cause, done_bytes, total_bytes, wire_bytes, stored_bytes,
    rate, created_ms, started_ms, snapshot_started_ms, snapshot_finished_ms, transfer_started_ms,
    transfer_finished_ms, finished_ms, restore_to_original, restore_start, restore_stop_running, restore_name,
    restore_directory, restored_uuid, restored_name, bandwidth, restore_networks, restore_pool, restore_format

-- name: job_by_id
{job_columns}
FROM jobs WHERE id = ?1;

-- The second bound is just behind every id that begins with ?1.
-- name: job_by_prefix
{job_columns}
FROM jobs WHERE id >= ?1 AND id < ?1 || 'g' LIMIT 2;

-- name: job_by_number
{job_columns}
FROM jobs WHERE number = ?1;

-- name: job_list_open
{job_columns}
FROM jobs INDEXED BY jobs_open WHERE state IN ('queued', 'running') ORDER BY number;

-- name: job_last_scheduled
SELECT created_ms FROM jobs
WHERE vm_id = ?1 AND type = 'backup' AND requested_by = 'schedule' ORDER BY number DESC LIMIT 1;

-- No more than ?6 entries a job.
-- name: job_log_add
INSERT INTO job_log (job_id, time_ms, level, code, message)
SELECT ?1, ?2, ?3, ?4, ?5 WHERE (SELECT COUNT(*) FROM job_log WHERE job_id = ?1) < ?6;

-- name: job_log_list
SELECT number, time_ms, level, code, message FROM job_log WHERE job_id = ?1 AND number > ?2 ORDER BY number LIMIT ?3;
