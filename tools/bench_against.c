/* `duet bench step --against`: this program and others, each in a process of its own, take steps in
 * turns. Where one does not know --serve, every turn of every program is a process from its start,
 * and the old one's steps are what it says of them. */
#include "bench.h"
#include "bench_product.h"
#include "bench_remote.h"
#include "log.h"
#include "num.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum {
    MAX_PROGRAMS = MAX_RIVALS - 1, /* the last rival is the peak */
    TURN_STEPS = 64,               /* steps a turn at most, */
    WHOLE_STEPS = 200,             /* and a process */
    WHOLE_LEAST = 6,
};
#define TURN_SECONDS 0.2
#define WHOLE_SECONDS 2.0

struct program {
    const char *name;     /* this, a backend or a path */
    struct words command; /* up to and without --serve */
    bool old;             /* it does not know --serve */
    struct remote remote;
    char request[32]; /* for the steps of a turn */
    int64_t steps;
};

struct against {
    const struct bench_opts *o;
    char self[4096];
    struct program program[MAX_PROGRAMS];
    int n;
    bool whole;    /* by whole processes */
    int64_t steps; /* a turn */
    double flops;  /* of a step; 0: not known */
    struct peak peak;
    struct rounds rounds;
    struct log_progress line;
};

/* ---- who takes part -------------------------------------------------------------------------- */

static int add_program(struct against *a, const char *name, const char *path, const char *backend,
                       struct err *e) {
    static const char *const drop[] = {"against", "runs", "model", NULL},
                             *const drop_gemm[] = {"against", "runs", "model", "gemm", NULL},
                             *const flags[] = {"json", "quiet", NULL};
    if (a->n == MAX_PROGRAMS)
        return err_set(e, ERR_USAGE, "--against: at most %d", MAX_PROGRAMS - 1);
    struct program *p = a->program + a->n++;
    p->name = name;
    words_add(&p->command, path);
    words_add(&p->command, "bench");
    words_add_options(&p->command, a->o->argc, a->o->argv, backend ? drop_gemm : drop, flags);
    words_add(&p->command, "--model"); /* a name is found beside this program only */
    words_add(&p->command, a->o->train.model);
    words_add(&p->command, "--quiet");
    if (backend) words_add(&p->command, "--gemm");
    if (backend) words_add(&p->command, backend);
    return p->command.starved ? err_set(e, ERR_NOMEM, "no memory for a command line") : 0;
}

static int find_programs(struct against *a, struct err *e) {
    int rc;
    TRY(bench_self(a->self, sizeof a->self, e));
    TRY(add_program(a, "this", a->self, NULL, e));
    for (size_t i = 0; i < a->o->against.n; i++) {
        bool backend;
        const char *word = a->o->against.item[i];
        TRY(bench_against_kind(word, &backend, e));
        TRY(add_program(a, word, backend ? a->self : word, backend ? word : NULL, e));
    }
out:
    return rc;
}

static int serve(struct program *p, struct err *e) {
    words_add(&p->command, "--serve");
    const int rc = remote_open(&p->remote, &p->command, "step", &p->old, e);
    free(p->command.word[--p->command.n]);
    p->command.word[p->command.n] = NULL;
    snprintf(p->remote.request, sizeof p->remote.request, "%s", p->request);
    return rc;
}

/* Starts all, and takes one step each to see how many a turn has. */
static int start(struct against *a, struct err *e) {
    int rc = 0;
    double longest = 1e-6;
    for (int i = 0; i < a->n; i++) {
        struct program *p = a->program + i;
        struct turn t;
        log_state(&a->line, "preparing %s", p->name);
        snprintf(p->request, sizeof p->request, "1\n");
        TRY(serve(p, e));
        a->whole = a->whole || p->old;
        if (p->old) continue;
        TRY(remote_turn(&p->remote, &t, e));
        /* by processors: what else the machine does shall not shorten the turns */
        longest = fmax(longest, fmin(t.wall, t.cpu / machine_threads(&a->o->machine)));
        if (i == 0) a->flops = p->remote.flops;
    }
    if (a->whole)
        a->steps = (int64_t)fmin(fmax(ceil(WHOLE_SECONDS / longest), WHOLE_LEAST), WHOLE_STEPS);
    else
        a->steps = (int64_t)fmin(ceil(TURN_SECONDS / longest), TURN_STEPS);
    for (int i = 0; i < a->n; i++) {
        struct program *p = a->program + i;
        p->steps = a->steps;
        snprintf(p->request, sizeof p->request, "%lld\n", (long long)a->steps);
        snprintf(p->remote.request, sizeof p->remote.request, "%s", p->request);
        if (a->whole) remote_close(&p->remote);
    }
out:
    return rc;
}

