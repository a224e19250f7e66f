# A server and an agent of a test's own, on loopback, with everything below one directory. To be sourced by tests.
#
# The test fails with the line that failed; at its end every process is ended by its pid, and what a sanitizer said makes
# the test fail.
set -euo pipefail
. "$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/deploy/lib.sh"

: "${HOLDFAST_BIN:?the folder of the programs}"
world=$(mktemp -d "${TMPDIR:-/tmp}/holdfast-test.XXXXXX")
export HOLDFAST_CONFIG=$world/client.json
export ASAN_OPTIONS=log_path=$world/sanitizer:detect_leaks=1:${ASAN_OPTIONS:-}
export UBSAN_OPTIONS=log_path=$world/sanitizer:print_stacktrace=1
export LSAN_OPTIONS=suppressions=$top/tests/lib/lsan.supp:print_suppressions=0

requires() {
    local tool
    for tool in "$@"; do
        command -v "$tool" >/dev/null || fail "this test needs $tool"
    done
}

fail() {
    printf 'FAIL: %s\n' "$*" >&2
    exit 1
}

world_end() {
    local status=$?
    trap - EXIT
    agent_stop || true
    server_stop || true
    type world_cleanup >/dev/null 2>&1 && world_cleanup || true
    if compgen -G "$world/sanitizer*" >/dev/null; then
        cat "$world"/sanitizer* >&2
        status=1
    fi
    if [ $status -ne 0 ]; then
        tail -n 30 "$world"/*.log >&2 2>/dev/null || true
    fi
    rm -rf "$world"
    exit $status
}
trap world_end EXIT
trap 'printf "FAIL: %s, line %s: %s\n" "$0" "$LINENO" "$BASH_COMMAND" >&2' ERR

cli() { "$HOLDFAST_BIN/holdfast" "$@"; }
ask() { "$HOLDFAST_BIN/holdfast" --json "$@"; }

# --- server

server_init() {
    "$HOLDFAST_BIN/holdfastd" init --data "$world/server" --listen 127.0.0.1 \
        --agent-port "$(free_port $((20000 + RANDOM % 20000)))" --api-port "$(free_port $((41000 + RANDOM % 20000)))" \
        "$@" >"$world/init.log" 2>&1
    agent_port=$(awk -F' *= *' '$1 == "agent-port" {print $2}' "$world/server/holdfastd.conf")
    api_port=$(awk -F' *= *' '$1 == "api-port" {print $2}' "$world/server/holdfastd.conf")
    # tests wait for nothing that they can have sooner
    printf 'retry-delay-seconds = 1\n' >>"$world/server/holdfastd.conf"
}

server_start() {
    "$HOLDFAST_BIN/holdfastd" run --data "$world/server" >>"$world/server.log" 2>&1 </dev/null &
    server_pid=$!
    wait_for 60 cli login "https://127.0.0.1:$api_port" --ca "$world/server/ca.pem" \
        --token-file "$world/server/admin.token" || fail "the server did not start"
}

# End it and wait; with -9 without a chance to clean up.
server_stop() {
    [ -n "${server_pid:-}" ] || return 0
    kill "${1:--TERM}" "$server_pid" 2>/dev/null || true
    wait "$server_pid" 2>/dev/null || true
    server_pid=
}

# --- agent

agent_enrol() { # [NAME]
    local token
    token=$(ask host token | jq -r .token)
    "$HOLDFAST_BIN/holdfast-agent" enrol "127.0.0.1:$agent_port" --token "$token" --data "$world/${1:-agent}" \
        >>"$world/enrol.log" 2>&1
}

agent_start() { # [OPTION...]
    "$HOLDFAST_BIN/holdfast-agent" run --data "$world/agent" "$@" >>"$world/agent.log" 2>&1 </dev/null &
    agent_pid=$!
    wait_for 60 host_is connected || fail "the agent did not connect"
}

agent_stop() {
    [ -n "${agent_pid:-}" ] || return 0
    kill "${1:--TERM}" "$agent_pid" 2>/dev/null || true
    wait "$agent_pid" 2>/dev/null || true
    agent_pid=
}

host_is() { [ "$(ask host list | jq -r '[.items[] | select(.state != "retired")][0].state')" = "$1" ]; }
host_name() { ask host list | jq -r '[.items[] | select(.state != "retired")][0].name'; }

add_image() { "$HOLDFAST_BIN/holdfast-agent" add-image "$@" --data "$world/agent" >>"$world/enrol.log" 2>&1; }

vm_known() { [ "$(ask vm list | jq --arg n "$1" '[.items[] | select(.name == $n)] | length')" -ge 1 ]; }

# world_with_image NAME DISK...: a server, an agent, and a datasource.
world_with_image() {
    server_init
    server_start
    agent_enrol
    add_image "$@"
    agent_start
    wait_for 30 vm_known "$1" || fail "the agent did not report $1"
}

# --- jobs and points

last_job() { ask job list --limit 1 | jq -r '.items[0].id'; }
job_field() { ask job show "$1" | jq -r "$2"; }
job_state_is() { [ "$(job_field "$1" .state)" = "$2" ]; }
job_is_over() { job_field "$1" .state | grep -Eq '^(completed|completed-with-warnings|failed|cancelled)$'; }
points() { ask rp list "$1" | jq -r '.items[].id'; } # newest first
newest_point() { points "$1" | head -n 1; }

# expect_status WANTED COMMAND...: its exit status; what it said is in $said.
expect_status() {
    local wanted=$1 got=0
    shift
    said=$("$@" 2>&1) || got=$?
    [ "$got" -eq "$wanted" ] || fail "exit status $got instead of $wanted from: $* ($said)"
}

# expect_code CODE COMMAND...: it fails and names this error.
expect_code() {
    local code=$1
    shift
    if said=$("$@" 2>&1); then fail "this should have failed with $code: $*"; fi
    grep -q "$code" <<<"$said" || fail "instead of $code: $said"
}

same_file() { cmp "$1" "$2" || fail "$1 and $2 differ"; }
