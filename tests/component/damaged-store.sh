#!/usr/bin/env bash
# A flipped byte is found by verify, named with the point that it touches; a restore that meets it writes nothing wrong;
# the next check heals it.
. "$(dirname "$0")/../lib/world.sh"
. "$top/tests/lib/images.sh"
make_image "$world/disk.img" 24
make_image "$world/other.img" 24
world_with_image web1 "$world/disk.img"
add_image web2 "$world/other.img"
cli vm discover
wait_for 30 vm_known web2
cli backup web1 --wait
cli backup web2 --wait
whole=$(newest_point web1)
point=$(newest_point web2)

server_stop
container=$(find "$world/server/store/containers" -name '*.hfc' | sort | tail -n 1)
# near the end lies what came last: web2
python3 - "$container" <<'P'
import os, sys
with open(sys.argv[1], "r+b") as f:
    at = os.path.getsize(sys.argv[1]) - 3 * 1048576
    f.seek(at)
    byte = f.read(1)
    f.seek(at)
    f.write(bytes([byte[0] ^ 1]))
P
server_start
wait_for 60 host_is connected

cli store verify --wait || true
[ "$(ask rp show "$point" | jq -r .state)" = damaged ] || fail "the damaged point is not marked"
[ "$(ask rp show "$whole" | jq -r .state)" = whole ] || fail "the whole point is marked"
ask job show "$(last_job)" | grep -q "$point" || fail "verify does not name the point"

mkdir "$world/restored"
cp "$world/other.img" "$world/before.img"
expect_code '_DAMAGED' cli restore disk "$point" disk0 --to "$world/out.img" --format raw
[ ! -e "$world/out.img" ] || fail "a damaged disk was left behind"
expect_code '_DAMAGED' cli restore vm "$point" --to-original --wait
same_file "$world/other.img" "$world/before.img"
[ -z "$(find "$world" -name '*.new' -o -name '*holdfast-*.tmp')" ] || fail "files of the restore were left behind"
cli restore vm "$whole" --to-host "$(host_name)" --name copy --dir "$world/restored" --wait

cli check web2 --wait
cli store verify --wait
[ "$(ask rp show "$point" | jq -r .state)" = whole ] || fail "the point was not healed"
cli restore disk "$point" disk0 --to "$world/out.img" --format raw
same_file "$world/out.img" "$world/before.img"
