#!/usr/bin/env bash
# A host whose agent goes away while the server is still noting that it has come is not taken for connected.
. "$(dirname "$0")/../lib/test.sh"
requires "$python"
server_begin
enrol alpha "$(value .token host token)" >>"$work/enrol.log"
enrol beta "$(value .token host token)" >>"$work/enrol.log"

step 'nobody else can write the catalog'
"$python" - "$work/server/catalog.db" "$work/locked" "$work/release" <<'P' &
import os, sqlite3, sys, time
catalog = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
catalog.execute("BEGIN IMMEDIATE")
open(sys.argv[2], "w").close()
while not os.path.exists(sys.argv[3]):
    time.sleep(0.01)
catalog.execute("ROLLBACK")
P
holder=$!
at_end "kill $holder 2>/dev/null || true"
wait_for 20 test -e "$work/locked" || fail "the catalog is not locked"

step 'the agent comes, and is killed'
start alpha on_host alpha "$HOLDFAST_BIN/holdfast-agent" run --data "$work/alpha"
has_come() { ss -Htn state established "( sport = :$agent_port )" | grep : >/dev/null; }
wait_for 20 has_come || fail "the agent does not connect"
sleep 1 # shorter than the server waits for the catalog; without it, what comes is right all the same
kill_hard alpha
touch "$work/release"
wait "$holder" || fail "the catalog was not let go"

step 'what was noted of it'
agent_start beta # its registration is behind that of alpha
wait_for 20 host_is alpha unreachable || fail "a host is connected whose agent is gone"
sleep 0.5
host_is alpha unreachable || fail "a host is connected whose agent is gone"
