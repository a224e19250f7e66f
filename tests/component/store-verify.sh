#!/usr/bin/env bash
# A flipped byte in a container is found by verify and named with the points it touches; a restore that meets it fails
# with CHUNK_DAMAGED instead of writing wrong data; the next synchronization heals it from the source.
. "$(dirname "$0")/../lib/test.sh"
requires "$python"
server_begin
agent_begin alpha
make_image "$work/a.raw" 64 24
make_image "$work/b.raw" 64 24
add_image alpha a "$work/a.raw"
add_image alpha b "$work/b.raw"
backup a
of_a=$point
backup b
of_b=$point
step "a whole store"
expect 0 holdfast store verify --wait
expect 0 holdfast rp verify "$of_a" --wait

step "one byte, in the middle of what the first backup wrote"
stop server
container=$(find "$work/server/store/containers" -type f -printf '%s %p\n' | sort -rn | head -n 1 | cut -d' ' -f2-)
"$python" - "$container" <<'X'
import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(10 * 1048576 + 12345)
    byte = f.read(1)
    f.seek(-1, 1)
    f.write(bytes([byte[0] ^ 1]))
X
server_start
wait_for 60 host_is alpha connected

step "a restore that meets it"
expect 1 holdfast restore disk "$of_a" disk0 --to "$work/restored.raw" --format raw
said CHUNK_DAMAGED
[ ! -e "$work/restored.raw" ] || fail "a damaged restore leaves a file"
mkdir "$work/elsewhere"
expect 1 holdfast restore vm "$of_a" --to-host alpha --name c --dir "$work/elsewhere" --wait
said CHUNK_DAMAGED
[ -z "$(find "$work/elsewhere" -type f)" ] || fail "a damaged restore leaves files"

step "verify names the point, and only that"
job=$(value .id store verify)
wait_for 60 job_ended
holdfast job show "$job" --json >"$work/out"
: >"$work/err"
said CHUNK_DAMAGED || fail "verify does not tell of damage"
said "$of_a" || fail "verify does not name the point"
said "$of_b" && fail "verify names a point that is whole"
equal damaged "$(value .state rp show "$of_a")" "state of the damaged point"
equal whole "$(value .state rp show "$of_b")" "state of the other"
less 0 "$(value .damaged_chunks store status)" "damaged chunks in the store's status"
same_disk "$of_b" disk0 "$work/b.raw"
damage_is_told() { value '.items[].code' alert list | grep -qx CHUNK_DAMAGED; }
wait_for 60 damage_is_told || fail "damage raises no alert"

step "the next synchronization heals it"
backup a --full
same_disk "$point" disk0 "$work/a.raw"
same_disk "$of_a" disk0 "$work/a.raw"
no_damage_is_told() { ! damage_is_told; }
wait_for 60 no_damage_is_told || fail "the alert of damage is not resolved"

step "a point whose record is gone is damaged, also when all that is there is whole"
state_of_b() { value ".items[] | select(.id == \"$of_b\") | .state" rp list b; }
stop server
mv "$work/server/store/points/$of_b.hfp" "$work/aside.hfp"
server_start
equal damaged "$(state_of_b)" "state of a point without a record"
expect 0 holdfast store verify --wait
equal damaged "$(state_of_b)" "its state after a verification"
stop server
mv "$work/aside.hfp" "$work/server/store/points/$of_b.hfp"
server_start
expect 0 holdfast store verify --wait
equal whole "$(state_of_b)" "its state when the record is back"
