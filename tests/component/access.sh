#!/usr/bin/env bash
# Users, sessions, tokens, second factors, a second person, and what too many tries cost.
. "$(dirname "$0")/../lib/test.sh"
requires "$python" sqlite3 curl
server_init
printf 'logins-per-minute = 1000\nlogin-tries = 3\n' >>"$work/server/holdfastd.conf"
server_start
sql() { sqlite3 -cmd '.timeout 60000' "$work/server/catalog.db" "$1"; }
url=https://127.0.0.1:$api_port
# as USER COMMAND...: with the login of that user
as() {
    local user=$1
    shift
    HOLDFAST_CONFIG=$work/$user.json holdfast "$@"
}
# log_in USER PASSWORD [OPTION...]
log_in() {
    local user=$1
    printf '%s\n' "$2" >"$work/password"
    shift 2
    as "$user" login "$url" --ca "$work/server/ca.pem" --user "$user" --password-file "$work/password" "$@"
}
# ask METHOD PATH TOKEN [CURL-OPTION...]: the HTTP status; headers and body are in files
ask() {
    local method=$1 path=$2 token=$3
    shift 3
    curl -s --cacert "$work/server/ca.pem" -X "$method" -H "Authorization: Bearer $token" -D "$work/headers" \
        -o "$work/body" -w '%{http_code}' "$@" "$url$path"
}

step 'users: what is refused, and by whom'
expect_error 2 USER_INVALID '9lives' holdfast user create 9lives --no-password
expect_error 2 REQUEST_INVALID 'root' holdfast user create alice --role root --no-password
expect_error 5 GROUP_NOT_FOUND 'nothing' holdfast user create alice --group nothing --no-password
printf 'short\n' >"$work/password"
expect_error 2 USER_INVALID '10 to' holdfast user create alice --password-file "$work/password"
expect_error 2 REQUEST_INVALID 'terminal' setsid "$HOLDFAST_BIN/holdfast" user create alice
printf 'correct horse\n' >"$work/password"
expect 0 holdfast user create alice --role administrator --password-file "$work/password"
expect_error 6 NAME_TAKEN alice holdfast user create alice --no-password
expect_error 6 LAST_ADMINISTRATOR built-in holdfast user edit admin --role viewer
expect_error 6 LAST_ADMINISTRATOR built-in holdfast user delete admin
expect_error 5 USER_NOT_FOUND bob holdfast user show bob
expect 0 holdfast user create bob --role operator --no-password
holdfast user list >"$work/users.log"
grep -q '^bob *operator' "$work/users.log" || fail "bob is not listed"

step 'secrets are asked on the terminal, and not shown'
typed() { "$python" "$tests/lib/typed.py" "$@"; }
expect_error 2 USER_INVALID 'not the same' typed 'New password: =battery staple' 'The same again: =battery stable' -- \
    "$HOLDFAST_BIN/holdfast" user create carl
expect 0 typed 'New password: =battery staple' 'The same again: =battery staple' -- "$HOLDFAST_BIN/holdfast" user create carl
! said 'battery staple' 2>/dev/null || fail "the password is shown"
expect 0 typed 'Password: =battery staple' -- env HOLDFAST_CONFIG="$work/carl.json" "$HOLDFAST_BIN/holdfast" login "$url" \
    --ca "$work/server/ca.pem" --user carl
equal carl "$(as carl whoami --json | jq -r .user.name)" "the user"

step 'login, who am I, logout'
expect 0 log_in alice 'correct horse'
[ "$(stat -c %a "$work/alice.json")" = 600 ] || fail "the session is open to others"
equal alice "$(as alice whoami --json | jq -r .user.name)" "the user"
equal session "$(as alice whoami --json | jq -r .token.kind)" "the token's kind"
session=$(jq -r .token "$work/alice.json")
! grep -rq "$session" "$work/server" || fail "the session's token is kept in the clear"
! grep -q 'correct horse' "$work/server/catalog.db" "$work/server.log" || fail "the password is kept in the clear"
expect 0 as alice logout
[ ! -e "$work/alice.json" ] || fail "the login is still there"
equal 401 "$(ask GET /v1/me "$session")" "the status of a session that was ended"

step 'wrong ones are told apart by nobody, and cost time; others are let in'
for user in nobody bob; do
    expect_error 4 AUTHENTICATION_FAILED 'The user or the password is wrong' log_in "$user" 'wrong password'
done
# Three wrong ones, and the right password is refused for five seconds; where a machine takes longer, the next turn's tries
# count anew.
delayed() {
    local refusals=0
    for _ in 1 2 3; do
        log_in alice 'wrong password' || [ $? -ne 4 ] || refusals=$((refusals + 1))
    done
    [ "$refusals" -eq 3 ] && ! log_in alice 'correct horse' 2>"$work/refusal" && grep -q LOGIN_DELAYED "$work/refusal" &&
        grep -q seconds "$work/refusal" &&
        [ "$(ask POST /v1/sessions - -d '{"user": "alice", "password": "correct horse"}')" = 429 ] &&
        grep -qi '^Retry-After: [1-9]' "$work/headers"
}
wait_for 60 delayed || fail "wrong tries cost no time: $(cat "$work/refusal" "$work/headers")"
stop server # forgets the tries
server_start
expect 0 log_in alice 'correct horse'

