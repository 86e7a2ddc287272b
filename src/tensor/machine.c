#include "machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int choose_cpu(struct cpu *cpu, const char *what, const char *tier, struct err *e) {
    if (cpu_choose(cpu, tier)) return 0;
    char tiers[128] = "";
    for (int t = 0; t < CPU_TIER_COUNT; t++) {
        const size_t n = strlen(tiers);
        snprintf(tiers + n, sizeof tiers - n, "%s%s", t ? ", " : "",
                 cpu_tier_name((enum cpu_tier)t));
    }
    return err_set(e, ERR_USAGE, "%s is \"%.80s\", expected one of: %s", what, tier, tiers);
}

int machine_cpu(struct cpu *cpu, struct err *e) {
    return choose_cpu(cpu, "the environment variable DUET_CPU", getenv("DUET_CPU"), e);
}

int machine_products(struct machine *m, const char *backend, const char *compute, struct err *e) {
    enum dtype type = DT_F32;
    if (!backend) backend = "auto";
    if (compute && !strcmp(compute, "auto"))
        type = gemm_faster_compute(backend, &m->cpu);
    else if (compute)
        type = (enum dtype)dtype_find(compute);
    for (int i = 0; i < GEMM_CLASSES; i++) {
        const int rc = gemm_init(m->gemm + i, backend, type, &m->cpu, m->pool, e);
        if (rc) return rc;
    }
    return 0;
}

int machine_open(struct machine *m, const struct machine_opts *o, struct err *e) {
    int rc;
    *m = (struct machine){0};
    TRY(o->tier ? choose_cpu(&m->cpu, "the instruction set", o->tier, e)
                : machine_cpu(&m->cpu, e));
    m->kern = kern_tier((int)m->cpu.tier);
    TRY(pool_open(&m->pool, o->threads > 0 ? o->threads : cpu_count(), e));
    if (!o->idle) TRY(machine_products(m, o->gemm, o->compute, e));
    rc = 0;
out:
    if (rc) machine_close(m);
    return rc;
}

int machine_share(struct machine *m, const struct machine *of, const char *gemm,
                  const char *compute, struct err *e) {
    *m = (struct machine){.pool = of->pool, .cpu = of->cpu, .kern = of->kern, .borrowed = true};
    return machine_products(m, gemm, compute, e);
}

void machine_close(struct machine *m) {
    if (!m->borrowed) pool_close(m->pool);
    *m = (struct machine){0};
}
