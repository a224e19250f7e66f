#!/usr/bin/env bash
# Whoever reads disks slowly, or not at all, keeps nobody from the rest of the API; there is a limit to how many read.
. "$(dirname "$0")/../lib/test.sh"
requires curl timeout
server_begin
agent_begin alpha
make_image "$work/alpha.raw" 40 40
add_image alpha slow "$work/alpha.raw"
backup slow
data=https://127.0.0.1:$api_port/v1/recovery-points/$point/disks/disk0/data
read_disk() {
    exec curl -s --cacert "$work/server/ca.pem" -H "Authorization: Bearer $(cat "$work/server/admin.token")" "$@" "$data"
}

step 'as many as may read, and none goes on'
readers=()
for i in 1 2 3 4 5 6 7 8; do
    mkfifo "$work/pipe$i"
    read_disk -o "$work/pipe$i" &
    readers+=($!)
    exec {pipe}<>"$work/pipe$i" # opened, and nothing is taken out
done
end_readers() {
    for reader in "${readers[@]}"; do
        kill "$reader" 2>/dev/null || true
    done
    readers=()
}
at_end end_readers
all_read() { [ "$(grep -c 'disk exported' "$work/server.log")" -eq 8 ]; }
wait_for 30 all_read || fail 'eight do not read'
refused() { [ "$(timeout 20 curl -s -o "$work/out" -w '%{http_code}' --cacert "$work/server/ca.pem" \
    -H "Authorization: Bearer $(cat "$work/server/admin.token")" "$data")" = 429 ]; }
refused || fail 'a ninth reader is not refused'
equal LIMIT_EXCEEDED "$(jq -r .code "$work/out")" 'the code for the ninth'

step 'everything else is answered'
expect 0 timeout 60 "$HOLDFAST_BIN/holdfast" status
expect 0 timeout 60 "$HOLDFAST_BIN/holdfast" rp list

step 'when they are gone there is room again'
end_readers
reads() { timeout 60 "$HOLDFAST_BIN/holdfast" restore disk "$point" disk0 --to "$work/back.raw" --format raw >>"$work/restore.log" 2>&1; }
wait_for 30 reads || fail 'no disk can be read after them'
same_file "$work/alpha.raw" "$work/back.raw"
