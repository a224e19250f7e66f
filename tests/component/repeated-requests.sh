#!/usr/bin/env bash
# A request that comes again with its Idempotency-Key is answered, not done again.
. "$(dirname "$0")/../lib/test.sh"
requires curl jq "$python"
server_begin
agent_begin alpha
for name in a b; do
    make_image "$work/$name.raw" 8 1
    add_image alpha "$name" "$work/$name.raw"
done
url=https://127.0.0.1:$api_port
auth="Authorization: Bearer $(cat "$work/server/admin.token")"

# ask KEY PATH BODY [OPTION...]: prints the HTTP status; the answer is in $work/answer-KEY.
ask() {
    local key=$1 path=$2 body=$3
    shift 3
    curl -s -o "$work/answer-$key" -w '%{http_code}' --max-time 30 --cacert "$work/server/ca.pem" -H "$auth" \
        -H "Idempotency-Key: $key" -d "$body" "$@" "$url$path"
}
code() { jq -r .code "$work/answer-$1"; }
jobs_of() { value '.items | length' job list --vm "$1"; }
job_of() { jq -r '.items[0].id' "$work/answer-$1"; }

step "the same key, the same request: the same job"
equal 202 "$(ask first /v1/backups '{"vm": "a"}')" "HTTP status"
job=$(job_of first)
cp "$work/answer-first" "$work/before"
equal 202 "$(ask first /v1/backups '{ "vm":"a" }')" "HTTP status of the repetition"
cmp "$work/before" "$work/answer-first" || fail "the repetition got another answer"
equal 1 "$(jobs_of a)" "jobs"
wait_job completed
equal 202 "$(ask first /v1/backups '{"vm": "a"}')" "HTTP status when the job has ended"
equal "$job" "$(job_of first)" "the job of the repetition"

step "the same key for something else"
equal 409 "$(ask first /v1/backups '{"vm": "b"}')" "HTTP status of another body"
equal IDEMPOTENCY_CONFLICT "$(code first)" "its code"
equal 409 "$(ask first /v1/checks '{"vm": "a"}')" "HTTP status of another path"
equal 0 "$(jobs_of b)" "jobs of b"

step "keys that are none"
equal 400 "$(ask "$(printf 'x%.0s' $(seq 200))" /v1/backups '{"vm": "b"}')" "HTTP status of a long key"
equal 400 "$(ask 'two words' /v1/backups '{"vm": "b"}')" "HTTP status of a key with a space"

step "what failed may be asked again"
equal 404 "$(ask failing /v1/policies/none '{"enabled": true}' -X PATCH)" "HTTP status"
equal 201 "$(ask failing /v1/policies '{"name": "other"}')" "HTTP status of another request with the key of one that failed"

step "ten at once"
pids=()
for n in $(seq 10); do
    curl -s -o "$work/once-$n" --max-time 30 --cacert "$work/server/ca.pem" -H "$auth" -H 'Idempotency-Key: at-once' \
        -d '{"vm": "b"}' "$url/v1/checks" &
    pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid"; done
equal 1 "$(jobs_of b)" "jobs of ten requests at once"
equal 1 "$(jq -r '.items[0].id // .code' "$work"/once-* | sort -u | grep -vc IDEMPOTENCY_RUNNING)" "different answers"
job=$(last_job)
wait_job completed

step "a secret is shown once"
equal 201 "$(ask token /v1/host-tokens '{}')" "HTTP status"
equal 409 "$(ask token /v1/host-tokens '{}')" "HTTP status of the repetition"
equal IDEMPOTENCY_UNKNOWN "$(code token)" "its code"

step "restarts of the server"
holdfast host drain alpha >/dev/null
stop server
"$python" - "$work/server/catalog.db" <<'P'
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1])
assert not any("hf1-" in row[0] for row in database.execute("SELECT answer FROM idempotency_keys"))
row = database.execute("SELECT fingerprint FROM idempotency_keys WHERE key = 'first'").fetchone()
database.execute("INSERT INTO idempotency_keys (actor, key, fingerprint, state, created_ms, status, answer)"
                 " SELECT actor, 'interrupted', fingerprint, 'running', created_ms, 0, '' FROM idempotency_keys WHERE key = 'first'")
day = int(time.time() * 1000) - 25 * 3600 * 1000
database.execute("UPDATE idempotency_keys SET created_ms = ? WHERE key = 'token'", (day,))
database.commit()
P
server_start
equal 202 "$(ask first /v1/backups '{"vm": "a"}')" "HTTP status after a restart"
equal 409 "$(ask interrupted /v1/backups '{"vm": "a"}')" "HTTP status of one that a kill interrupted"
equal IDEMPOTENCY_UNKNOWN "$(code interrupted)" "its code"
equal 201 "$(ask token /v1/host-tokens '{}')" "HTTP status of a key that is older than a day"
wait_for 30 host_is alpha connected || fail "the agent does not come back"
holdfast host resume alpha >/dev/null

step "the command line over connections that are cut off before each answer"
proxy_port=$(pick_port)
start cutting "$python" "$tests/lib/cutting_proxy.py" "$proxy_port" "$api_port" "$work/server" "$work/requests.txt"
try_login() {
    holdfast login "https://127.0.0.1:$proxy_port" --ca "$work/server/ca.pem" --token-file "$work/server/admin.token" \
        --config "$work/cut.json"
}
wait_for 20 try_login || fail "no login through the proxy"
before=$(jobs_of a)
holdfast backup a --config "$work/cut.json" >"$work/out" || fail "the command does not get over a lost answer"
equal $((before + 1)) "$(jobs_of a)" "jobs after a lost answer"
equal 2 "$(grep -c 'POST /v1/backups' "$work/requests.txt")" "requests"
equal 1 "$(grep 'POST /v1/backups' "$work/requests.txt" | sort -u | wc -l)" "keys"
kill_hard cutting
job=$(last_job)
wait_job completed