/* ---- whole processes ------------------------------------------------------------------------- */

/* Of `bench step --runs N --json`: the median seconds of a step, and the seconds of processors of
 * the process. */
static int run_whole(const struct program *p, int64_t steps, double *wall, double *cpu,
                     struct err *e) {
    int rc;
    struct words w = {0};
    struct child c = {0};
    char runs[32], words[512];
    json_t *j = NULL;
    static const char *const none[] = {NULL};
    words_add_options(&w, p->command.n, p->command.word, none, none);
    snprintf(runs, sizeof runs, "%lld", (long long)steps);
    words_add(&w, "--runs");
    words_add(&w, runs);
    words_add(&w, "--json");
    if (w.starved) TRY(err_set(e, ERR_NOMEM, "no memory for a command line"));
    TRY(child_open(&c, w.word, e));
    j = json_loadf(c.from, 0, NULL);
    child_wait(&c);
    if (c.status || !json_is_number(json_object_get(j, "ms_per_step")))
        TRY(err_set(e, ERR_IO, "%.200s: bench step failed: %.400s", c.program,
                    child_last_words(&c, words, sizeof words)));
    *wall = 1e-3 * json_number_value(json_object_get(j, "ms_per_step"));
    *cpu = c.cpu;
out:
    json_decref(j);
    child_close(&c);
    words_release(&w);
    return rc;
}

/* A rival's turn in a process of its own. Start, warm-up and the peak that an old program measures
 * for itself are in a process of one step, too. */
static int whole_turn(void *program, struct turn *t, struct err *e) {
    struct program *p = program;
    double one, cpu_one, cpu;
    int rc;
    if (!p->old) {
        TRY(serve(p, e));
        TRY(remote_turn(&p->remote, t, e));
    } else {
        TRY(run_whole(p, p->steps, &t->wall, &cpu, e));
        TRY(run_whole(p, 1, &one, &cpu_one, e));
        t->cpu = (cpu - cpu_one) / (double)(p->steps - 1);
    }
out:
    remote_close(&p->remote);
    return rc;
}

/* ---- the report ------------------------------------------------------------------------------ */

/* How many times the seconds of the first. */
static struct stat_spread times(const struct against *a, int i, bool cpu) {
    return rounds_ratio(&a->rounds, 0, i, cpu);
}

static struct stat_spread in_ms(struct stat_spread s) {
    return (struct stat_spread){1e3 * s.median, 1e3 * s.low, 1e3 * s.high};
}

static struct stat_spread share(const struct against *a, int i) {
    const struct stat_spread s = rounds_ratio(&a->rounds, i, a->n, false);
    const double f = a->flops / shape_flops(&a->peak.data.shape);
    return (struct stat_spread){f * s.median, f * s.low, f * s.high};
}

static void print_text(const struct against *a) {
    const struct drift_range d = drift_range(&a->peak.rates);
    const int64_t runs = a->o->runs;
    char cpu[CPU_MODEL], text[3][48];
    printf("%lld rounds, in each a turn of every program, %lld step%s%s, and of the peak\n%s, %d "
           "threads, %s; a-b: where the median lies with %.0f %%\ntimes: the seconds of \"this\"; "
           "cpu: seconds of processors, which other work does not take\n\n%-24s %21s %16s %9s "
           "%16s%s\n",
           (long long)runs, (long long)a->steps, a->steps == 1 ? "" : "s",
           a->whole ? " in a new process" : "", cpu_model(cpu, sizeof cpu),
           machine_threads(&a->o->machine), cpu_tier_name(a->o->machine.cpu.tier),
           100 * stat_spread_level((size_t)runs), "", "ms a step", "times", "cpu ms", "times",
           a->flops > 0 ? " share" : "");
    for (int i = 0; i < a->n; i++) {
        const struct stat_spread ms = in_ms(rounds_seconds(&a->rounds, i, false));
        const char *name = a->program[i].name;
        const size_t long_by = strlen(name) > 24 ? strlen(name) - 24 : 0;
        const int digits = ms.median < 10 ? 2 : 1;
        snprintf(text[0], sizeof text[0], "%.*f %.*f-%.*f", digits, ms.median, digits, ms.low,
                 digits, ms.high);
        printf("%-24s %21s %16s %9.*f %16s", name + long_by, text[0],
               bench_spread_text(times(a, i, false), text[1]), digits,
               1e3 * rounds_seconds(&a->rounds, i, true).median,
               bench_spread_text(times(a, i, true), text[2]));
        if (a->flops > 0) printf("  %.2f", share(a, i).median);
        putchar('\n');
    }
    printf("peak: %s, %lld cubed: %.0f to %.0f GFLOP/s\n", a->peak.g.backend->name,
           (long long)a->peak.data.shape.m, d.low, d.high);
}

