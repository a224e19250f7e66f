#!/usr/bin/env bash
# Enrolment: a token works once, only at its own server; certificates of another server and of a retired host are refused.
. "$(dirname "$0")/../lib/world.sh"
server_init
server_start
agent=$HOLDFAST_BIN/holdfast-agent

expect_code ENROL_TOKEN_INVALID "$agent" enrol "127.0.0.1:$agent_port" --token nonsense --data "$world/a"
token=$(ask host token | jq -r .token)
# the same authority, a secret that was never given out
wrong=$(sed 's/[0-9a-f]\{8\}$/00000000/' <<<"$token")
expect_code ENROL_TOKEN_INVALID "$agent" enrol "127.0.0.1:$agent_port" --token "$wrong" --data "$world/a"
expect_status 3 "$agent" enrol 127.0.0.1:1 --token "$token" --data "$world/a"
expect_status 2 "$agent" enrol
expect_code NOT_INITIALIZED "$agent" run --data "$world/a"

"$agent" enrol "127.0.0.1:$agent_port" --token "$token" --data "$world/agent"
expect_code ENROL_TOKEN_INVALID "$agent" enrol "127.0.0.1:$agent_port" --token "$token" --data "$world/b"
agent_start
host=$(host_name)
[ "$(stat -c %a "$world/agent/agent.key")" = 600 ] || fail "the key can be read by others"

# a second agent on the same directory
expect_status 1 "$agent" run --data "$world/agent"

# another server: its token names another authority, its certificates are refused here
"$HOLDFAST_BIN/holdfastd" init --data "$world/other" --listen 127.0.0.1 --agent-port "$(free_port 19400)" \
    --api-port "$(free_port 19500)" >/dev/null
cp -r "$world/agent" "$world/foreign"
cp "$world/other/ca.pem" "$world/foreign/ca.pem"
rm -f "$world/foreign/lock"
"$agent" run --data "$world/foreign" >"$world/foreign.log" 2>&1 &
foreign=$!
wait_for 30 grep -q HOST_CERT_REFUSED "$world/foreign.log" || fail "a server of another authority was trusted"
kill "$foreign"
wait "$foreign" || true

# retired: closed at once, refused from then on
cli host retire "$host"
wait_for 30 grep -q HOST_CERT_REFUSED "$world/agent.log" || fail "the retired host was not told why"
wait_for 10 host_is connected && fail "the retired host came back" || true
[ "$(ask host show "$host" | jq -r .state)" = retired ] || fail "the host is not retired"
