#!/usr/bin/env bash
# Policies and protection groups: made, listed, changed, refused where they must be, and backed up as one.
. "$(dirname "$0")/../lib/test.sh"
server_begin_at_noon
agent_begin alpha
for name in a b; do
    make_image "$work/$name.raw" 16 4
    add_image alpha "$name" "$work/$name.raw"
done

step "policies"
expect 0 holdfast policy create gold --every 60 --keep-days 14
expect_error 2 POLICY_NAME_INVALID 9lives holdfast policy create 9lives --every 60
expect_error 2 POLICY_NAME_INVALID x holdfast policy create x --every 60
expect_error 6 NAME_TAKEN gold holdfast policy create gold --every 60
expect 2 holdfast policy create silver --every 0
expect 2 holdfast policy create silver --daily 25:00
expect 0 holdfast policy create silver --daily 22:30
equal daily "$(value .schedule.kind policy show silver)" "schedule of silver"
equal 60 "$(value .schedule.interval_minutes policy show gold)" "interval of gold"
expect 0 holdfast policy edit gold --every 120
equal 120 "$(value .schedule.interval_minutes policy show gold)" "interval of gold after the change"
equal 2 "$(value .version policy show gold)" "version of gold after the change"
equal false "$(value .exclude_pages policy show gold)" "whether gold leaves page files out"
expect 0 holdfast policy edit gold --exclude-pages
equal true "$(value .exclude_pages policy show gold)" "whether gold leaves page files out, after the change"
equal 120 "$(value .schedule.interval_minutes policy show gold)" "interval of gold beside the change"
expect 0 holdfast policy show gold
said 'left out'
expect 2 holdfast policy edit gold --exclude-pages --include-pages
expect 0 holdfast policy edit gold --include-pages
equal false "$(value .exclude_pages policy show gold)" "whether gold leaves page files out, in the end"

step "groups"
expect 0 holdfast group create web --policy gold
expect_error 6 NAME_TAKEN web holdfast group create web --policy gold
expect_error 2 POLICY_NAME_INVALID 'no name' holdfast group create 'no name' --policy gold
expect_error 5 POLICY_NOT_FOUND bronze holdfast group create db --policy bronze
expect 0 holdfast group create db --policy silver
expect 0 holdfast group add web a b
expect_error 6 VM_ALREADY_PROTECTED a holdfast group add db a
expect_error 5 VM_NOT_FOUND ghost holdfast group add db ghost
equal web "$(value .group vm show a)" "group of a"
equal waiting "$(value .protection vm show a)" "protection of a before its first point"
expect_error 6 POLICY_IN_USE gold holdfast policy delete gold
holdfast policy create copper --manual >"$work/out"
expect_error 5 POLICY_NOT_FOUND nosuch holdfast group edit web --policy nosuch
expect 2 holdfast group edit web
expect 0 holdfast group edit web --policy copper --name web2
equal "web2 copper" "$(value '"\(.name) \(.policy)"' group show web2)" "the group after its change"
expect 0 holdfast policy delete gold
holdfast policy create gold --daily 22:00 >"$work/out"
expect 0 holdfast group edit web2 --policy gold --name web
expect 0 holdfast policy delete copper

step "a backup of the group"
expect 0 holdfast backup --group web --wait
equal 1 "$(points a | wc -l)" "number of points of a"
equal 1 "$(points b | wc -l)" "number of points of b"
equal protected "$(value .protection vm show a)" "protection of a"

step "out of the group, points stay"
expect 0 holdfast group remove web a
equal null "$(value .group vm show a)" "group of a"
equal 1 "$(points a | wc -l)" "number of points of a"
expect 0 holdfast group add db a
expect 0 holdfast group delete web
expect 0 holdfast policy delete gold