static json_t *program_json(const struct against *a, int i) {
    json_t *j = json_pack("{s:s}", "program", a->program[i].name);
    bench_spread_json(j, "ms_per_step", in_ms(rounds_seconds(&a->rounds, i, false)));
    bench_spread_json(j, "cpu_ms_per_step", in_ms(rounds_seconds(&a->rounds, i, true)));
    bench_spread_json(j, "times", times(a, i, false));
    bench_spread_json(j, "cpu_times", times(a, i, true));
    if (a->flops > 0) bench_spread_json(j, "peak_fraction", share(a, i));
    return j;
}

static void print_json(const struct against *a) {
    const struct drift_range d = drift_range(&a->peak.rates);
    char cpu[CPU_MODEL];
    json_t *programs = json_array();
    for (int i = 0; i < a->n; i++) json_array_append_new(programs, program_json(a, i));
    json_t *j = json_pack(
        "{s:s,s:s,s:i,s:I,s:I,s:b,s:f,s:s,s:I,s:f,s:f,s:f,s:o}", "cpu", cpu_model(cpu, sizeof cpu),
        "isa", cpu_tier_name(a->o->machine.cpu.tier), "threads", machine_threads(&a->o->machine),
        "runs", (json_int_t)a->o->runs, "steps_a_turn", (json_int_t)a->steps, "whole_processes",
        a->whole, "interval_level", stat_spread_level((size_t)a->o->runs), "peak_backend",
        a->peak.g.backend->name, "peak_side", (json_int_t)a->peak.data.shape.m, "peak_low", d.low,
        "peak_high", d.high, "peak_moved", d.moved, "programs", programs);
    char *text = json_dumps(j, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    printf("%s\n", text ? text : "{}");
    free(text);
    json_decref(j);
}

/* ---- all of it ------------------------------------------------------------------------------- */

static void seen(void *against, int64_t done, int64_t of) {
    struct against *a = against;
    log_bar(&a->line, "measuring", (uint64_t)done, (uint64_t)of, "rounds");
}

static int measure(struct against *a, struct err *e) {
    struct rival rival[MAX_RIVALS];
    for (int i = 0; i < a->n; i++) {
        struct program *p = a->program + i;
        rival[i] = (struct rival){.name = p->name,
                                  .turn = a->whole ? whole_turn : remote_turn,
                                  .ctx = a->whole ? (void *)p : (void *)&p->remote};
    }
    rival[a->n] = (struct rival){"peak", peak_turn, &a->peak};
    return rounds_take(&a->rounds, rival, a->n + 1, a->o->runs, (uint64_t)a->o->train.seed, seen, a,
                       e);
}

int bench_against(const struct bench_opts *o, struct err *e) {
    int rc;
    const struct train_opts *t = &o->train;
    struct against *a = calloc(1, sizeof *a);
    if (!a) return err_set(e, ERR_NOMEM, "out of memory");
    a->o = o;
    log_progress_init(&a->line, t->quiet);
    log_begin(&a->line);
    TRY(find_programs(a, e));
    TRY(start(a, e));
    TRY(peak_open_best(&a->peak, compute_type(t->compute, t->gemm, &o->machine.cpu),
                       &o->machine.cpu, o->machine.pool, e));
    TRY(measure(a, e));
    log_progress_end(&a->line);
    if (t->json)
        print_json(a);
    else
        print_text(a);
    fflush(stdout);
    bench_warn_of_drift(&a->peak.rates);
    if (a->flops > 0) bench_warn_of_share(share(a, 0).median);
out:
    log_progress_end(&a->line);
    for (int i = 0; i < a->n; i++) {
        remote_close(&a->program[i].remote);
        words_release(&a->program[i].command);
    }
    peak_close(&a->peak);
    rounds_release(&a->rounds);
    free(a);
    return rc;
}
