#!/usr/bin/env bash
# A host is enrolled once per token, trusts only the server that enrolled it, and a retired host is shut out.
. "$(dirname "$0")/../lib/test.sh"
requires openssl
server_begin

step "a token that no server made"
expect_error 4 ENROL_TOKEN_INVALID token enrol alpha not-a-token
[ ! -e "$work/alpha/agent.json" ] || fail "a refused host keeps an enrolment"

step "a token with another secret, and one with another server's fingerprint"
token=$(value .token host token)
middle=$((${#token} / 2))
swap() { case $1 in 0) printf 1 ;; *) printf 0 ;; esac; }
first=$(swap "${token:1:1}")
last=$(swap "${token: -1}")
expect_error 4 ENROL_TOKEN_INVALID token enrol alpha "${token:0:1}$first${token:2}" || true
expect 4 enrol alpha "${token%?}$last" || true
less 8 "$middle" "half the length of a token"

step "a token works once"
enrol alpha "$token"
expect_error 4 ENROL_TOKEN_INVALID token enrol beta "$token"

step "a token expires"
token=$(value .token host token --ttl 1)
expires() { [ "$(date +%s)" -gt "$(date -d "$1" +%s)" ]; }
until_then=$(date -d '+2 seconds' --iso-8601=seconds)
wait_for 10 expires "$until_then"
expect_error 4 ENROL_TOKEN_INVALID token enrol beta "$token"

step "the enrolled host connects"
agent_start alpha
equal connected "$(value '.items[] | select(.name == "alpha") | .state' host list)" "state of alpha"

step "another server at the same address is not trusted, and does not let the host in"
stop alpha
stop server
mv "$work/server" "$work/first"
"$HOLDFAST_BIN/holdfastd" init --data "$work/server" --listen 127.0.0.1 --agent-port "$agent_port" \
    --api-port "$api_port"
server_start
start alpha on_host alpha "$HOLDFAST_BIN/holdfast-agent" run --data "$work/alpha"
refused() { grep -q 'TLS_FAILED\|HOST_CERT_REFUSED' "$work/alpha.log"; }
wait_for 30 refused || fail "the agent does not say that it refuses the server"
equal 0 "$(value '.items | length' host list)" "number of hosts of the other server"
stop alpha

step "even if the agent is told to trust it"
cp "$work/alpha/ca.pem" "$work/alpha-ca.pem"
cp "$work/server/ca.pem" "$work/alpha/ca.pem"
: >"$work/alpha.log"
start alpha on_host alpha "$HOLDFAST_BIN/holdfast-agent" run --data "$work/alpha"
wait_for 30 grep -q 'TLS_FAILED\|HOST_CERT_REFUSED\|CONNECTION_LOST' "$work/alpha.log" ||
    fail "the agent does not say that it was refused"
equal 0 "$(value '.items | length' host list)" "number of hosts of the other server"
stop alpha
cp "$work/alpha-ca.pem" "$work/alpha/ca.pem"

step "back at its own server"
stop server
rm -rf "$work/server"
mv "$work/first" "$work/server"
server_start
agent_start alpha

step "a retired host is shut out at once, and for good"
holdfast host retire alpha >/dev/null
equal retired "$(value '.items[] | select(.name == "alpha") | .state' host list)" "state of alpha"
wait_for 30 grep -q HOST_CERT_REFUSED "$work/alpha.log" || fail "the agent does not say that it was refused"
stop alpha
