#!/bin/sh
# Help texts: of every command, complete, true about choices and defaults; and docs/cli.md knows
# every command and option.
. "$(dirname "$0")/lib.sh"
must stories 20000 8 >text.txt
"$DUET" --help >top 2>top.err
check "duet --help" [ $? -eq 0 ]
check "duet --help: nothing on stderr" [ ! -s top.err ]
sed -n '/^Commands:/,/^$/s/^  \([a-z]*\)  *\([^ ].*\)/\1/p' top >commands
check "duet --help lists the commands" [ "$(wc -l <commands)" -ge 9 ]
check "every command has a summary" \
    [ "$(sed -n '/^Commands:/,/^$/p' top | grep -c '^  [a-z]*  *[^ ]')" -eq "$(wc -l <commands)" ]
for command in train eval generate tokenize tokenizer stories info plan replay adapter bench; do
    check "duet --help lists $command" grep -qx $command commands
done
"$DUET" --version >version
check "duet --version" grep -qx 'duet [0-9.]* (\(unknown\|[0-9a-f]*\(-dirty\)\{0,1\}\))' version

# options FILE: of a help text, one a line: NAME|placeholder or choices|text, lines joined
options() {
    awk '/^  (-.,  *)?(-.|--)/ { if (line != "") print line; line = $0; next }
         /^   / { sub(/^ */, " "); line = line $0; next } { if (line != "") print line; line = "" }
         END { if (line != "") print line }' "$1" |
        sed -n 's/^  \(-., \)\{0,1\}--\([a-z0-9-]*\) \{0,1\}\([^ ]*\)  *\(.*\)/\2 \3~\4/p'
}

doc=$SRC/docs/cli.md
check "docs/cli.md is there" [ -f "$doc" ]
for command in $(cat commands); do
    "$DUET" $command --help all >h 2>h.err
    check "$command --help: exit status 0" [ $? -eq 0 ]
    check "$command --help: nothing on stderr" [ ! -s h.err ]
    check "$command --help: usage" grep -q "^usage: duet $command" h
    check "$command --help: options" [ "$(options h | grep -vc '^config \|^help ')" -ge 1 ]
    check "$command --help: no line is longer than 100 columns" awk \
        'length > 100 { print; bad = 1 } END { exit bad }' h
    check "$command --help: no list of choices ends in the air" awk \
        '/^  .*[a-z0-9]\|( |$)/ { print; bad = 1 } END { exit bad }' h
    options h >options.h
    "$DUET" $command --help | sed -n p >s
    options s >options.s
    check "$command --help: every option is explained" awk \
        -F'~' 'length($2) < 5 { print; bad = 1 } END { exit bad }' <<END
$(options h)
END
    "$DUET" help $command all >h2 2>&1
    check "duet help $command all is the same" same h h2
    "$DUET" $command --help >s 2>s.err
    "$DUET" help $command >h2 2>&1
    check "duet help $command is $command --help" same s h2
    n_all=$(options h | wc -l) n_short=$(options s | wc -l)
    if [ $n_short -lt $n_all ]; then
        check "$command --help, short: says how many more there are" \
            grep -qx -e "--help all lists $((n_all - n_short)) more\." s
        check "$command --help, short: 10 to 25 options" [ $n_short -ge 10 -a $n_short -le 25 ]
        check "$command --help, short: a line each, within 96 columns" awk \
            '(length > 96 && !/duet /) || /^ {20}/ { print; bad = 1 } END { exit bad }' s
        check "$command --help, short: the same options, in the same words" awk -F'~' \
            'NR == FNR { all[$1] = $2; next } { t = $2; sub(/ \(default .*/, "", t)
            if (!($1 in all) || substr(all[$1], 1, length(t)) != t) { print; bad = 1 } } END { exit bad }' \
            options.h options.s
    else
        check "$command --help: a command with so many options has a short text" [ $n_all -le 30 ]
    fi
    [ -f "$doc" ] || continue
    missing=
    for option in $(options h | sed 's/ .*//'); do grep -q -e "--$option\([^a-z0-9-]\|\$\)" "$doc" \
        || missing="$missing --$option"; done
    check "docs/cli.md has every option of $command" [ -z "$missing" ] || echo "# missing:$missing"
    check "docs/cli.md has duet $command" grep -q "duet $command" "$doc"
