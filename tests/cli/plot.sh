#!/bin/sh
# duet plot: pictures of runs and of tables of runs. Without gnuplot what needs it is skipped.
. "$(dirname "$0")/lib.sh"

# A table of one run with four validations, and one of three runs.
awk 'BEGIN {
    print "run\tstep\tseconds\ttokens\tloss\tlr\ttokens_per_second\tval_loss\tval_loss_stderr\tval_bpb\tfloor_bpb"
    for (i = 1; i <= 40; i++) {
        printf "calm\t%d\t%g\t%d\t%g\t%g\t3000\t\t\t\t\n", i * 5, i * 2, i * 1280, 3 + 5 / i, 1e-3
        if (i % 10 == 0)
            printf "calm\t%d\t%g\t%d\t\t\t\t%g\t0.05\t%g\t1\n", i * 5, i * 2, i * 1280, 3 + 2 ^ (-i / 10), (3 + 2 ^ (-i / 10)) * 0.4
    }
}' >one.tsv
awk 'BEGIN {
    print "run\tstep\tval_loss"
    for (r = 1; r <= 3; r++)
        for (i = 1; i <= 5; i++) printf "run %d\t%d\t%g\n", r, i * 100, 2 + r + 3 / i
}' >three.tsv

# ---- what is refused ---------------------------------------------------------------------------
refuses "no run" 2 "no run given" "$DUET" plot -o x.svg
refuses "no picture" 2 "FILE is missing" "$DUET" plot one.tsv
refuses "a picture of another kind" 2 "ends in .svg, .png or .pdf" "$DUET" plot one.tsv -o x.jpg
refuses "a run that is not there" 1 "nowhere" "$DUET" plot nowhere -o x.svg
refuses "a file that is no table" 1 "neither the folder of a run nor a table" \
    "$DUET" plot "$SRC/LICENSE" -o x.svg
refuses "an unknown panel" 2 '"foo" is not known; panels are: loss' \
    "$DUET" plot one.tsv -o x.svg --panels loss,foo
refuses "a panel twice" 2 "loss is there twice" "$DUET" plot one.tsv -o x.svg --panels loss,loss
refuses "no panel" 2 "panels are: loss" "$DUET" plot one.tsv -o x.svg --panels ,
refuses "--y beside --panels" 2 "takes the place of --y" \
    "$DUET" plot one.tsv -o x.svg --panels loss --y bpb
refuses "a height that is too small" 2 "at least 240" "$DUET" plot one.tsv -o x.svg --height 100
refuses "--adaptive of a .png" 2 "for .svg alone" "$DUET" plot one.tsv -o x.png --adaptive
refuses "--adaptive and --dark" 2 "exclude each other" \
    "$DUET" plot one.tsv -o x.svg --adaptive --dark
refuses "an option of pictures for a table" 2 "no-dark has no effect\|dark has no effect" \
    "$DUET" plot one.tsv -o x.tsv --dark
refuses "what the runs do not have" 1 "one.tsv has no accuracies to draw" \
    "$DUET" plot one.tsv -o x.svg --y accuracy
refuses "an x that they do not have" 1 "nothing can be drawn of its loss against seconds" \
    "$DUET" plot three.tsv -o x.svg --x seconds
printf 'run\tstep\tloss\nx\t1\tnan\nx\t2\tinf\n' >nan.tsv
refuses "no number at all" 1 "nan.tsv has no\|nothing can be drawn" "$DUET" plot nan.tsv -o x.svg
printf 'run\tstep\tloss\nx\t1\t2\nx\t2\t3,5\n' >bad.tsv
refuses "a table with an error" 1 'bad.tsv, line 3, loss: "3,5" is not a number' \
    "$DUET" plot bad.tsv -o x.svg
echo old >old.svg
refuses "a picture that is there" 2 "old.svg is there already: choose another name, or give --overwrite" "$DUET" plot one.tsv -o old.svg
check "nothing was written" absent x.svg x.png x.tsv
check "the old file stays" equal "$(cat old.svg)" old

# ---- without gnuplot, or with one that fails ---------------------------------------------------
mkdir none fake
refuses "gnuplot is missing" 1 "gnuplot, which is not installed.*apt-get install gnuplot-nox" \
    env PATH="$WORK/none" "$DUET" plot one.tsv -o x.svg
