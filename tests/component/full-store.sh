#!/usr/bin/env bash
# A store without room: the job fails with STORE_FULL, the points so far stay whole, and with room it goes on.
. "$(dirname "$0")/../lib/test.sh"
mkdir "$work/server"
mount -t tmpfs -o size=420m tmpfs "$work/server" || fail "this test needs to mount a tmpfs"
at_end 'umount "$work/server" || umount -l "$work/server"'
server_begin
agent_begin alpha
make_image "$work/disk.img" 24 8
head -c 600M /dev/urandom >"$work/large.img"
add_image alpha small "$work/disk.img"
add_image alpha large "$work/large.img"
holdfast backup small --wait
point=$(newest_point small)
holdfast backup large --wait && fail "600 MiB did fit into 420" || true
job=$(last_job)
[ "$(job_field .error.code)" = STORE_FULL ] || fail "$(job_field .error)"
holdfast restore disk "$point" disk0 --to "$work/out.img" --format raw
same_file "$work/out.img" "$work/disk.img"
mount -o remount,size=1200m "$work/server"
holdfast backup large --wait
holdfast restore disk "$(newest_point large)" disk0 --to "$work/large.out" --format raw
same_file "$work/large.out" "$work/large.img"
