#!/usr/bin/env bash
# Wrong input gets a clear error, its exit status, and changes nothing.
. "$(dirname "$0")/../lib/world.sh"
. "$top/tests/lib/images.sh"
requires curl jq
make_image "$world/disk.img" 12
world_with_image web1 "$world/disk.img"
url=https://127.0.0.1:$api_port
token=$(cat "$world/server/admin.token")
api() { curl -s --cacert "$world/server/ca.pem" -H "Authorization: Bearer $token" "$@"; }

# a second init
before=$(sha256sum "$world/server/ca.pem" "$world/server/admin.token")
"$HOLDFAST_BIN/holdfastd" init --data "$world/server" | grep -qi 'already' || fail "a second init does not say so"
[ "$(sha256sum "$world/server/ca.pem" "$world/server/admin.token")" = "$before" ] || fail "a second init changed files"
# a second server on the same store
expect_code STORE_LOCKED "$HOLDFAST_BIN/holdfastd" run --data "$world/server"

expect_status 5 cli backup nosuch
grep -q VM_NOT_FOUND <<<"$said" || fail "$said"
expect_status 5 cli rp show 00000000
expect_status 5 cli job show 00000000-0000-4000-8000-000000000000
expect_status 2 cli backup
expect_status 2 cli frobnicate
expect_status 2 cli backup web1 --nosuch
expect_status 0 cli help STORE_FULL
expect_status 0 cli --help
expect_status 0 cli backup --help
expect_status 0 cli --version

# the wrong token, no token, another path, no JSON, an unknown field
[ "$(curl -s --cacert "$world/server/ca.pem" "$url/v1/status" | jq -r .code)" = AUTHENTICATION_FAILED ]
[ "$(api -H 'Authorization: Bearer wrong' "$url/v1/status" -o /dev/null -w '%{http_code}')" != 500 ]
[ "$(api "$url/v1/nothing" | jq -r .code)" = ROUTE_NOT_FOUND ]
[ "$(api -d '{"vm":' "$url/v1/backups" | jq -r .code)" = REQUEST_INVALID ]
[ "$(api -d '{"vm":"web1","colour":"red"}' "$url/v1/backups" | jq -r .code)" = REQUEST_INVALID ]
[ "$(api -d '[]' "$url/v1/backups" | jq -r .code)" = REQUEST_INVALID ]
head -c 2000000 /dev/zero | api --data-binary @- "$url/v1/backups" -o /dev/null || true
[ "$(api "$url/v1/status" | jq -r .version)" != null ] || fail "the server does not answer any more"

echo wrong >"$world/wrong.token"
expect_status 4 cli login "$url" --ca "$world/server/ca.pem" --token-file "$world/wrong.token"
expect_status 3 cli login https://127.0.0.1:1 --ca "$world/server/ca.pem" --token-file "$world/server/admin.token"
cli login "$url" --ca "$world/server/ca.pem" --token-file "$world/server/admin.token"

# garbage instead of TLS, and a connection that never says anything, do not disturb the agents
head -c 100000 /dev/urandom >"/dev/tcp/127.0.0.1/$agent_port" || true
exec 5<>"/dev/tcp/127.0.0.1/$agent_port"
cli backup web1 --wait
exec 5>&-

# a disk that shrinks while it is protected
truncate -s 4M "$world/disk.img"
cli backup web1 --wait || true
[ "$(points web1 | wc -l)" -ge 1 ] || fail "the first point is gone"

# two hosts with VMs of one name
mv "$world/agent" "$world/agent1"
first_pid=$agent_pid
agent_enrol
add_image web1 "$world/disk.img"
"$HOLDFAST_BIN/holdfast-agent" run --data "$world/agent" >>"$world/agent2.log" 2>&1 </dev/null &
second_pid=$!
twice() { [ "$(ask vm list | jq '[.items[] | select(.name == "web1")] | length')" -eq 2 ]; }
wait_for 60 twice || { kill "$second_pid"; fail "the second VM of that name is not known"; }
expect_code VM_AMBIGUOUS cli backup web1
kill "$second_pid"
wait "$second_pid" || true
agent_pid=$first_pid