# fake BODY: a gnuplot of our own
fake() {
    { echo '#!/bin/sh'; echo "PATH=$PATH"; echo "$1"; } >fake/gnuplot
    chmod +x fake/gnuplot
}
with_fake() { env PATH="$WORK/fake" "$DUET" plot one.tsv -o x.svg; }
fake 'cat >/dev/null; echo "gnuplot> plot x" >&2; echo "         ^" >&2
echo "         line 7: undefined variable: x" >&2; exit 1'
refuses "gnuplot fails" 1 "gnuplot failed: line 7: undefined variable: x" with_fake
fake 'exit 3' # without having read anything
refuses "gnuplot ends at once" 1 "gnuplot failed: it said nothing" with_fake
fake 'cat >/dev/null; exit 0'
refuses "gnuplot draws nothing" 1 "gnuplot failed" with_fake
fake 'cat >/dev/null; kill -9 $$'
refuses "gnuplot is killed" 1 "gnuplot was ended by signal 9" with_fake
fake 'cat >/dev/null; echo "line 0: unknown or ambiguous terminal name" >&2; exit 1'
refuses "gnuplot without cairo" 1 "cannot write this kind of picture" with_fake
check "nothing was written then" absent x.svg
check "the table needs no gnuplot" env PATH="$WORK/none" "$DUET" plot one.tsv -o copy.tsv

# ---- tables ------------------------------------------------------------------------------------
sort one.tsv >a
sort copy.tsv >b
check "a table of a table has the same lines" same a b
must stories 60000 >text.txt
must train run --steps 40 --val-every 10 --log-every 2 --val-windows 8 --lr 3e-3
must train other --steps 20 --val-every 10 --log-every 2 --val-windows 8 --lr 1e-5
check "a table of runs" "$DUET" plot run other -o runs.tsv
check "its runs have their names" equal "$(sed 1d runs.tsv | cut -f1 | uniq | tr '\n' ' ')" \
    "steps 40, lr 0.003 steps 20, lr 1e-5 "
check "it has every validation" equal "$(awk -F'\t' 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "val_loss") c = i }
    NR > 1 && $c != "" { n++ } END { print n }' runs.tsv)" 6

command -v gnuplot >/dev/null || { skip "pictures" "gnuplot is not installed"; finish; }

# ---- pictures ----------------------------------------------------------------------------------
# Texts of an SVG, a line each, and how many of its marks have that colour.
texts() { sed -n 's/^\t\t<text[^>]*>\(.*\)<\/text>$/\1/p' "$1" | grep .; }
has_text() { texts "$1" | grep -qxF -e "$2" || { echo "no \"$2\" in:"; texts "$1"; return 1; }; }
marks() { grep "<use xlink:href='#gpPt" "$1" | grep -c "color='rgb($2)'"; }
BLUE="  0, 114, 178"
plot() { rm -f "$1" && "$DUET" plot -o "$@"; }

check "an SVG" plot one.svg one.tsv
check "it is said" equal "$(cat check.out)" "saved one.svg: 1 run, 4 validations"
check "four validations, and one in the legend" equal "$(marks one.svg "$BLUE")" 5
check "the best has a ring, the legend too" equal "$(marks one.svg ' 31,  35,  40')" 2
for text in calm "loss, nats per token" "learning rate" "tokens per second" updates 200 \
    "validation ± standard error" training "best, 3.062 at 200" "floor of the corpus, 2.500"; do
    check "it says $text" has_text one.svg "$text"
done
check "a PNG" plot one.png one.tsv
check "it is one" equal "$(od -An -tx1 -N8 one.png | tr -d ' ')" 89504e470d0a1a0a
check "a PDF" plot one.pdf one.tsv
check "it is one, too" equal "$(head -c 5 one.pdf)" %PDF-
check "in the dark" plot dark.svg one.tsv --dark
check "the ground is dark" grep -q '<rect x="0" y="0" width="800".*fill="#0d1117"' dark.svg
check "as the reader likes" plot adaptive.svg one.tsv --adaptive
check "it has both colours" grep -qF "[stroke=\"rgb($BLUE)\"]{stroke:#4a9de0}" adaptive.svg
check "texts too" grep -qF '[fill="rgb(31,35,40)"]{fill:#e6edf3}' adaptive.svg
check "which are in that colour" grep -q '<g .*fill="rgb(31,35,40)"' adaptive.svg
check "the size is as asked" plot size.svg one.tsv --width 500 --height 300
check "it is in the file" grep -q 'width="500" height="300"' size.svg
check "an old picture is replaced if told" "$DUET" plot one.tsv -o old.svg --overwrite
check "by the same as before" same one.svg old.svg

check "bits per byte" plot bpb.svg one.tsv --y bpb
check "they are drawn" has_text bpb.svg "bits per byte"
check "with the floor as it is" has_text bpb.svg "floor of the corpus, 1.000"
check "panels of one's choice" plot panels.svg one.tsv --panels lr,loss
check "not the others" differ panels.svg one.svg
check "throughput is left out" [ "$(texts panels.svg | grep -c 'tokens per second')" = 0 ]
for x in seconds tokens; do
    check "against $x" plot $x.svg one.tsv --x $x
    check "other than against steps" differ $x.svg one.svg
