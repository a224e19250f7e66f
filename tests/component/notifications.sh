#!/usr/bin/env bash
# Mails by STARTTLS with authentication, signed webhooks, the digest; servers that are wrong, down, hang, or offer
# no STARTTLS; names that would like to be headers.
. "$(dirname "$0")/../lib/test.sh"
# shellcheck source=tests/lib/notifications.sh
. "$tests/lib/notifications.sh"
requires openssl "$python" sqlite3
make_certificate
mail_port=$(pick_port)
hook_port=$(pick_port)
other_port=$(pick_port)
receiver_start inbox mail "$mail_port"
receiver_start hooks webhook "$hook_port"
printf 's3cret pass\n' >"$work/password"
printf 'wrong-pass\n' >"$work/wrong"
printf 'hook-key\n' >"$work/key"
server_init
cat >>"$work/server/holdfastd.conf" <<'X'
max-attempts = 1
notify-timeout-seconds = 60
notify-retry-seconds = 1
X
server_start

create_mail() { # NAME [OPTION...], to $server with the password in $password
    local name=$1
    shift
    holdfast notify create "$name" --mail ops@example.org --mail boss@example.org --from backup@example.org \
        --server "localhost:$server" --user holdfast --secret-file "$password" --ca "$work/authority.pem" "$@"
}
server=$mail_port
password=$work/password

step "made, tested, and the secret never shown"
expect 0 create_mail team --event alerts --event jobs --event digest --severity information
expect 0 holdfast notify test team
must_get inbox 'Subject: Holdfast: a test'
must_get inbox 'X-Envelope-To: ops@example.org,boss@example.org'
must_get inbox 'X-Secured: True'
must_get inbox 'X-Authenticated: True'
expect 0 holdfast notify create chat --url "https://localhost:$hook_port/x?y=1" --secret-file "$work/key" \
    --ca "$work/authority.pem"
expect 0 holdfast notify test chat
must_get hooks 'event test'
expect 0 holdfast notify show team --json
said '"has_secret": true'
grep -q 's3cret' "$work/out" && fail "the password is shown"
! grep -qa 's3cret pass\|hook-key' "$work"/server/catalog.db* || fail "a secret is in the catalog as it is"
equal 600 "$(stat -c %a "$work/server/notify.key")" "mode of the key"

step "what is refused"
expect_error 6 NAME_TAKEN team create_mail team
expect 2 create_mail bad --security none
expect 2 create_mail bad --event lunch
expect 2 create_mail bad --digest-at 25:00
expect 2 create_mail bad --timezone Mars/Base
expect 2 create_mail bad --mail 'a@b.c>
Bcc: evil@example.org'
expect 2 holdfast notify create bad --url "http://localhost:$hook_port/"
expect 2 holdfast notify create bad --url "https://user:pw@localhost:$hook_port/"
expect 2 holdfast notify create bad --mail a@b.c --url https://x/
expect 2 holdfast notify edit team --server "localhost:$other_port"
said 'secret anew'
expect_error 5 NOTIFY_NOT_FOUND ghost holdfast notify show ghost

step "wrong password, wrong authority, no STARTTLS"
password=$work/wrong expect 0 create_mail wrong
expect_error 1 NOTIFY_FAILED wrong holdfast notify test wrong
expect 0 holdfast notify delete wrong
expect 0 holdfast notify create strange --url "https://localhost:$hook_port/" # the system's authorities
expect_error 1 NOTIFY_FAILED certificate holdfast notify test strange
expect 0 holdfast notify delete strange
receiver_start clear plain "$other_port"
server=$other_port expect 0 create_mail clear
expect_error 1 NOTIFY_FAILED clear holdfast notify test clear
[ -z "$(ls "$work/clear")" ] || fail "a mail was sent in the clear"
expect 0 holdfast notify delete clear
stop clear

