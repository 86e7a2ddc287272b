/* Keeping is a test: may a candidate configuration take the place of the incumbent?
 *
 * Lower is better. y(c, s) is the result of configuration c at seed s; its mean over all seeds is
 * what counts. The hypothesis of one test is "the candidate's mean is not below the incumbent's";
 * it is rejected, and the candidate kept, when the evidence against it is large enough. Results
 * come one seed after another, and after each of them the gate says keep, discard, or one seed
 * more. Everything here is a function of its arguments: nothing is stored, so that a search that
 * was killed decides the same again.
 *
 * One test. Rivals share seeds. The differences d(s) = candidate - incumbent at one seed are normal
 * with mean tau and standard deviation sigma, both unknown. z = mean(d) / sqrt(1/n), S is the sum
 * of squares of their residuals and those of the pool (below), of df degrees of freedom. Of that,
 * x = z / sqrt(S + z^2) remains when the unit does not matter (the maximal invariant), and its
 * likelihood under "better by g sigma" over that under "equal" is the Bayes factor with the right
 * Haar prior on sigma,
 *
 *     E(g) = noncentral t over central t, of df degrees of freedom, shift g sqrt(n).
 *
 * Seed after seed E(g) is a martingale of mean 1 where the means are equal, in the filtration of
 * the invariants: a decision when to stop may look at signs, ratios and E itself, not at the unit
 * of the results. So its mean is 1 whenever one stops, and below 1 where the candidate is worse.
 * A mixture over g with fixed weights keeps this (gate.c, GATE_BETS); it is the e-value.
 *   Perez-Ortiz, Lardy, de Heide & Gruenwald, E-statistics, group invariance and anytime-valid
 *     testing, Ann. Statist. 52 (2024) 1410: such ratios, linear models included, are e-processes,
 *     and those that grow fastest in the worst case.
 *   Wang & Ramdas, Anytime-valid t-tests and confidence sequences for Gaussian means with unknown
 *     variance, arXiv:2310.03722: the martingale and its filtration.
 *
 * Which variance. Two to eight seeds alone know little of sigma, so the pool helps: residuals of
 * the differences of other configurations to the same incumbent, and, as long as they do not fill
 * it, twice the noise floor's variance, which is the variance of a difference if seeds did not pair
 * at all (more than it is, if they do: the safe side). But sigma is not the same for every pair: a
 * changed learning rate moves with the incumbent from seed to seed, another depth does not. On
 * duet's tiny models it differs fivefold (docs/search.md). So
 *   - the pool counts for at most pool_df degrees of freedom, however many it has. That makes E
 *     exact where variances differ between pairs as pool_df over a chi-square of pool_df degrees of
 *     freedom (Smyth, Stat. Appl. Genet. Mol. Biol. 3 (2004) 3: the moderated t), and of mean below
 *     1 where they do not differ;
 *   - a quarter of the mixture does without the pool: exact whatever the variances of others, at
 *     the price of five seeds or more for a keep. It finds the small and certain gains of pairs
 *     that are much more alike than the pool's. pool_df = 0 makes it the whole.
 * The two belong to two filtrations, and who stops by looking at their sum looks at more than
 * either allows (Choe & Ramdas, Combining evidence across filtrations, arXiv:2402.09698); and the
 * pool shares the incumbent's results with the test. Neither is covered by the theorem; the mean of
 * e when it is stopped is measured instead (test_gate_null: not above 1 with a noise floor of five
 * seeds or a pool of others; with two seeds alone a little), also for candidates much noisier than
 * the pool and for heavy tails, which can bring it above 1 (docs/search.md); min_seeds bounds what
 * they do.
 *
 * The whole search: e-LOND (Xu & Ramdas, Online multiple testing with e-values, AISTATS 2024,
 * arXiv:2311.06412). Test number t keeps at
 *
 *     e >= 1 / (alpha share(t) (kept so far + 1)),   alpha = 1 - confidence, sum of shares 1.
 *
 * Controlled is the false discovery rate: of the keeps of a search, the expected share of those
 * whose mean is not below that of the incumbent they replaced is at most 1 - confidence. Why: at a
 * keep, 1 <= e alpha share(t) (kept + 1), and kept + 1 <= K, all keeps of the search in the end; so
 * the mean of (false keeps / K) is at most the sum, over tests whose hypothesis is true, of
 * alpha share(t) mean(e). No more than mean(e) <= 1 is used, test by test: tests may depend on each
 * other in any way, and they do, as they share the incumbent's results and the seeds.
 *   Two things choose the incumbent by its results: it was kept for being low, and stays for not
 * being beaten. Both make its results look better than it is, candidates worse, and e smaller:
 * the winner's curse costs keeps, it makes none (test_gate_search). Seeds that were not looked at
 * when it was kept dilute it: complete a new incumbent to the plan's max_seeds.
 *   Candidates are chosen by results, too: strategies see what came out at seed 1, and seed 1 is
 * the first pair of the next test. Halving goes furthest: it takes on the very runs that were low
 * at seed 1, with that seed. Their results there are low whether they are better or not, so they
 * are no evidence: of a candidate that was taken further the caller leaves seed 1 out (NaN), and
 * the test has the seeds behind it, whose noise is fresh given all that chose; mean(e) <= 1 holds
 * as above. At seed 1 it may be given up, which lessens false keeps. The price is a seed of each
 * such test.
 *   All other strategies choose a configuration, not a result. Where its noise at seed 1 is fresh
 * (beside what all configurations share at a seed, which cancels in the difference), the choice
 * tells nothing of it, and mean(e) <= 1 holds given all that was seen before. It is not fresh where
 * luck carries over: configurations that are much alike share noise at a seed (on duet's tiny
 * models the correlation is up to 0.99), so that what lies near a lucky one is lucky. The theorem
 * does not cover this. Its worst case is a candidate whose own first result is the lowest of m
 * equal ones: with a noise floor of five seeds the mean of e, stopped, is then 1.9, 2.5, 3.1 for m
 * = 5, 20, 60, and 300 is ever reached by 0.0029, 0.0042, 0.0038 of the tests instead of 0.0033 at
 * most (test_gate_null; what leaving seed 1 out makes of it stands beside it). By the bound above
 * the false discovery rate is then at most mean(e) times 1 - confidence, 0.153 at 0.95 for m = 60;
 * a strategy that is not halving has no such candidates, only such neighbours. Later seeds are seen
 * by no strategy, and dilute it.
 *
 * share(t) is 0.8 / trials for the first `trials` tests, a fifth of that for as many again, and so
 * on: a search may be continued. `trials` is the number planned when it began. */
