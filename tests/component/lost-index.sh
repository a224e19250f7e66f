#!/usr/bin/env bash
# Without its index, and without its catalog, a store gives every point back.
. "$(dirname "$0")/../lib/world.sh"
. "$top/tests/lib/images.sh"
make_image "$world/disk.img" 24
world_with_image web1 "$world/disk.img"
cli backup web1 --wait
point=$(newest_point web1)

# under the running server
rm -r "$world/server/store/index"
cli store rebuild --wait
cli restore disk "$point" disk0 --to "$world/a.img" --format raw
same_file "$world/a.img" "$world/disk.img"
# while it is stopped
server_stop
rm -r "$world/server/store/index"
server_start
cli restore disk "$point" disk0 --to "$world/b.img" --format raw
same_file "$world/b.img" "$world/disk.img"
wait_for 60 host_is connected
change_image "$world/disk.img" 3 1
cli backup web1 --wait
cli store verify --wait

# a point that the catalog does not know is listed again
sqlite3 "$world/server/catalog.sqlite" 'PRAGMA foreign_keys=ON; DELETE FROM recovery_points' 2>/dev/null ||
    sqlite3 "$(find "$world/server" -maxdepth 1 -name 'catalog*' ! -name '*-wal' ! -name '*-shm' | head -n 1)" \
        'PRAGMA foreign_keys=ON; DELETE FROM recovery_points'
[ -z "$(newest_point web1)" ] || fail "the rows are still there"
cli store rebuild --wait
[ "$(points web1 | wc -l)" -eq 2 ] || fail "the points did not come back"
