#!/usr/bin/env bash
# An image as a datasource: the first backup sends what is allocated, the second what differs, every point restores whole.
. "$(dirname "$0")/../lib/world.sh"
. "$top/tests/lib/images.sh"
make_image "$world/disk.img" 96
world_with_image web1 "$world/disk.img"
cp --sparse=always "$world/disk.img" "$world/first.img"

cli backup web1 --wait
job=$(last_job)
[ "$(job_field "$job" .mode)" = full ] || fail "the first backup is not full"
sent=$(job_field "$job" .sent_bytes)
[ "$sent" -lt $((50 * 1048576)) ] || fail "holes or compressible data travelled: $sent bytes"
first=$(newest_point web1)

change_image "$world/disk.img" 20 4
cp --sparse=always "$world/disk.img" "$world/second.img"
cli backup web1 --wait
job=$(last_job)
[ "$(job_field "$job" .mode)" = check ] || fail "without change tracking the second backup is a consistency check"
sent=$(job_field "$job" .sent_bytes)
[ "$sent" -lt $((5 * 1048576)) ] || fail "4 MiB changed and $sent bytes travelled"
second=$(newest_point web1)
[ "$(ask rp show "$second" | jq -r .parent)" = "$first" ] || fail "the second point has another parent"

# nothing changed: nothing travels
cli check web1 --wait
[ "$(job_field "$(last_job)" .sent_bytes)" -lt 100000 ] || fail "an unchanged image travelled"
# a full backup reads and sends anew, and is deduplicated on arrival
cli backup web1 --full --wait
job=$(last_job)
[ "$(job_field "$job" .mode)" = full ] || fail "--full is not full"
[ "$(job_field "$job" .stored_bytes)" -lt 1000000 ] || fail "known chunks were stored again"

# as a new image, and in place
host=$(host_name)
mkdir "$world/restored"
cli restore vm "$first" --to-host "$host" --name copy --dir "$world/restored" --wait
same_file "$(find "$world/restored" -type f)" "$world/first.img"
[ "$(du -k "$(find "$world/restored" -type f)" | cut -f1)" -lt $((80 * 1024)) ] || fail "holes were filled"
cli restore vm "$first" --to-original --wait
same_file "$world/disk.img" "$world/first.img"
cli restore vm "$second" --to-original --wait
same_file "$world/disk.img" "$world/second.img"
expect_code RESTORE_TARGET_MISSING cli restore vm "$first" --to-host "$host" --name copy2 --dir "$world/nowhere" --wait

# deleted points are gone, the others whole
cli rp delete "$first"
expect_code RP_NOT_FOUND cli restore disk "$first" disk0 --to "$world/x.img" --format raw
cli store verify --wait
cli restore vm "$second" --to-original --wait
same_file "$world/disk.img" "$world/second.img"
