#!/usr/bin/env bash
# A store without room: the job fails with STORE_FULL, the points so far stay whole, and with room it goes on.
. "$(dirname "$0")/../lib/world.sh"
. "$top/tests/lib/images.sh"
mkdir "$world/server"
mount -t tmpfs -o size=420m tmpfs "$world/server" || fail "this test needs to mount a tmpfs"
world_cleanup() { umount "$world/server" || umount -l "$world/server"; }
make_image "$world/disk.img" 24
head -c 600M /dev/urandom >"$world/large.img"
world_with_image small "$world/disk.img"
add_image large "$world/large.img"
cli vm discover
wait_for 30 vm_known large
cli backup small --wait
point=$(newest_point small)
cli backup large --wait && fail "600 MiB did fit into 420" || true
[ "$(job_field "$(last_job)" .error.code)" = STORE_FULL ] || fail "$(job_field "$(last_job)" .error)"
cli restore disk "$point" disk0 --to "$world/out.img" --format raw
same_file "$world/out.img" "$world/disk.img"
mount -o remount,size=1200m "$world/server"
cli backup large --wait
cli restore disk "$(newest_point large)" disk0 --to "$world/large.out" --format raw
same_file "$world/large.out" "$world/large.img"
