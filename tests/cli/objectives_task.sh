# The task of tests/cli/objectives.sh and results/scripts/mezo-objectives.sh, sourced by both.
# SEED N: two of 64 words; the label is that of the second.
examples() {
    awk -v seed="$1" -v n="$2" 'function word(i) {
            return substr("bdgklmnp", i % 8 + 1, 1) substr("aeiou", i % 5 + 1, 1) substr("dfghrstv", int(i / 8) + 1, 1)
        }
        BEGIN {
            srand(seed); print "sentence\tlabel"
            for (i = 0; i < n; i++) {
                a = int(rand() * 64); b = int(rand() * 64)
                print word(a) " " word(b) "\t" ((b * 37 + int(b / 8) * 11) % 64 < 32)
            }
        }'
}
# To learn, to be judged by and to begin with; a text with answers that say nothing.
task_files() {
    examples 1 200 >train.tsv
    examples 2 400 >eval.tsv
    examples 3 600 >begin.tsv
    tail -n +2 begin.tsv | awk '{ sub(/\t.*/, "")
        for (i = 0; i < 5; i++) print $0 ":" substr("xy", (NR * 7 + i * 3) % 2 + 1, 1) }' >text.txt
}
