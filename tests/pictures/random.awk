# A table of runs made by chance: awk -v seed=N -f random.awk. 1 to 50 runs, names of all kinds, one
# point, NaN, infinite, huge ranges, runs without validation, very different lengths.
function pick(n) { return int(rand() * n) }
function power(lo, hi) { return 10 ^ (lo + rand() * (hi - lo)) }
function name(i,    kind, s, k, words) {
    kind = pick(9)
    if (kind == 0) {
        s = ""
        for (k = 0; k < 200; k++) s = s substr("abcdefghijklmnopqrstuvwxyzWM", 1 + pick(28), 1)
        return s i
    }
    if (kind == 1) return "`touch pwned` $(touch pwned) ${HOME} ; rm -rf x | ! system " i
    if (kind == 2) return "a_1^2 {/Symbol=99 a} ~b{.8-} @c &{x} \\n \\t \\\" \" ' '' %s %n " i
    if (kind == 3) return "&amp; &#x41; &nosuch; <b>bold</b> ]]> <!-- " i
    if (kind == 4) return "größe 学習率 скорость λ = 3·10⁻⁴ 😀 é ‮ \001 " i
    if (kind == 5) return "runs/" i
    if (kind == 6) return "WWWWWWWWWWWWWWWWWWWW" i
    return "lr " sprintf("%.2g", power(-5, -1)) ", layers " pick(12) ", " i
}
function put(v) { printf "\t%s", v }
function value(y,    chance) {
    chance = rand()
    if (chance < odd / 3) return "nan"
    if (chance < odd * 2 / 3) return "inf"
    if (chance < odd) return sprintf("%.4g", power(-30, 35))
    return sprintf("%.5g", y)
}
BEGIN {
    srand(seed)
    runs = seed <= 4 ? seed : seed == 5 ? 50 : 1 + pick(pick(3) ? 14 : 50)
    odd = pick(3) ? 0 : power(-2.5, -0.5)
    scale = pick(4) ? 1 : power(-8, 9)
    print "run\tstep\tseconds\ttokens\tloss\tlr\tgrad_norm\ttokens_per_second\tval_loss" \
        "\tval_loss_stderr\tval_accuracy\tval_bpb\tfloor_bpb"
    for (r = 1; r <= runs; r++) {
        label = name(r)
        lines = pick(6) ? 5 + pick(60) : 1
        every = power(0, 3)
        end = 3 * rand()
        tau = lines * every * power(-2, 0)
        validates = pick(5)
        for (i = 1; i <= lines; i++) {
            step = int(i * every) + i
            y = scale * (end + 8 * exp(-step / tau))
            printf "%s", label
            put(step); put(step * 0.08); put(step * 512); put(value(y + scale * (rand() - 0.5) / 5))
            put(value(1e-3 * (1 - i / (lines + 1)))); put(value(rand())); put(value(3000 + 400 * rand()))
            if (!validates || (i % 5 && i != lines))
                printf "\t\t\t\t\t\n"
            else {
                put(value(y)); put(value(0.03 * scale)); put(rand()); put(y > 0 ? y * 0.4 : "")
                put(0.4 * scale * (end - 0.2) > 0 ? 0.4 * scale * (end - 0.2) : ""); print ""
            }
        }
    }
}