#ifndef DUET_GATE_H
#define DUET_GATE_H

#include <stddef.h>

struct err;

struct gate_plan {
    double confidence;  /* 1 - false discovery rate, in (0, 1) */
    unsigned trials;    /* tests planned, >= 1 */
    unsigned min_seeds; /* of a candidate before it is kept, >= 1 */
    unsigned max_seeds; /* of a candidate, >= min_seeds */
    double give_up;     /* discard below this chance of a keep, in [0, 1) */
    double pool_df;     /* what the pool counts for at most, >= 0; HUGE_VAL: equal variances */
};

/* Confidence 0.95, 100 trials, 2 to 8 seeds, given up below a chance of 0.1, pool_df 4 (so five
 * seeds of the baseline are enough of a noise floor). */
struct gate_plan gate_plan(void);

/* ERR_USAGE, one sentence, for a plan whose fields are not as above. */
int gate_plan_check(const struct gate_plan *p, struct err *e);

/* Results of one configuration: value[s] of seed number s, n of them, NaN where there is none (not
 * run, or lost by something else than the configuration: run it again if you can). The seeds of all
 * configurations are numbered alike. Infinities count as none. */
struct gate_runs {
    const double *value;
    size_t n;
    unsigned failed; /* seeds at which the configuration itself failed: diverged, NaN */
};

/* What is known of the noise. */
struct gate_noise {
    double sd, df;           /* of one result about its configuration's mean; sum of (seeds - 1) */
    double low, high;        /* sd lies between with 95 %, if normal and the same for all */
    double pair_sd, pair_df; /* of a difference to the incumbent at one seed, about its mean */
};

