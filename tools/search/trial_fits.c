/* What the planner says of a trial. */
#include "trial_impl.h"

#include "hand_files.h"
#include "limit.h"
#include "train_plan.h"

#include <math.h>
#include <stdio.h>

/* Beside what is planned: the program, its libraries, the tokenizer (docs/cli.md, plan). */
static const double program_mb = 12;

/* The options as `duet train` reads them. */
struct asked {
    struct train_opts o;
    struct conf conf;
    struct adapter_words words;
};

static int read_options(struct asked *a, const struct trial_spec *s, struct err *e) {
    int rc;
    char config[] = "--config", seed[] = "--seed", threads[] = "--threads", n[16], number[32];
    char *argv[] = {config, (char *)(uintptr_t)s->config, seed, number, threads, n, NULL};
    snprintf(number, sizeof number, "%lld", (long long)s->seed);
    snprintf(n, sizeof n, "%d", s->threads ? s->threads : trial_threads(s->parts));
    TRY(conf_parse(&a->conf, train_rows, &a->o, 6, argv, e));
    TRY(train_take_adapter(&a->o, &a->conf, &a->words, e));
out:
    return rc;
}

static bool within(struct trial_plan *p, const struct trial_limits *l) {
    const double need = p->planned_mb + program_mb;
    if (l->num_params_M > 0 && p->num_params_M > l->num_params_M)
        trial_say(p->words, "%.4g M parameters, the limit is %.4g M", p->num_params_M,
                  l->num_params_M);
    else if (l->peak_rss_mb > 0 && need > l->peak_rss_mb)
        trial_say(p->words, "plans %.1f MB and %g MB for the program, the limit is %.1f MB",
                  p->planned_mb, program_mb, l->peak_rss_mb);
    else if (l->memory_mb > 0 && p->planned_mb > l->memory_mb)
        trial_say(p->words, "plans %.1f MB, and its share of the memory is %.1f MB", p->planned_mb,
                  l->memory_mb);
    else
        return true;
    return false;
}

int trial_fits(const struct trial_spec *s, struct trial_plan *p, struct err *e) {
    int rc;
    struct asked a = {0};
    struct train_plan plan = {0};
    *p = (struct trial_plan){.fits = true, .planned_mb = NAN, .num_params_M = NAN};
    if (s->program && !hand_same_file(s->program, "/proc/self/exe")) return 0; /* who knows */
    TRY(read_options(&a, s, e));
    TRY(train_plan_make(&plan, &a.o, e));
    TRY(train_check_effect(&plan.setup, &a.o, &a.conf, e));
    p->planned_mb = in_mb(plan.memory.total);
    p->num_params_M = 1e-6 * (double)model_param_count(&plan.model);
    p->fits = within(p, &s->limits);
out:
    if (rc == ERR_USAGE || rc == ERR_INPUT) {
        trial_say(p->words, "%s", e->msg);
        p->fits = false;
        rc = 0;
    }
    train_plan_close(&plan);
    train_release_adapter(&a.words);
    conf_release(&a.conf);
    return rc;
}