step "alerts and a job's end; names can't be headers"
agent_begin alpha
make_image "$work/a.raw" 8 2
evil=$'häßlich\r\nBcc: evil@example.org <b>&'
"$HOLDFAST_BIN/holdfast-agent" add-image plain "$work/a.raw" --data "$work/alpha" >>"$work/enrol.log"
holdfast vm discover alpha >/dev/null
vm=$(value '.items[0].id' vm list)
stop server
printf "UPDATE vms SET name = '%s' WHERE id = '%s';" "$evil" "$vm" | sqlite3 "$work/server/catalog.db"
mv "$work/a.raw" "$work/away.raw"
server_start
wait_for 60 host_is alpha connected
begin_backup "$vm" --notify
wait_job failed
must_get hooks '"code": "BACKUP_FAILED"'
must_get inbox 'critical: The last backup of '
must_get inbox 'Subject: Holdfast: backup of '
"$python" "$tests/lib/messages.py" "$work/inbox" >"$work/out"
! grep -q '^Bcc:' "$work/out" || fail "a VM's name became a header"
mv "$work/away.raw" "$work/a.raw"
begin_backup "$vm"
wait_job completed
must_get hooks 'alert-resolved'
must_get inbox 'no longer so'
"$python" "$tests/lib/messages.py" "$work/hooks" hook-key >/dev/null || fail "a signature is wrong"

step "the digest, when its time has come"
expect 0 holdfast notify digest
said 'Recovery points on time'
expect 0 holdfast notify digest --html
said '<h1>Holdfast daily</h1>'
stop server
sqlite3 "$work/server/catalog.db" "UPDATE notifications SET digest_ms = digest_ms - 86400000, created_ms = created_ms - 86400000"
server_start
must_get inbox 'Subject: Holdfast daily: all is well'
must_get inbox '-- multipart/alternative'
must_get inbox '-- text/html'

step "a server that is down gets it when it is back; one that hangs holds up nobody"
stop hooks
hang_port=$(pick_port)
receiver_start hanging hang "$hang_port"
expect 0 holdfast notify create stuck --url "https://localhost:$hang_port/" --severity critical
mv "$work/a.raw" "$work/away.raw"
wait_for 60 host_is alpha connected
begin_backup "$vm"
wait_job failed 20
failing() { [ "$(value .failures notify show "$1")" -ge 3 ]; }
wait_for 60 failing chat || fail "nothing says that the webhook fails"
told() { value '.items[] | select(.code == "NOTIFY_FAILED") | .object' alert list | grep -qx "$1"; }
wait_for 60 told chat || fail "a failing notification raises no alert"
must_get inbox 'Notifications to chat are not delivered'
rm -f "$work"/hooks/*.json
receiver_start hooks webhook "$hook_port"
expect 0 holdfast notify edit chat --enable # and what waits is tried at once
arrived() { compgen -G "$work/hooks/*.json" >/dev/null; }
wait_for 60 arrived || fail "what waited was not delivered"
not_told() { ! told "$1"; }
wait_for 60 not_told chat || fail "the alert of the webhook is not resolved"
! got hooks 'Notifications to chat are' || fail "a receiver is told that it can't be told"
equal 0 "$(value .lost notify show chat)" "messages given up"
grep -q 's3cret pass\|wrong-pass\|hook-key' "$work"/*.log && fail "a secret is in a log"

step "given up after its time"
stop server
printf 'notify-give-up-minutes = 0\n' >>"$work/server/holdfastd.conf"
sed -i 's/^notify-timeout-seconds.*/notify-timeout-seconds = 1/' "$work/server/holdfastd.conf"
server_start
expect 0 holdfast notify edit stuck --enable
lost() { [ "$(value .lost notify show stuck)" -ge 1 ] && [ "$(value .waiting notify show stuck)" = 0 ]; }
wait_for 60 lost || fail "a message is tried for ever"
wait_for 60 told stuck || fail "a message that is given up raises no alert"
expect 0 holdfast notify delete stuck
wait_for 60 not_told stuck || fail "the alert of a notification that is gone stays"
