#!/usr/bin/env bash
# Policies and groups: names, one group a VM, schedules that run by themselves.
. "$(dirname "$0")/../lib/world.sh"
. "$top/tests/lib/images.sh"
make_image "$world/disk.img" 6
world_with_image web1 "$world/disk.img"

expect_code POLICY_NAME_INVALID cli policy create 9lives --daily 22:00
expect_code POLICY_NAME_INVALID cli policy create x --daily 22:00
expect_code SCHEDULE_INVALID cli policy create nightly --daily 25:00
cli policy create nightly --daily 22:00 --keep-days 30
expect_code NAME_TAKEN cli policy create nightly --daily 22:00
cli group create first --policy nightly --vm web1
expect_code NAME_TAKEN cli group create first --policy nightly
cli group create second --policy nightly
expect_code VM_ALREADY_PROTECTED cli group add second web1
grep -q first <<<"$said" || fail "the other group is not named: $said"
expect_code POLICY_IN_USE cli policy delete nightly
expect_code GROUP_NOT_FOUND cli group show third
expect_status 5 cli group show third
[ "$(ask vm show web1 | jq -r .protection)" = waiting ] || fail "it has no point yet"
cli backup --group first --wait
[ "$(ask vm show web1 | jq -r .protection)" = protected ] || fail "it has a point"
cli group remove first web1
cli group add second web1
[ "$(ask vm show web1 | jq -r .group)" = second ] || fail "it did not move"

# a policy that runs every minute makes points without anybody
cli policy create often --every 1
cli group create third --policy often
cli group remove second web1
cli group add third web1
scheduled() { [ "$(ask job list | jq '[.items[] | select(.requested_by == "schedule" and .state == "completed")] | length')" -ge 1 ]; }
wait_for 150 scheduled || fail "the schedule did not run"
