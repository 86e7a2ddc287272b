/* Whole searches, simulated: false keeps among the 200 trials of a stream, and the true gain on a
 * bowl, beside two rules in use: what is lower at one seed is kept; a paired t-test of three seeds
 * at 5 %. Prints the tables of docs/search.md; the number of searches as an argument. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include "gate_fixture.h"

#include "student.h"

#define MAX_TRIALS 400
#define KNOBS 6

static unsigned n_searches = 15;

enum rule { GATE, ONE_SEED, T_OF_3 };

/* A search: the bowl mean(x) = scale |x|^2, or a stream of candidates that are better or worse. */
struct setting {
    double rho, start, scale, step; /* of the bowl: each knob begins at start; steps are normal */
    double null, better, size;      /* of the stream (scale 0): shares of equals and gains */
    double spread;                  /* sd of the log of a candidate's standard deviation */
    unsigned tails, trials, floor;  /* floor: the baseline's seeds, for the noise floor */
    bool lucky;                     /* the baseline is the best of 20 equals at their first seed */
};

struct sim {
    const struct setting *set;
    struct rng rng;
    double seed[SEEDS];
    double (*value)[SEEDS]; /* configurations with several seeds, the incumbent among them */
    struct gate_runs *runs;
    size_t n_runs, incumbent;
    double x[KNOBS], mean;
    unsigned kept, wrong, refuted, trainings;
};

static double result(struct sim *s, double mean, double sd, size_t seed) {
    s->trainings++;
    return mean + sd * (s->seed[seed] + sqrt(1 - s->set->rho) * draw(&s->rng, s->set->tails));
}

static size_t add(struct sim *s) {
    const size_t i = s->n_runs++;
    for (size_t k = 0; k < SEEDS; k++) s->value[i][k] = NAN;
    s->runs[i] = (struct gate_runs){s->value[i], SEEDS, 0};
    return i;
}

static void fill(struct sim *s, size_t run, double mean, double sd, size_t n) {
    for (size_t k = 0; k < n; k++)
        if (isnan(s->value[run][k])) s->value[run][k] = result(s, mean, sd, k);
}

static void sim_init(struct sim *s, const struct setting *set, unsigned number) {
    *s = (struct sim){.set = set, .rng = rng_make(7, RNG_TEST, number, 0, 0)};
    s->value = calloc(MAX_TRIALS + 1, sizeof *s->value);
    s->runs = calloc(MAX_TRIALS + 1, sizeof *s->runs);
    if (!s->value || !s->runs) abort();
    for (size_t k = 0; k < SEEDS; k++) s->seed[k] = sqrt(set->rho) * draw(&s->rng, set->tails);
    for (size_t k = 0; k < KNOBS; k++) {
        s->x[k] = set->start;
        s->mean += set->scale * set->start * set->start;
    }
    s->incumbent = add(s);
    fill(s, 0, s->mean, 1, set->floor);
    for (int i = 0; set->lucky && i < 19; i++) {
        const double y = result(s, s->mean, 1, 0);
        if (y < s->value[0][0]) s->value[0][0] = y;
    }
}

static void sim_release(struct sim *s) {
    free(s->value);
    free(s->runs);
}

/* The candidate's mean; its knobs in x. */
static double propose(struct sim *s, double *x) {
    double mean = 0;
    if (!(s->set->scale > 0)) {
        const double u = rng_double(&s->rng), size = -log(1 - rng_double(&s->rng)) * s->set->size;
        if (u < s->set->null) return s->mean;
        return u < s->set->null + s->set->better ? s->mean - size : s->mean + size;
    }
    for (size_t k = 0; k < KNOBS; k++) {
        x[k] = s->x[k] + s->set->step * rng_normal(&s->rng);
        mean += s->set->scale * x[k] * x[k];
    }
    return mean;
}

/* What confirms a keep: eight fresh seeds of both. */
static bool holds(struct sim *s, double mean, double sd) {
    double sum = 0;
    for (int k = 0; k < 8; k++)
        sum += mean - s->mean + sqrt(1 - s->set->rho) * (sd * draw(&s->rng, s->set->tails)
            - draw(&s->rng, s->set->tails));
    return sum < 0;
}

static void take(struct sim *s, size_t run, double mean, double sd, const double *x) {
    s->kept++;
    s->wrong += mean >= s->mean;
    s->refuted += !holds(s, mean, sd);
    s->incumbent = run;
    s->mean = mean;
    memcpy(s->x, x, sizeof s->x);
}

static void gated_trial(struct sim *s, const struct gate_plan *plan, unsigned number) {
    double x[KNOBS] = {0};
    const double mean = propose(s, x), sd = exp(s->set->spread * rng_normal(&s->rng));
    struct gate_noise noise;
    struct gate_evidence v;
    gate_noise(s->runs, s->n_runs, s->incumbent, &noise);
    const size_t run = add(s);
    for (size_t k = 0;; k++) {
        s->value[run][k] = result(s, mean, sd, k);
        s->runs[run].n = k + 1;
        v = gate_look(plan, gate_threshold(plan, number + 1, s->kept), &s->runs[s->incumbent],
            &s->runs[run], &noise);
        if (v.verdict != GATE_MORE) break;
        fill(s, s->incumbent, s->mean, 1, k + 2);
    }
    s->runs[run].n = SEEDS;
    if (v.verdict == GATE_KEEP) {
        take(s, run, mean, sd, x);
        fill(s, run, mean, sd, SEEDS);
    } else if (v.contrast.candidate < 2) {
        s->n_runs--; /* says nothing of the noise */
    }
}