step 'a password is changed: other sessions end'
cp "$work/alice.json" "$work/other.json"
expect 0 log_in alice 'correct horse'
printf 'wrong password\n' >"$work/old"
printf 'battery staple\n' >"$work/new"
expect_error 4 AUTHENTICATION_FAILED password as alice user password --old-password-file "$work/old" --password-file "$work/new"
printf 'correct horse\n' >"$work/old"
expect 0 as alice user password --old-password-file "$work/old" --password-file "$work/new"
expect 0 as alice whoami
expect_code AUTHENTICATION_FAILED as other whoami

step 'sessions expire'
cp "$work/alice.json" "$work/idle.json"
sql "UPDATE access_tokens SET last_used_ms = last_used_ms - 3660000 WHERE kind = 'session'"
expect_error 4 SESSION_EXPIRED 'too long' as idle whoami
sql "UPDATE access_tokens SET last_used_ms = last_used_ms + 3660000 WHERE kind = 'session'"
expect 0 as idle whoami
sql "UPDATE access_tokens SET expires_ms = 1000 WHERE kind = 'session'"
expect_code SESSION_EXPIRED as idle whoami
expect 0 as idle logout # is no failure then
sql "UPDATE access_tokens SET expires_ms = 9999999999999 WHERE kind = 'session'"

step 'tokens: at most what the owner is; shown once; revoked'
expect_error 4 PERMISSION_DENIED operator holdfast token create more --user bob --role administrator
token=$(value .token token create robot --user bob)
expect_code REQUEST_INVALID holdfast token create '' --user bob
equal 200 "$(ask GET /v1/me "$token")" "the status of a token"
equal operator "$(jq -r .role "$work/body")" "the role"
equal 403 "$(ask POST /v1/tokens "$token" -d '{"name": "child"}')" "the status of a token that makes another"
expect 0 holdfast user edit bob --role viewer
equal 403 "$(ask POST /v1/checks "$token" -d '{"vm": "x"}')" "the status: the owner is viewer now"
head -c 2M /dev/zero >"$work/huge"
# curl asks before it sends that much, and is told no: a server that is sent it hangs up on the rest
equal 413 "$(ask POST /v1/sessions - --expect100-timeout 60 --data-binary "@$work/huge")" "the status of a huge login"
expect 0 holdfast token revoke "$(value '.items[] | select(.name == "robot") | .id' token list)"
equal 401 "$(ask GET /v1/me "$token")" "the status of a token that was revoked"
expect_code TOKEN_NOT_FOUND holdfast token revoke 00000000

step 'a second factor: TOTP'
totp() { "$python" "$tests/lib/totp.py" "$secret" "$work/step"; }
secret=$(as alice user totp --json </dev/null | jq -r .secret)
expect_error 2 USER_INVALID wrong as alice user totp --confirm 000000
expect 0 as alice user totp --confirm "$(totp)"
recovery=$(grep -oE '([a-z2-7]{4}-){3}[a-z2-7]{4}' "$work/out" | head -n 1)
equal totp "$(value .second_factor user show alice)" "the second factor"
in_catalog() { grep -qaF -- "$1" "$work"/server/catalog.db*; }
in_catalog alice || fail "nothing can be found in the catalog"
! in_catalog "$secret" || fail "the second factor is in the catalog as it is"
equal 600 "$(stat -c %a "$work/server/factor.key")" "mode of the key"
expect_code SECOND_FACTOR_REQUIRED log_in alice 'battery staple' </dev/null
expect 0 log_in alice 'battery staple' --code "$recovery"
expect_code AUTHENTICATION_FAILED log_in alice 'battery staple' --code "$recovery"
expect 0 holdfast policy create keeps --manual --keep-days 30
expect 0 as alice policy edit keeps --keep-days 31
expect_error 4 SECOND_FACTOR_REQUIRED alice setsid env HOLDFAST_CONFIG="$work/alice.json" "$HOLDFAST_BIN/holdfast" policy edit keeps --keep-days 3
equal 31 "$(value .retention.days policy show keeps)" "the days to keep"
code=$(totp)
expect 0 as alice policy edit keeps --keep-days 30 --code "$code"
expect_code AUTHENTICATION_FAILED as alice policy edit keeps --keep-days 29 --code "$code"
expect_code SECOND_FACTOR_REQUIRED setsid env HOLDFAST_CONFIG="$work/alice.json" "$HOLDFAST_BIN/holdfast" user totp
equal 30 "$(value .retention.days policy show keeps)" "the days to keep"
stop server # a catalog of before: the secret as it is, and the mark of the migration
sqlite3 "$work/server/catalog.db" "UPDATE users SET totp_secret = '$secret' WHERE name = 'alice';
    INSERT INTO settings VALUES ('factor_secrets', 'plain')"