done
check "80 seconds" has_text seconds.svg "training time, seconds"
check "51,200 tokens" has_text tokens.svg "training tokens, thousands"
for option in "--log-x" "--log-y" "--smooth 50" "--train no" "--title Other"; do
    check "with $option" plot option.svg one.tsv $option
    check "$option is seen" differ option.svg one.svg
done
check "the smoothing is said" plot smooth.svg one.tsv --smooth 50
check "in the legend" has_text smooth.svg "training, mean over 50 updates"

check "three runs" plot three.svg three.tsv
for i in 1 2 3; do
    check "run $i is named with its best" has_text three.svg "run $i  $((2 + i)).600"
done
check "five points of run 1 and its sign" equal "$(marks three.svg "$BLUE")" 6

check "folders of runs" plot runs.svg run other
check "named by what differs" [ "$(texts runs.svg | grep -c '^steps [24]0, lr \(0.003\|1e-5\)  [0-9.]*$')" = 2 ]
check "one run" plot run.svg run
check "is named by its folder" has_text run.svg run
check "its corpus has a floor" [ "$(texts run.svg | grep -c '^floor of the corpus')" = 1 ]
must train named --steps 10 --name "A name" --lr 1e-4
check "a run without validations on its way" plot named.svg named
check "is named by its name" has_text named.svg "A name"

awk 'BEGIN { print "s\tlabel"; for (i = 0; i < 8; i++) printf "it is %s%d\t%d\n", i % 2 ? "so" : "not", i, i % 2 }' >task.tsv
must "$DUET" train --init run/model.blzt --task task.tsv --task-eval task.tsv --template '{s}?' \
    --labels n,y --steps 4 --val-every 2 --batch 2 --threads 1 --out task --quiet >task.out 2>task.err
check "a task" plot task.svg task --panels loss,accuracy
check "has a loss of examples" has_text task.svg "loss, nats per example"
check "and accuracy" has_text task.svg accuracy

# A log that was cut, has no numbers where some should be, or nothing.
cp -r run torn && head -c 3000 run/log.jsonl >torn/log.jsonl
check "a log that ends in its middle" plot torn.svg torn
cp -r run gone && sed 's/"loss":[0-9.]*/"loss":null/; s/"val_loss":[0-9.]*/"val_loss":null/' \
    run/log.jsonl >gone/log.jsonl
refuses "a log without losses" 1 "no losses to draw" "$DUET" plot gone -o gone.svg
cp -r run empty && : >empty/log.jsonl
refuses "an empty log" 1 "empty has no losses to draw" "$DUET" plot empty -o empty.svg
check "beside another it is named" plot both.svg run empty
check "as empty" [ "$(texts both.svg | grep -c 'empty.*(empty)$')" = 1 ]
printf 'run\tstep\tval_loss\nx\t7\t2.5\n' >point.tsv
check "one point" plot point.svg point.tsv

# Validations that stand close together: bars become a band.
awk 'BEGIN { print "run\tstep\tval_loss\tval_loss_stderr"
    for (i = 1; i <= 80; i++) printf "dense\t%d\t%g\t0.1\n", i, 3 + 5 / i }' >dense.tsv
check "many validations" plot dense.svg dense.tsv
check "have a band" grep -qF "<polygon fill = 'rgb(209, 229, 241)'" dense.svg
check "and marks" equal "$(marks dense.svg "$BLUE")" 81

# ---- names that mean something to a shell, to gnuplot, to XML ----------------------------------
printf 'run\tstep\tval_loss\n' >names.tsv
n=0
while IFS= read -r name; do
    n=$((n + 1))
    printf '%s\t1\t%d\n%s\t2\t%d\n' "$name" $((n + 2)) "$name" $((n + 1)) >>names.tsv
done <<'END'
`touch pwned`
$(touch pwned)
"; system "touch pwned
'; !touch pwned
a_1^2 {/Symbol x} @b ~c
&amp; &#x41; <b> ]]>
größe 学 \n \101
END
name=x
while [ ${#name} -lt 200 ]; do name=$name$name; done
printf '%s\t1\t20\n' "$name" >>names.tsv
for kind in svg png pdf; do
    check "hostile names as $kind" plot names.$kind names.tsv
done
check "no command was run" absent pwned
check "names are as they were" has_text names.svg '`touch pwned`  2.000'
check "no markup" has_text names.svg 'a_1^2 {/Symbol x} @b ~c  6.000'
check "nor entities" has_text names.svg '&#x26;amp; &#x26;#x41; &#x3C;b&#x3E; ]]&#x3E;  7.000'
check "nor escapes" has_text names.svg 'größe 学 \n \101  8.000'
check "200 characters are cut" [ "$(texts names.svg | grep -c '^x*…x*  20.000$')" = 1 ]
if command -v python3 >/dev/null; then
    check "every SVG is well-formed XML" python3 -c 'import glob, xml.dom.minidom as x
for f in glob.glob("*.svg"): x.parse(f)'
fi
finish
