#!/usr/bin/env bash
# The load test, small: simulated agents, a clock that runs fast, disconnects and restarts in the middle. That every VM
# has the points that its schedule and retention say, and that they are what the disks were.
. "$(dirname "$0")/../lib/test.sh"
requires "$HOLDFAST_TESTS/simulated_agents" "$HOLDFAST_TESTS/fast_clock.so"

load() {
    "$python" "$tests/load/load.py" --bin "$HOLDFAST_BIN" --tests "$HOLDFAST_TESTS" --dir "$work" "$@" || fail "see above"
}

step "50 idle agents, and a restart of the server"
load --idle 50 --idle-seconds 1 --days 0 --sanitized

step "20 VMs, 2 days, the API while jobs run"
load --idle 0 --vms 20 --groups 10 --days 2 --sample 6 --api-seconds 1 --sanitized