in_catalog "$secret" || fail "the catalog of before has no secret"
server_start
! in_catalog "$secret" || fail "a second factor of before is in the catalog as it is"
expect 0 log_in alice 'battery staple' --code "$(totp)"
mv "$work/server/factor.key" "$work/away.key"
expect_error 1 SECRET_UNREADABLE factor.key log_in alice 'battery staple' --code 000000
mv "$work/away.key" "$work/server/factor.key"
expect 0 holdfast user reset-factor alice
expect 0 as alice policy edit keeps --keep-days 29

step 'a PIN; API tokens are made for what cannot be undone, or not'
printf '12345\n' >"$work/pin"
expect_code USER_INVALID as alice user pin --pin-file "$work/pin"
printf '135790\n' >"$work/pin"
expect 0 as alice user pin --pin-file "$work/pin"
expect_code AUTHENTICATION_FAILED as alice policy edit keeps --keep-days 28 --code 123456
expect 0 typed 'Code of your second factor: =135790' -- env HOLDFAST_CONFIG="$work/alice.json" \
    "$HOLDFAST_BIN/holdfast" policy edit keeps --keep-days 28
plain=$(as alice token create plain --json | jq -r .token)
free=$(as alice token create free --destructive --code 135790 --json | jq -r .token)
less_days() { ask PATCH /v1/policies/keeps "$1" -d "{\"retention\": {\"days\": $2}}"; }
equal 403 "$(less_days "$plain" 27)" "the status for a plain token"
equal 200 "$(less_days "$free" 27)" "the status for a token that was made for it"

step 'the server demands a second factor, and a second person'
stop server
printf 'second-factor = required\nsecond-person = yes\n' >>"$work/server/holdfastd.conf"
server_start
expect_error 4 SECOND_FACTOR_REQUIRED 'none so far' holdfast policy edit keeps --keep-days 1
expect 0 holdfast user pin --pin-file "$work/pin"
expect_error 6 APPROVAL_PENDING 'shorten the retention' holdfast policy edit keeps --keep-days 7 --code 135790
request=$(value '.items[0].id' approval list)
equal 27 "$(value .retention.days policy show keeps)" "the days to keep"
equal 'PATCH 7' "$(value '.items[0].request | "\(.method) \(.body.retention.days)"' approval list)" "what would be done"
expect 0 as alice approval list
said 'PATCH /v1/policies/keeps {"retention":{"days":7}}'
expect_error 4 PERMISSION_DENIED 'your own' holdfast approval approve "$request" --code 135790
expect_code SECOND_FACTOR_REQUIRED setsid env HOLDFAST_CONFIG="$work/alice.json" "$HOLDFAST_BIN/holdfast" approval approve "$request"
expect 0 as alice approval approve "$request" --code 135790
equal 7 "$(value .retention.days policy show keeps)" "the days to keep"
expect_code APPROVAL_CLOSED as alice approval approve "$request" --code 135790
expect_error 4 PERMISSION_DENIED 'his own' holdfast token create stolen --user alice --code 135790
equal 403 "$(ask POST "/v1/approvals/$request/approve" "$free")" "the status of a script that approves"
expect_code APPROVAL_PENDING holdfast user create carol --password-file "$work/new" --code 135790
! grep -q 'battery staple' "$work"/server/catalog.db* || fail "a password that waits is kept in the clear"
equal 'carol ***' "$(value '.items[0].request.body | "\(.name) \(.password_hash)"' approval list)" "whom it would make"
expect 0 as alice approval approve "$(value '.items[0].id' approval list)" --code 135790
expect_code SECOND_FACTOR_REQUIRED setsid "$HOLDFAST_BIN/holdfast" user delete carol
expect_code APPROVAL_PENDING holdfast user delete carol --code 135790
expect 0 holdfast approval reject "$(value '.items[0].id' approval list)"
equal rejected "$(value '.items[0].state' approval list)" "the state"
expect_code APPROVAL_PENDING holdfast user delete carol --code 135790
sql "UPDATE approvals SET expires_ms = created_ms + 1"
expect_error 6 APPROVAL_CLOSED expired as alice approval approve "$(value '.items[0].id' approval list)" --code 135790
expect_code USER_NOT_FOUND holdfast user delete nobody

step 'admin.token is lost: a new one, on the machine of the server only'
expect_code NOT_INITIALIZED "$HOLDFAST_BIN/holdfastd" admin-token --data "$work"
expect 0 "$HOLDFAST_BIN/holdfastd" admin-token --data "$work/server"
expect_code AUTHENTICATION_FAILED holdfast whoami
expect 0 login
equal null "$(value .user.second_factor whoami)" "the second factor"

step 'too many requests'
stop server
printf 'requests-per-second = 1\n' >>"$work/server/holdfastd.conf"
server_start
token=$(cat "$work/server/admin.token")
# five at once, and one a second: more than that by one connection
too_many() { [[ $(ask GET "/v1/me?[1-20]" "$token") == *429* ]] && grep -qi '^Retry-After: [1-9]' "$work/headers"; }
wait_for 60 too_many || fail "no request is refused: $(cat "$work/headers")"
