#!/usr/bin/env bash
# A second init changes nothing and says so; the server starts only on what was initialized, and once.
. "$(dirname "$0")/../lib/test.sh"
requires jq

expect 6 "$HOLDFAST_BIN/holdfastd" run --data "$work/server"
said NOT_INITIALIZED
server_init
sums() { (cd "$work/server" && find . -type f ! -name lock -exec sha256sum {} + | sort); }
before=$(sums)
expect 0 "$HOLDFAST_BIN/holdfastd" init --data "$work/server" --listen 127.0.0.1 --agent-port 1 --api-port 2
said already
equal "$before" "$(sums)" "the directory after a second init"

equal 600 "$(stat -c %a "$work/server/admin.token")" "mode of admin.token"
server_start
expect 6 "$HOLDFAST_BIN/holdfastd" run --data "$work/server"
said STORE_LOCKED || fail "a second server on the same directory does not say why it ends"
