#!/usr/bin/env bash
# Manual pages and completion, from the tables of the programs; --json of every command (help: unit/cli/test_help).
. "$(dirname "$0")/../lib/test.sh"
requires jq groff mandoc zsh fish
bin=$HOLDFAST_BIN

holdfast help manual | sed -n 's/\\//g; s/^\.SS "holdfast \(.*\)"$/\1/p' >"$work/commands" # with their arguments
less 40 "$(wc -l <"$work/commands")" "commands"

step "without a server: the codes are those of the catalogue"
holdfast help codes --json | jq -r '.items[].code' | sort >"$work/codes"
sed -n 's/^ERROR_ENTRY(\([A-Z_]*\),.*/\1/p' "$top/base/error_catalogue.def" | sort | diff - "$work/codes" || fail "codes"

step "typing errors"
expect 2 holdfast bakcup x
said 'Did you mean “backup”?'
expect 2 holdfast vm lst
said 'Did you mean “vm list”?'
expect 2 holdfast backup x --wiat
said 'Did you mean “--wait”?'
expect 5 holdfast help STORE_FUL
said 'Did you mean STORE_FULL?'

step "manual pages"
for program in holdfast holdfastd holdfast-agent; do
    page=$work/$program.man
    if [ $program = holdfast ]; then holdfast help manual >"$page"; else "$bin/$program" --manual >"$page"; fi
    groff -man -Tutf8 -ww -z "$page" 2>"$work/err" && [ ! -s "$work/err" ] || { cat "$work/err" >&2; fail "$program's page"; }
    mandoc -Tlint -W error "$page" >"$work/err" || { cat "$work/err" >&2; fail "$program's page"; }
    mandoc -Tutf8 "$page" | sed 's/.\x08//g' >"$work/page"
    "$bin/$program" --help | grep -o -- '--[a-z-]\+' | sort -u >"$work/options"
    while read -r option; do grep -qF -- "$option" "$work/page" || fail "$program's page lacks $option"; done <"$work/options"
done
for program in holdfastd holdfast-agent; do
    expect 0 "$bin/$program" --version
    expect 2 "$bin/$program" run --no-such-option
done

step "with a server: --json of every command is JSON, done or failed"
server_begin
agent_begin alpha
make_image "$work/a.raw" 4 1
add_image alpha web1 "$work/a.raw"
holdfast policy create nightly --daily 22:00 >/dev/null
holdfast group create web --policy nightly --vm web1 >/dev/null
while read -r -a usage; do
    call=() # the command, and as many arguments as it needs, of nothing that is there
    for word in "${usage[@]}"; do
        case $word in
        '['* | *']' | '|') ;;
        [A-Z]*) call+=(no-such) ;;
        *) call+=("$word") ;;
        esac
    done
    [ "${call[*]}" != help ] || continue # is text
    status=0
    holdfast "${call[@]}" --json </dev/null >"$work/out" 2>"$work/err" || status=$?
    [ $status -eq 0 ] || cp "$work/err" "$work/out"
    jq -e 'type == "object" and (.code == null or (.message != null and .action != null))' "$work/out" >/dev/null ||
        fail "holdfast ${call[*]} --json: $(cat "$work/out" "$work/err")"
done <"$work/commands"

step "completion in bash"
login # `logout` was among the commands
PATH=$HOLDFAST_BIN:$PATH
eval "$(command holdfast completion bash)"
# complete WORDS: what it offers for the last of them
offers() {
    COMP_WORDS=(holdfast "$@")
    COMP_CWORD=$#
    COMPREPLY=()
    _holdfast
    printf '%s\n' "${COMPREPLY[@]}" | sort | paste -sd ' '
}
# offered WANTED WHAT COMMAND...: names of the server are waited for for two seconds, and left out then
is_offered() { [ "$("${@:2}")" = "$1" ]; }
offered() { wait_for 30 is_offered "$1" "${@:3}" || equal "$1" "$("${@:3}")" "$2"; }
equal "backup" "$(offers bac)" "commands"
equal "discover list show" "$(offers vm '')" "commands of a family"
equal "--wait" "$(offers backup web1 --wa)" "options"
offered "web1" "VMs" offers backup ''
offered "web1" "the second argument" offers group add web w
offered "web1" "an argument that may come again" offers group add web web1 w
offered "web" "groups" offers backup --group w
offered "alpha" "hosts" offers host show a
offered "daily-22h nightly" "policies" offers group create x --policy ''
equal "failed" "$(offers job list --state f)" "states"
equal "STORE_FULL" "$(offers help STORE_FU)" "codes"
equal "" "$(offers login https://x --ca '')" "files, which bash knows itself"
equal "" "$(offers no such thing '')" "nothing"

step "completion in zsh and fish"
# In zsh what would be offered is printed; the second time as a file of $fpath, which is run as the function.
mkdir "$work/fpath"
holdfast completion zsh >"$work/fpath/_holdfast"
zsh_offers() { # HOW WORDS
    # shellcheck disable=SC2016 # expanded by zsh
    zsh -f -c 'autoload -Uz compinit
        [[ $1 = file ]] && fpath=("$work/fpath" $fpath)
        compinit -u -d "$work/$1.dump"
        [[ $1 = file ]] || eval "$(holdfast completion zsh)"
        compadd() { print -rl -- "${(@)found}" }
        _files() { print files }
        shift
        words=(holdfast "$@")
        CURRENT=$#words
        $_comps[holdfast]' zsh "$@" | sort | paste -sd ' '
}
fish_offers() { # LINE
    # shellcheck disable=SC2016 # expanded by fish
    HOME=$work fish --no-config -c 'holdfast completion fish | source; complete -C "$argv"' "holdfast $1" |
        cut -f 1 | sort | paste -sd ' '
}
export work
for how in evaluated file; do
    equal "discover list show" "$(zsh_offers $how vm '')" "commands of a family in zsh ($how)"
    offered "web1" "VMs in zsh ($how)" zsh_offers $how group add web w
    equal "files" "$(zsh_offers $how login https://x --ca '')" "files in zsh ($how)"
done
equal "discover list show" "$(fish_offers 'vm ')" "commands of a family in fish"
offered "web1" "VMs in fish" fish_offers 'group add web w'
equal "$work/commands" "$(fish_offers "login https://x --ca $work/comm")" "files in fish"
expect 2 holdfast completion tcsh
stop alpha
stop server
equal "backup" "$(offers bac)" "commands without a server"
equal "" "$(offers host show a)" "hosts without a server"
