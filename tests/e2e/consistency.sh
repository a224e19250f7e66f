#!/usr/bin/env bash
# What consistency a point has, and that a guest is never left frozen: hooks, a hook that fails, no agent that answers,
# file systems that somebody else froze, an agent that is killed while the guest is frozen, a policy that asks for more.
. "$(dirname "$0")/../lib/test.sh"
. "$top/tests/lib/guest.sh"

consistency() { value '.consistency' rp show "$(newest_point web1)"; }
reason() { value '.consistency_reason // ""' rp show "$(newest_point web1)"; }
frozen() { guest_freeze_is web1 frozen; }
thawed() { guest_freeze_is web1 thawed; }
backup_now() { holdfast backup web1 --wait >>"$work/backup.log" 2>&1 || { tail -n 5 "$work/backup.log" >&2; fail "the backup failed"; }; }
hook() { # hook TEXT: the guest's one hook
    guest_run web1 "printf '#!/bin/sh\n%s\n' '$1' >/etc/qemu/fsfreeze-hook.d/app; chmod +x /etc/qemu/fsfreeze-hook.d/app; sync"
}

guest_begin web1
holdfast policy create careful --manual --keep-latest 9 --consistency application >/dev/null
holdfast group create g1 --policy careful --vm web1 >/dev/null

step 'no hooks: the file systems are frozen, the applications did not take part'
backup_now
[ "$(consistency)" = filesystem ] || fail "$(consistency)"
[[ $(reason) == *"no freeze hooks"* ]] || fail "$(reason)"
frozen_ms=$(value '[.log[]?.text, .log[]?.message] | map(select(. != null and test("frozen for"))) | first // ""' job show "$(last_job)")
step "$frozen_ms"

step 'hooks run: application-consistent'
hook 'echo "$1" >>/run/app.log'
backup_now
[ "$(consistency)" = application ] || fail "$(consistency): $(reason)"
[ "$(guest_run web1 'cat /run/app.log' | tr '\n' ' ')" = 'freeze thaw ' ] || fail "the hook did not run as it should"

step 'a hook fails: crash-consistent, and thawed'
hook '[ "$1" = thaw ]'
backup_now
[ "$(consistency)" = crash ] || fail "$(consistency)"
[[ $(reason) == *HOOK* ]] || fail "$(reason)"
thawed || fail "the guest is frozen"

step 'the policy demands more than was reached: that is a failure, and the guest runs'
holdfast policy edit careful --require-consistency >/dev/null
expect_code CONSISTENCY_TOO_LOW holdfast backup web1 --wait
thawed || fail "the guest is frozen"
expect_clean_host web1
hook 'exit 0'
backup_now
[ "$(consistency)" = application ] || fail "$(consistency): $(reason)"
holdfast policy edit careful --consistency filesystem --accept-less-consistency >/dev/null

step 'somebody else froze the file systems'
guest_ask web1 '{"execute":"guest-fsfreeze-freeze"}' >/dev/null
backup_now
[ "$(consistency)" = crash ] || fail "$(consistency)"
[[ $(reason) == *FROZEN_ALREADY* ]] || fail "$(reason)"
frozen || fail "somebody else's freeze was ended"
guest_ask web1 '{"execute":"guest-fsfreeze-thaw"}' >/dev/null

step 'the guest agent hangs'
# from one interrupt to the next: a guest whose agent hangs hears nothing else
guest_run web1 'interrupts() { awk '"'/NMI:/ {print \$2}'"' /proc/interrupts; }; before=$(interrupts)
    after() { while [ "$(interrupts)" -lt $((before + $1)) ]; do sleep 0.2; done; }
    (after 1; kill -STOP $(busybox pidof qemu-ga); after 2; kill -CONT $(busybox pidof qemu-ga)) >/dev/null 2>&1 &'
guest_virsh inject-nmi web1
hangs() { ! guest_answers web1; }
wait_for 60 hangs || fail "the guest agent does not hang"
backup_now
guest_virsh inject-nmi web1
[ "$(consistency)" = crash ] || fail "$(consistency)"
[[ $(reason) == *NO_AGENT* ]] || fail "$(reason)"
wait_for 60 thawed || fail "the guest is frozen"

step 'the agent is killed while it freezes'
hook '[ "$1" = thaw ] || sleep 4'
begin_backup web1
freezing() { grep freezing "$work"/alpha/jobs/*; }
wait_for 60 freezing || fail "the backup does not begin"
sleep 1.5
kill_hard alpha
sleep 4
wait_for 60 thawed || fail "the guest stays frozen"
guest_run web1 'echo alive >/data/vdb/alive; sync'
hook 'exit 0'
agent_start alpha --libvirt-uri "$libvirt_uri"
wait_job completed 240
expect_clean_host web1