/* The incumbent has its n seeds in value[0]. */
static void other_trial(struct sim *s, size_t n) {
    double x[KNOBS] = {0}, y[3], diff = 0, squares = 0;
    const double mean = propose(s, x), sd = exp(s->set->spread * rng_normal(&s->rng));
    for (size_t k = 0; k < n; k++) {
        y[k] = result(s, mean, sd, k);
        diff += (y[k] - s->value[0][k]) / (double)n;
    }
    for (size_t k = 0; k < n; k++) squares += pow(y[k] - s->value[0][k] - diff, 2);
    if (diff >= 0) return;
    if (n == 3 && -diff < student_quantile(0.95, 2) * sqrt(squares / 2 / 3)) return;
    memcpy(s->value[0], y, n * sizeof *y);
    take(s, 0, mean, sd, x);
}

struct outcome {
    double kept, false_share, any_false, refuted, gain, trainings; /* refuted: share of all keeps */
};

static struct outcome searches(const struct setting *set, enum rule rule) {
    struct outcome o = {0};
    struct gate_plan plan = gate_plan();
    plan.trials = set->trials;
    for (unsigned i = 0; i < n_searches; i++) {
        struct sim s;
        sim_init(&s, set, i);
        const double start = s.mean;
        for (unsigned t = 0; t < set->trials; t++) {
            if (rule == GATE) gated_trial(&s, &plan, t);
            else other_trial(&s, rule == ONE_SEED ? 1 : 3);
        }
        o.kept += (double)s.kept / n_searches;
        o.false_share += s.kept ? (double)s.wrong / s.kept / n_searches : 0;
        o.any_false += (s.wrong > 0) / (double)n_searches;
        o.refuted += (double)s.refuted / n_searches;
        o.gain += (start - s.mean) / n_searches;
        o.trainings += (double)s.trainings / n_searches;
        sim_release(&s);
    }
    o.refuted /= o.kept;
    return o;
}

static void head(void) {
    printf("\n| search | rule | kept | false share | any false | fail on 8 fresh seeds | true gain "
           "| trainings |\n|---|---|---|---|---|---|---|---|\n");
}

static struct outcome row(const char *what, const struct setting *set, enum rule rule) {
    static const char *const rules[] = {"gate", "one seed", "t of three"};
    const struct outcome o = searches(set, rule);
    printf("| %s | %s | %.1f | %.3f | %.3f | %.3f | %.1f | %.0f |\n", what, rules[rule], o.kept,
        o.false_share, o.any_false, o.kept > 0 ? o.refuted : 0, o.gain, o.trainings);
    return o;
}

/* At most 5 %, up to what n_searches can tell: four standard errors of a share of 5 %. */
static double most(void) { return 0.05 + 4 * sqrt(0.05 * 0.95 / n_searches); }

static void streams(void **state) {
    (void)state;
    const struct setting mixed = {.null = 0.5, .better = 0.1, .size = 3, .trials = 200, .floor = 8};
    struct setting s = mixed;
    head();
    for (int i = 0; i < 2; i++) {
        const char *what = i ? "half equal, seeds pair" : "half equal";
        s.rho = 0.8 * i;
        const struct outcome o = row(what, &s, GATE);
        assert_true(o.false_share <= 0.05 && o.refuted <= 1.0 / 12);
        assert_true(row(what, &s, ONE_SEED).false_share > 0.3);
        assert_true(row(what, &s, T_OF_3).false_share > 0.1);
    }
    s = mixed;
    s.tails = 5;
    assert_true(row("half equal, t of 5", &s, GATE).false_share <= 0.05);
    s.tails = 0;
    s.spread = 0.5;
    assert_true(row("half equal, noise e^(0.5 z)", &s, GATE).false_share <= 0.05);
    s = mixed;
    s.null = 1;
    assert_true(row("all equal", &s, GATE).any_false <= most());
    assert_true(row("all equal", &s, ONE_SEED).any_false > 0.9);
    row("all equal", &s, T_OF_3);
    s.lucky = true;
    assert_true(row("all equal, lucky baseline", &s, GATE).any_false <= most());
    s.lucky = false;
    s.floor = 2;
    assert_true(row("all equal, floor of 2 seeds", &s, GATE).any_false <= most());
    s.rho = 0.8;
    assert_true(row("the same, seeds pair", &s, GATE).any_false <= most());
}

static void bowls(void **state) {
    (void)state;
    head();
    for (int i = 0; i < 6; i++) {
        struct setting s = {.rho = i % 2 * 0.8, .start = 2, .step = 0.4, .trials = 60, .floor = 4,
            .scale = i < 2 ? 0.25 : i < 4 ? 1 : 3};
        char name[64];
        snprintf(name, sizeof name, "bowl of %g sigma%s", s.scale * 24,
            s.rho > 0 ? ", seeds pair" : "");
        const struct outcome gate = row(name, &s, GATE), one = row(name, &s, ONE_SEED);
        row(name, &s, T_OF_3);
        assert_true(gate.false_share <= 0.05 && gate.refuted <= 1.0 / 12);
        if (s.scale >= 1) assert_true(gate.gain >= 0.8 * one.gain);
        s.trials = (unsigned)(gate.trainings + 0.5);
        row(name, &s, ONE_SEED);
    }
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(streams), cmocka_unit_test(bowls)};
    if (argc > 1) n_searches = (unsigned)atoi(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