done

# ---- what help says about train is so
must train run --steps 1
options_of run/config.json >run.options
"$DUET" train --help all >h
options h >train.options
wrong=
while IFS='~' read -r left text; do
    name=${left%% *}
    stated=$(printf %s "$text" | sed -n 's/.*(default \([^)]*\))$/\1/p')
    used=$(json "$name" run.options)
    [ "$name" = lora-targets ] && \
        used=$(sed -n 's/.*"lora-targets": *"\([^"]*\)".*/\1/p' run/config.json)
    case " steps tokenizer seq batch data model " in *" $name "*) continue ;; esac \
        # given to this run
    [ -n "$stated" ] && [ -n "$used" ] || continue
    # What is left to the program is recorded as it decides; the help names that among others.
    case $name in lr | beta1 | beta2) text="$text $(grep '^  adamw ' h)" ;; esac # of its optimizer
    case $stated in -1 | auto) stated=$(printf %s "$text" | tr -d '(),;') ;; esac
    awk -v a="$stated" -v b="$used" 'BEGIN { n = split(a, w, " ")
        for (i = 1; i <= n; i++) if (w[i] == b || (w[i] ~ /^[-0-9.]/ && w[i] + 0 == b + 0)) exit 0
        exit 1 }' ||
        wrong="$wrong $name: help says $stated, config.json $used;"
done <train.options
check "the defaults in the help are those that are used" [ -z "$wrong" ] || echo "# $wrong"

# ---- bench step takes train's options, in its own words: with the same choices and defaults
shape_of() { sed 's/~.*\((default [^)]*)\)$/ \1/; s/~.*//' "$1" | grep -v '^\(warmup\|help\|config\) ' | sort; }
"$DUET" bench --help all >h
options h >bench.options
shape_of train.options >train.shape
other=$(shape_of bench.options | while read -r name rest; do
    grep -q "^$name " train.shape || continue
    grep -qxF -e "$name $rest" train.shape || echo "$name $rest, train's is $(grep "^$name " train.shape);"
done)
check "bench step has the choices and defaults of train" [ -z "$other" ] || echo "# $other"
check "bench step shares options with train" [ "$(shape_of bench.options | cut -d' ' -f1 | sort - train.options |
    sed 's/ .*//' | uniq -d | wc -l)" -ge 12 ]
# with NAME CHOICE: the options without which it means nothing
with() {
    case "$1 $2" in
    "weights q8_0") echo "--init wide/model.blzt --set intermediate_size=64 --lora 4" ;;
    "lora-mode merge" | "lora-init uniform") echo "--init run/model.blzt --lora 4" ;;
    "estimator fzoo") echo "--engine mezo --directions 2" ;;
    "estimator "* | "direction "*) echo "--engine mezo" ;;
    "muon-polynomial "*) echo "--optimizer-matrix muon" ;;
    "objective "*) echo "--engine mezo --init run/model.blzt --task a.tsv --template {s} --labels x,y" ;;
    esac
}
printf 's\tlabel\ngood\t0\nbad\t1\n' >a.tsv
must train wide --steps 1 --set intermediate_size=64
choices=0 refused=
while IFS='~' read -r left text; do
    case $left in *'|'*) ;; *) continue ;; esac
    name=${left%% *}
    [ "$name" = checkpoint-every ] && continue # N|Ns
    for choice in $(echo "${left#* }" | tr '|' ' '); do
        choices=$((choices + 1))
        "$DUET" plan $SHAPE $(with $name $choice) --$name $choice >plan.out 2>&1 ||
            grep -q 'cannot compute\|library missing\|is for matrices only' plan.out ||
            refused="$refused --$name $choice: $(cat plan.out);"
    done
done <train.options
check "every choice in the help is taken" [ -z "$refused" ] || echo "# $refused"
check "choices were found" [ $choices -ge 12 ]
finish
