#!/usr/bin/env bash
# What does not exist, is not allowed or can't be reached: the documented exit status, the code, the object's name.
. "$(dirname "$0")/../lib/test.sh"
server_begin
agent_begin alpha

step "no such thing: 5"
expect_error 5 VM_NOT_FOUND ghost holdfast backup ghost --wait
expect_error 5 VM_NOT_FOUND ghost holdfast vm show alpha/ghost
expect_error 5 VM_NOT_FOUND ghost holdfast rp list ghost
expect_error 5 HOST_NOT_FOUND nowhere holdfast host show nowhere
expect_error 5 RP_NOT_FOUND 11111111 holdfast rp show 11111111-2222-3333-4444-555555555555
expect_error 5 RP_NOT_FOUND 11111111 holdfast restore vm 11111111-2222-3333-4444-555555555555 --to-host alpha --wait
expect_error 5 JOB_NOT_FOUND 11111111 holdfast job show 11111111-2222-3333-4444-555555555555
expect_error 5 POLICY_NOT_FOUND nothing holdfast policy show nothing
expect_error 5 GROUP_NOT_FOUND nothing holdfast group show nothing

step "usage: 2"
expect 2 holdfast backup
expect 2 holdfast frobnicate
expect 2 holdfast vm show alpha/ghost --no-such-option
expect 2 "$HOLDFAST_BIN/holdfast-agent" frobnicate
expect 2 "$HOLDFAST_BIN/holdfastd" frobnicate
for empty in 'vm show' 'rp show' 'job show' 'notify show' login; do
    read -r -a words <<<"$empty"
    expect_error 2 REQUEST_INVALID empty holdfast "${words[@]}" ''
done
expect_error 2 REQUEST_INVALID bogus holdfast job list --state bogus
expect_error 2 REQUEST_INVALID bogus holdfast job list --type bogus
expect_error 2 REQUEST_INVALID until holdfast job list --until bogus
expect 2 "$HOLDFAST_BIN/holdfastd" frobnicate
said frobnicate
expect 2 "$HOLDFAST_BIN/holdfastd" run --frobnicate
said frobnicate
expect 2 "$HOLDFAST_BIN/holdfastd" run --data ''
expect 2 "$HOLDFAST_BIN/holdfastd" init --data "$work/none" --agent-port 7 --api-port 7
expect 2 "$HOLDFAST_BIN/holdfastd" init --data "$work/none" --agent-port 7461
[ ! -e "$work/none" ] || fail "a server with one port for two was made"
expect 2 "$HOLDFAST_BIN/holdfast-agent" frobnicate
said frobnicate
without_output() { holdfast vm list >&-; } # nor may a connection take its number
expect 1 without_output
said FILE_FAILED
expect 0 holdfast --help
expect 0 holdfast backup --help

step "errors as JSON"
expect 5 holdfast vm show ghost --json
cat "$work/out" "$work/err" | jq -e '.code == "VM_NOT_FOUND" and (.message | length > 0) and (.action | length > 0)' \
    >/dev/null || fail "the error is not the JSON object that scripts rely on"

step "not permitted: 4"
printf 'not the token\n' >"$work/token"
expect 4 holdfast login "https://127.0.0.1:$api_port" --ca "$work/server/ca.pem" --token-file "$work/token" \
    --config "$work/other.json"
status=$(curl -s -o /dev/null -w '%{http_code}' --cacert "$work/server/ca.pem" "https://127.0.0.1:$api_port/v1/status")
equal 401 "$status" "HTTP status without a token"

step "the host is gone: 6; the server is gone: 3"
stop alpha
wait_for 20 host_is alpha unreachable || fail "the server does not notice that the agent has gone"
expect_error 6 HOST_UNREACHABLE alpha holdfast vm discover alpha
stop server
expect 3 holdfast status