/* The noise floor from configurations with several seeds each: all but the candidate that is
 * tested, the incumbent (number `incumbent`) included. Of repeated runs of one configuration:
 * n = 1. Configurations of less than two results add nothing. NaN where df or pair_df is 0. */
void gate_noise(const struct gate_runs *configs, size_t n, size_t incumbent,
    struct gate_noise *out);

/* The difference candidate - incumbent. */
struct gate_contrast {
    double diff;        /* its estimate; NaN where one has no result, or squares overflow */
    double variance;    /* of diff in units of that of one paired difference: 1 / seeds */
    double squares, df; /* S and its degrees of freedom, the pool included */
    double own_squares, own_df; /* without the pool */
    double x; /* z / sqrt(S + z^2), z = diff / sqrt(variance); 0 where both are 0 */
    unsigned candidate, incumbent, paired; /* results of each; seeds that both have */
};

/* The mean of the differences at seeds that both have. Where there are none (the incumbent's
 * results are lost, say), the difference of means, which takes the noise to be that of `sd`. */
struct gate_contrast gate_contrast(const struct gate_runs *incumbent,
    const struct gate_runs *candidate, const struct gate_noise *noise, double pool_df);

/* log of the e-value against "candidate not better"; 0 where diff is NaN: no evidence. */
double gate_log_e(const struct gate_contrast *c);

/* diff lies in [low, high] at all looks together with `confidence` (a confidence sequence: the
 * values against which the same e-value, two-sided, stays below 1 / (1 - confidence)). For this one
 * pair: it is not widened for the search. Infinite where there are too few results. */
void gate_interval(const struct gate_contrast *c, double confidence, double *low, double *high);

/* The same for one look at a number of seeds fixed beforehand, as of `confirm`: Student's t of
 * c->df degrees of freedom (those of the pair alone where the contrast was made with pool_df 0). */
void gate_interval_fixed(const struct gate_contrast *c, double confidence, double *low,
    double *high);

/* log(1 / (alpha share(test) (kept + 1))): what the log of the e-value must reach. test counts from
 * 1 in the order in which tests begin; kept: keeps decided so far. Rivals tested at the same time
 * may use the keeps known when each is decided. */
double gate_threshold(const struct gate_plan *p, unsigned test, unsigned kept);

enum gate_verdict {
    GATE_KEEP,
    GATE_DISCARD,
    GATE_MORE /* the candidate's next seed; first the incumbent's, where it has none there */
};

enum gate_reason {
    GATE_PROVEN,    /* keep: threshold reached */
    GATE_HOPELESS,  /* discard: chance below give_up */
    GATE_SPENT,     /* discard: max_seeds used */
    GATE_FAILED,    /* discard: the candidate failed at a seed */
    GATE_UNDECIDED, /* more */
    GATE_TOO_FEW    /* more: threshold reached, min_seeds not */
};

/* For the ledger, with gate_interval of the contrast. */
struct gate_evidence {
    enum gate_verdict verdict;
    enum gate_reason reason;
    struct gate_contrast contrast;
    double log_e, threshold;
    double chance; /* of a keep by max_seeds; 1 where nothing is known of the noise yet */
};

/* The verdict after the results so far, with threshold = gate_threshold(...).
 *
 * Futility: the chance is the predictive one of reaching the threshold at max_seeds, were sigma as
 * estimated now, and nothing known of tau but these results (a flat prior: kind to the candidate).
 * The mean difference of all seeds is then the present one plus a t of df degrees of freedom times
 * sqrt(S/df (1/n - 1/max_seeds)) (Spiegelhalter, Freedman & Blackburn, Controlled Clin. Trials 7
 * (1986) 8). A chance of 0 says that no results could reach it. Giving up can only lessen false
 * keeps. A candidate that failed is discarded: the seeds that it survived speak only of
 * themselves. */
struct gate_evidence gate_look(const struct gate_plan *p, double threshold,
    const struct gate_runs *incumbent, const struct gate_runs *candidate,
    const struct gate_noise *noise);

/* Words for ledger and help: "keep", "discard", "more"; "proven", "hopeless", "spent", "failed",
 * "undecided", "too few seeds". */
const char *gate_verdict_word(enum gate_verdict v);
const char *gate_reason_word(enum gate_reason r);

#endif
