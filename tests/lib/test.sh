# What the scripts of tests/component and tests/e2e share. Source it first:
#
#   . "$(dirname "$0")/../lib/test.sh"
#   requires qemu-img
#   server_begin
#   agent_begin alpha
#
# Each script has a directory of its own ($work), ports of its own, and a server and agents from $HOLDFAST_BIN. At the
# end they are stopped by pid and must end well; whatever a sanitizer wrote makes the test fail. Nothing is skipped: a
# tool that is missing is a failure.
# shellcheck shell=bash

set -euo pipefail

tests=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=deploy/lib.sh
. "$tests/../deploy/lib.sh"

python=/usr/bin/python3 # the one that Debian's python3-* packages are for
HOLDFAST_BIN=${HOLDFAST_BIN:-$top/build-debug/bin}
HOLDFAST_TESTS=${HOLDFAST_TESTS:-$HOLDFAST_BIN/../tests}
work=$(mktemp -d "${TMPDIR:-/tmp}/holdfast-test.XXXXXX")
chmod 755 "$work"
mkdir "$work/sanitizer"
export HOLDFAST_CONFIG=$work/login.json
export ASAN_OPTIONS=log_path=$work/sanitizer/report:exitcode=99:${ASAN_OPTIONS:-}
export UBSAN_OPTIONS=log_path=$work/sanitizer/report:print_stacktrace=1:${UBSAN_OPTIONS:-}
export TSAN_OPTIONS=log_path=$work/sanitizer/report:exitcode=99:${TSAN_OPTIONS:-}
export LSAN_OPTIONS=suppressions=$tests/lib/lsan.supp:print_suppressions=0

# shellcheck disable=SC2034 # wait_for's: other tests run beside this one, and nothing is timed
patience=3
processes=()    # names of what runs; its pid is in $work/NAME.pid, what it said in $work/NAME.log
end_commands=() # run at the end, the last first

# --- results ---------------------------------------------------------------------------------------------------------

fail() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}

step() { printf '%s %s\n' "$(date +%T)" "$*"; }

# requires PROGRAM...
requires() {
    local program
    for program in "$@"; do
        command -v "$program" >/dev/null || fail "this test needs $program"
    done
}

# at_end COMMAND: also when the test fails.
at_end() { end_commands+=("$1"); }

