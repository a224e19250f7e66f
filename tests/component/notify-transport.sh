#!/usr/bin/env bash
# Mails by TLS from the first byte, and what is no such server; a receiver that hangs holds up none but itself, and its own
# messages keep their order.
. "$(dirname "$0")/../lib/test.sh"
# shellcheck source=tests/lib/notifications.sh
. "$tests/lib/notifications.sh"
requires openssl "$python" sqlite3 jq
make_certificate
make_authority stranger
sign_certificate elsewhere authority DNS:mail.elsewhere.example
port=$(pick_port)
receiver_start inbox smtps "$port"
wrong_port=$(pick_port)
receiver_start wrong smtps "$wrong_port" elsewhere
plain_port=$(pick_port)
receiver_start plain plain "$plain_port"
printf 's3cret pass\n' >"$work/password"
server_init
printf 'notify-timeout-seconds = 60\n' >>"$work/server/holdfastd.conf"
server_start

create() { # NAME PORT, by $security and with $authority
    expect 0 holdfast notify create "$1" --mail ops@example.org --from backup@example.org --server "localhost:$2" \
        --security "${security:-tls}" --user holdfast --secret-file "$work/password" \
        --ca "$work/${authority:-authority}.pem"
}
refused() { # NAME TEXT: the cause
    expect_error 1 NOTIFY_FAILED "$1" holdfast notify test "$1"
    grep -qiE -- "$2" "$work/err" || { cat "$work/err" >&2; fail "the cause does not say: $2"; }
    expect 0 holdfast notify delete "$1"
}
nothing_in() { [ -z "$(ls "$work/$1")" ] || fail "a mail went to $1"; }

step 'TLS from the first byte'
create team "$port"
expect 0 holdfast notify test team
must_get inbox 'X-Secured: True'
must_get inbox 'X-Authenticated: True'

step 'a certificate of another name, of an unknown authority, a server without TLS, STARTTLS where there is TLS'
create elsewhere "$wrong_port"
refused elsewhere 'name|match'
nothing_in wrong
authority=stranger create stranger "$port"
refused stranger 'certificate'
create clear "$plain_port"
refused clear 'ssl|tls'
nothing_in plain
security=starttls create mixed "$port"
stop server
sed -i 's/^notify-timeout-seconds.*/notify-timeout-seconds = 1/' "$work/server/holdfastd.conf" # nobody says anything
server_start
refused mixed 'time'
equal 1 "$(find "$work/inbox" -name '*.eml' | wc -l)" "mails that were delivered"
stop wrong
stop plain

step 'a webhook that hangs; a mail arrives meanwhile'
stop server
sed -i 's/^notify-timeout-seconds.*/notify-timeout-seconds = 3600/' "$work/server/holdfastd.conf"
server_start
hang_port=$(pick_port)
receiver_start hanging hang "$hang_port"
expect 0 holdfast notify create stuck --url "https://localhost:$hang_port/"
stop server
# Two messages of the webhook are first, then two mails.
message() { # NUMBER RECEIVER
    printf "INSERT INTO notification_outbox (id, notification_id, event, subject, body, html, data, created_ms, attempts,
        next_attempt_ms) VALUES ('m%s', (SELECT id FROM notifications WHERE name = '%s'), 'test', 'Message %s', 'text',
        '', '{}', %s000, 0, %s);\n" "$1" "$2" "$1" "$(date +%s)" "$1"
}
{ message 1 stuck; message 2 stuck; message 3 team; message 4 team; } | sqlite3 "$work/server/catalog.db"
server_start
hanging() { [ "$(find "$work/hanging" -name '*.accepted' | wc -l)" -ge 1 ]; }
wait_for 60 hanging || fail "the webhook is not tried"
must_get inbox 'Subject: Message 3'
must_get inbox 'Subject: Message 4'
none_left() { [ "$(value .waiting notify show team)" = 0 ]; }
wait_for 60 none_left || fail "what was delivered still waits"
"$python" "$tests/lib/messages.py" "$work/inbox" | grep -o 'Subject: Message .' >"$work/order"
printf 'Subject: Message %s\n' 3 4 | cmp - "$work/order" || fail "the mails are not in their order"
equal 1 "$(find "$work/hanging" -name '*.accepted' | wc -l)" "deliveries to the webhook at once"
equal 2 "$(value .waiting notify show stuck)" "messages that wait for the webhook"
