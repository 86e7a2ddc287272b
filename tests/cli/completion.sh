#!/bin/sh
# Completion as the shells do it: in bash by its function, in zsh at a real prompt, in fish by its
# own report. Shells that are not there are skipped.
. "$(dirname "$0")/lib.sh"
for shell in bash zsh fish; do
    must "$DUET" completion $shell --out c.$shell
    "$DUET" completion $shell >c.out 2>c.err
    check "$shell: --out is what is printed" same c.$shell c.out
done
refuses "no shell" 2 'takes the name of a shell: bash, zsh or fish; found nothing' "$DUET" completion
refuses "another shell" 2 'no completion for "tcsh"' "$DUET" completion tcsh
mkdir -p here/folder
: >here/file.txt
: >"here/a b.txt"
cd here || exit 1
commands=$("$DUET" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\)  *[^ ].*/\1/p')
# What all three must know: LINE (the last word is being written) = completions, in any order.
cat >../cases <<'END'
duet gene = generate
duet tokenizer = tokenizer
duet train --engine  = backprop mezo
duet train --engine me = mezo
duet train --schedule co = constant cosine
duet train --resume f = folder
duet train --model fi = file.txt
duet train --roll = --rollback
duet train --no-roll = --no-rollback
duet train --conf = --config
duet tokenizer en = encode
duet bench s = step
duet adapter i = info
duet info fi = file.txt
duet info f = file.txt folder
duet plan --objective a = accuracy
duet completion z = zsh
duet train --tokenizer by = byte
duet search st = status
duet search co = compare confirm
duet search f = file.txt folder
duet search best f = file.txt folder
END
sorted() { tr ' ' '\n' | sed '/^$/d; s|/$||' | sort | tr '\n' ' '; }

# try SHELL COMMAND: the command gets a line and prints what could stand for its last word
try() {
    t_shell=$1 t_command=$2
    while IFS= read -r case; do
        # a prompt of zsh takes a second, or several
        case $t_shell$case in
        zsh*--schedule* | zsh*bench* | zsh*adapter* | zsh*objective* | zsh*-roll*) continue ;;
        zsh*"info fi"* | zsh*completion* | zsh*--conf* | zsh*tokenizer\ en*) continue ;;
        zsh*"search co"* | zsh*"search best"*) continue ;;
        esac
        line=${case%% = *} want=$(echo "${case##* = }" | sorted)
        got=$($t_command "$line" 2>../try.err | sorted)
        check "$t_shell: $line" equal "$got" "$want"
    done <../cases
    got=$($t_command "duet " 2>../try.err | grep -v '^-' | sorted)
    check "$t_shell: every command" equal "$got" "$(echo $commands help | sorted)"
}

cat >../bash.sh <<'END'
source ../c.bash
line=$1
COMP_WORDS=($line)
[[ $line == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_duet
printf '%s\n' "${COMPREPLY[@]}"
END
in_bash() { bash --norc ../bash.sh "$1"; }
if bash -c '((BASH_VERSINFO[0] >= 4))' 2>../bash.err; then
    check "bash reads it" bash -n ../c.bash
    try bash in_bash
    check "bash: names with blanks" equal "$(bash --norc -c 'source ../c.bash
        COMP_WORDS=(duet info a) COMP_CWORD=2; _duet; echo "${#COMPREPLY[@]} $COMPREPLY"')" "1 a b.txt"
    check "bash: --name=value" equal "$(bash --norc -c 'source ../c.bash
        COMP_WORDS=(duet train --engine = m) COMP_CWORD=4; _duet; echo $COMPREPLY')" mezo
    check "bash: it is registered" bash --norc -c 'source ../c.bash; complete -p duet'
    for command in adapter bench completion search tokenizer; do
        all=$("$DUET" $command --help | grep -o "duet $command [a-z][a-z]*" | sed 's/.* //' | sort -u | sorted)
        check "bash: every verb of $command" equal "$(in_bash "duet $command " |
            grep -v -e '^folder$' -e '\.txt$' -e '\.out$' | sorted)" "$all"
    done
    for command in $commands; do
        all=$("$DUET" $command --help all | sed -n 's/^  \(-., \)\{0,1\}\(--[a-z0-9-]*\).*/\2/p' | sorted)
        got=$(in_bash "duet $command --" | grep -v -e '^--no-' | sorted)
        check "bash: every option of $command" equal "$got" "$all"
    done
else
    skip bash "no bash 4"
fi

# At a real prompt: ^T asks for completion, and what the shell is given is written to a file.
cat >../z.rc <<'END'
autoload -U compinit && compinit -u -D
source ../c.zsh
all() {
    local -a found
    compadd() {
        local -a m
        builtin compadd -O m "$@"
        found+=("${m[@]}")
        builtin compadd "$@"
    }
    _main_complete
    unfunction compadd
    print -rl -- "${found[@]}" >../z.part
    mv ../z.part ../z.out
    compstate[insert]= compstate[list]=
}
zle -C all list-choices all
bindkey '^T' all
: >../z.ready
END
cat >../zsh.zsh <<'END'
zmodload zsh/zpty zsh/datetime
rm -f ../z.ready ../z.out
zpty -b z "TERM=dumb zsh -f -i"
wait_for() {
    local end=$((EPOCHREALTIME + 20)) junk
    while [[ ! -e $1 ]] && ((EPOCHREALTIME < end)); do
        zpty -r -t z junk
        sleep 0.02
    done
}
zpty -w z 'source ../z.rc'
wait_for ../z.ready
zpty -w -n z "$1"$'\C-t'
wait_for ../z.out
sort -u ../z.out
zpty -d z
END
in_zsh() { zsh -f ../zsh.zsh "$1"; }
if zsh -fc 'zmodload zsh/zpty' >../zsh.out 2>&1; then
    check "zsh reads it" zsh -n ../c.zsh
    check "zsh: it is registered" zsh -fc 'autoload -U compinit && compinit -u -D && source ../c.zsh &&
        [[ $_comps[duet] == _duet ]]'
    try zsh in_zsh
else
    skip zsh "no zsh"
fi

in_fish() { fish --no-config -c 'source ../c.fish; complete -C "$argv[1]"' "$1" | sed 's/	.*//'; }
if fish --no-config -c 'exit 0' >../fish.out 2>&1; then
    check "fish reads it" fish -n ../c.fish
    try fish in_fish
else
    skip fish "no fish"
fi
cd ..
finish