finish() {
    local status=$? name log
    trap - EXIT INT TERM
    set +e
    [ "$status" -eq 0 ] || ss -tlnp >"$work/listening.log" 2>&1
    for name in "${processes[@]}"; do
        end_well "$name" || status=1
    done
    local i
    for ((i = ${#end_commands[@]} - 1; i >= 0; i--)); do
        eval "${end_commands[i]}" || printf 'at the end: %s failed\n' "${end_commands[i]}" >&2
    done
    for log in "$work"/sanitizer/*; do
        [ -e "$log" ] || continue
        printf -- '--- %s\n' "$log" >&2
        head -n 60 "$log" >&2
        status=1
    done
    if [ "$status" -ne 0 ]; then
        for log in "$work"/*.log; do
            [ -e "$log" ] || continue
            printf -- '--- the end of %s\n' "$(basename "$log")" >&2
            tail -n 30 "$log" >&2
        done
    fi
    if [ -n "${HOLDFAST_KEEP:-}" ]; then
        printf 'kept: %s\n' "$work"
    else
        rm -rf "$work"
    fi
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# expect STATUS COMMAND...: what it printed is in $work/out and $work/err afterwards.
expect() {
    local wanted=$1 status=0
    shift
    "$@" >"$work/out" 2>"$work/err" || status=$?
    [ "$status" -eq "$wanted" ] && return 0
    head -n 20 "$work/out" "$work/err" >&2
    fail "exit status $status instead of $wanted: $*"
}

# expect_error STATUS CODE TEXT COMMAND...: fails with this code of the catalogue, and names TEXT (an object).
expect_error() {
    local status=$1 code=$2 text=$3
    shift 3
    expect "$status" "$@"
    said "$code" || fail "not $code: $*"
    said "$text" || fail "$text is not named: $*"
}

# said TEXT: the last expected command printed it.
said() { grep -qF -- "$1" "$work/out" "$work/err" || { cat "$work/out" "$work/err" >&2; return 1; }; }

# equal WANTED GOT WHAT
equal() { [ "$1" = "$2" ] || fail "$3 is '$2' instead of '$1'"; }

# expect_code CODE COMMAND...: fails with this code of the catalogue.
expect_code() {
    local code=$1 status=0
    shift
    "$@" >"$work/out" 2>"$work/err" || status=$?
    [ "$status" -ne 0 ] || fail "this should have failed with $code: $*"
    said "$code" || fail "not $code: $*"
}

same_file() { cmp "$1" "$2" || fail "$1 and $2 differ"; }

# less A B WHAT: numbers
less() { [ "$1" -lt "$2" ] || fail "$3: $1 is not less than $2"; }

# --- processes -------------------------------------------------------------------------------------------------------

# The ports of this test are a block that no other test has while it, or what it started, runs: a server that was stopped
# finds its port free again.
ports_of_a_test=20
reserve_ports() {
    local directory="${TMPDIR:-/tmp}/holdfast-test-ports.$UID" block lock
    mkdir -p "$directory"
    for ((block = 0; block < 1000; block++)); do
        exec {lock}>"$directory/$block"
        if flock --nonblock "$lock"; then # until the last process that inherits it has ended
            printf '%s\n' $((10000 + block * ports_of_a_test)) >"$work/port"
            return 0
        fi
        exec {lock}>&-
    done
    fail "no ports are left"
}
reserve_ports

# pick_port: another one of this test, that nobody listens on.
pick_port() {
    local port last
    port=$(cat "$work/port")
    last=$((port - port % ports_of_a_test + ports_of_a_test - 1))
    while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
    [ "$port" -lt "$last" ] || fail "this test needs more than $ports_of_a_test ports"
    printf '%s\n' $((port + 1)) >"$work/port"
    printf '%s\n' "$port"
}

# start NAME COMMAND...: in the background, in this shell, so that it can be waited for.
start() {
    local name=$1
    shift
    "$@" >>"$work/$name.log" 2>&1 </dev/null &
    printf '%s\n' $! >"$work/$name.pid"
    processes+=("$name")
}

pid_of() { cat "$work/$1.pid"; }

forget() {
    local name left=()
    for name in "${processes[@]}"; do
        [ "$name" = "$1" ] || left+=("$name")
    done
    processes=("${left[@]}")
    rm -f "$work/$1.pid"
}

# ended PID: gone, or a zombie that waits for us.
ended() { [ ! -e "/proc/$1" ] || [ "$(awk '{print $3}' "/proc/$1/stat" 2>/dev/null)" = Z ]; }

# end_well NAME: SIGTERM; it must end by itself, with status 0.
end_well() {
    local pid status=0
    pid=$(pid_of "$1")
    forget "$1"
    if ended "$pid"; then
        printf '%s ended before it was told to\n' "$1" >&2
        return 1
    fi
    kill -CONT "$pid"
    kill "$pid"
    if ! wait_for 30 ended "$pid"; then
        kill -9 "$pid"
        printf '%s did not end in time after SIGTERM\n' "$1" >&2
        return 1
    fi
    wait "$pid" 2>/dev/null || status=$?
    [ "$status" -eq 0 ] || printf '%s ended with status %s\n' "$1" "$status" >&2
    return "$status"
}

stop() { end_well "$1" || fail "see above"; }

# kill_hard NAME: SIGKILL.
kill_hard() {
    local pid
    pid=$(pid_of "$1")
    kill -9 "$pid"
    wait_for 10 ended "$pid" || fail "$1 could not be killed"
    wait "$pid" 2>/dev/null || true
    forget "$1"
}

# --- server, agents, operator ----------------------------------------------------------------------------------------

holdfast() { "$HOLDFAST_BIN/holdfast" "$@"; }

# value FILTER COMMAND...: one value of the JSON that `holdfast COMMAND --json` prints.
value() {
    local filter=$1
    shift
    holdfast "$@" --json | jq -r "$filter"
}

# server_init [OPTION...]: of `holdfastd init`. The retry delay is short: tests wait for nothing that they can have sooner.
# How full the machine's disk is, is no matter of theirs.
server_init() {
    agent_port=$(pick_port)
    api_port=$(pick_port)
    "$HOLDFAST_BIN/holdfastd" init --data "$work/server" --listen 127.0.0.1 --agent-port "$agent_port" \
        --api-port "$api_port" "$@" >>"$work/init.log"
    cat >>"$work/server/holdfastd.conf" <<'X'
retry-delay-seconds = 1
min-interval-minutes = 1
capacity-warning-percent = 100
capacity-critical-percent = 100
X
}

server_start() {
    start server "$HOLDFAST_BIN/holdfastd" run --data "$work/server"
    wait_for 30 login || { login || true; fail "the server does not answer"; }
}

# set_clock WALL_DAYS BOOT_DAYS: the wall clock of a server that was begun with a clock of its own, against noon of the
# last Wednesday, and its count of time, against the machine's.
set_clock() {
    clock_base=${clock_base:-$(($(date -u -d 'last wednesday 12:00' +%s) - $(date +%s)))}
    printf '%s %s\n' $((clock_base + $1 * 86400)) $(($2 * 86400)) >"$work/clock.new"
    mv "$work/clock.new" "$work/clock"
}

# day WALL_DAYS: its date, as 2026-01-31.
day() { date -u -d "@$(($(date +%s) + clock_base + $1 * 86400))" +%F; }

# server_start_shifted: as server_start, with that clock.
server_start_shifted() {
    ASAN_OPTIONS=$ASAN_OPTIONS:verify_asan_link_order=0 LD_PRELOAD=$HOLDFAST_TESTS/clock_shift.so \
        HOLDFAST_CLOCK_SHIFT=$work/clock start server "$HOLDFAST_BIN/holdfastd" run --data "$work/server"
    wait_for 30 login || { login || true; fail "the server does not answer"; }
}

login() {
    holdfast login "https://127.0.0.1:$api_port" --ca "$work/server/ca.pem" --token-file "$work/server/admin.token"
}

# A server that runs, and an operator who is logged in.
server_begin() {
    requires jq "$HOLDFAST_BIN/holdfastd" "$HOLDFAST_BIN/holdfast-agent" "$HOLDFAST_BIN/holdfast"
    server_init
    server_start
}

# on_host NAME COMMAND...: where the host's name is NAME. Replaces itself with the command.
on_host() {
    # shellcheck disable=SC2016 # expanded by that shell
    exec unshare --uts -- sh -c 'hostname "$0" && exec "$@"' "$@"
}

# server_begin_at_noon: as server_begin, where it is noon now: no hour or day ends while the test runs, which a schedule
# might begin at.
server_begin_at_noon() {
    requires jq "$HOLDFAST_BIN/holdfastd" "$HOLDFAST_BIN/holdfast-agent" "$HOLDFAST_BIN/holdfast"
    server_init
    set_clock 0 0
    server_start_shifted
}

# enrol NAME TOKEN
enrol() {
    (on_host "$1" "$HOLDFAST_BIN/holdfast-agent" enrol "127.0.0.1:$agent_port" --token "$2" --data "$work/$1")
}

host_is() { [ "$(value .state host show "$1")" = "$2" ]; }
host_is_away() { ! host_is "$1" connected; }

# agent_start NAME [OPTION...]
agent_start() {
    local name=$1
    shift
    wait_for 30 host_is_away "$name" || fail "the server takes the agent of $name that ended for connected"
    start "$name" on_host "$name" "$HOLDFAST_BIN/holdfast-agent" run --data "$work/$name" "$@"
    wait_for 30 host_is "$name" connected || fail "the agent of $name does not connect"
}

# agent_begin NAME [OPTION...]: enrolled and running.
agent_begin() {
    enrol "$1" "$(value .token host token)" >>"$work/enrol.log"
    agent_start "$@"
}

# add_source COMMAND HOST NAME ARGUMENT...: and wait until the server knows it.
add_source() {
    local command=$1 host=$2 name=$3
    shift 3
    "$HOLDFAST_BIN/holdfast-agent" "$command" "$name" "$@" --data "$work/$host" >>"$work/enrol.log"
    holdfast vm discover "$host" >/dev/null
    wait_for 20 holdfast vm show "$host/$name" || fail "$name of $host is not discovered"
}
# add_image HOST NAME DISK...
add_image() { add_source add-image "$@"; }
# add_files HOST NAME PATH...
add_files() { add_source add-files "$@"; }

# --- jobs and recovery points ----------------------------------------------------------------------------------------

# begin_backup VM [OPTION...]: sets job.
begin_backup() {
    job=$(value '(.items // [.])[0].id' backup "$@")
}

job_field() { value "$1" job show "$job"; }

job_ended() {
    case $(job_field .state) in
    completed | completed-with-warnings | failed | cancelled) return 0 ;;
    *) return 1 ;;
    esac
}

# wait_job STATE [SECONDS]: the job ends in this state.
wait_job() {
    wait_for "${2:-120}" job_ended || { holdfast job show "$job" >&2; fail "job $job does not end"; }
    [ "$(job_field .state)" = "$1" ] || { holdfast job show "$job" >&2; fail "job $job is not $1"; }
}

# backup VM [OPTION...]: to its end; sets job and point.
backup() {
    begin_backup "$@"
    wait_job completed
    point=$(job_field .point)
}

# points VM: ids, newest first.
points() { value '.items[].id' rp list "$1"; }
newest_point() { value '.items[0].id // empty' rp list "$1"; }
last_job() { value '.items[0].id' job list --limit 1; }

# restore_disk POINT DISK FILE FORMAT
restore_disk() { holdfast restore disk "$1" "$2" --to "$3" --format "$4" >>"$work/restore.log" 2>&1; }

# same_disk POINT DISK FILE: the recovery point has FILE's bytes (raw).
same_disk() {
    rm -f "$work/compare.raw"
    restore_disk "$1" "$2" "$work/compare.raw" raw
    cmp "$3" "$work/compare.raw" || fail "$2 of $1 is not $3"
    rm -f "$work/compare.raw"
}

# has_arrived MIB: so much is in the server's store.
has_arrived() { [ "$(du -sm "$work/server/store/containers" | cut -f1)" -ge "$1" ]; }

# --- images ----------------------------------------------------------------------------------------------------------

# make_image FILE MIB RANDOM_MIB: raw, with a hole at its end, and zeroes, text and random bytes.
make_image() {
    truncate -s "$2M" "$1"
    head -c 1M /dev/zero | dd of="$1" bs=64K seek=1 conv=notrunc status=none
    seq 1 200000 | dd of="$1" bs=64K seek=40 conv=notrunc status=none
    scribble "$1" 4096 $(($3 * 1024))
}

# scribble FILE OFFSET_KIB LENGTH_KIB: random bytes there.
scribble() {
    head -c $(($3 * 1024)) /dev/urandom | dd of="$1" bs=1K seek="$2" conv=notrunc status=none iflag=fullblock
}
