#include "machine.h"

#include "limit.h"

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

/* NULL: f32. */
static int type_of(enum dtype *t, const char *compute, const char *backend, const struct cpu *cpu,
                   struct err *e) {
    const int found = compute ? dtype_find(compute) : DT_F32;
    *t = (enum dtype)found;
    if (found == DT_F32 || found == DT_BF16) return 0;
    if (compute && strcmp(compute, "auto"))
        return err_set(e, ERR_USAGE,
                       "the type of products is \"%.80s\", expected f32, bf16 or auto", compute);
    *t = gemm_faster_compute(backend, cpu);
    return 0;
}

int machine_products(struct machine *m, const struct machine_opts *o, struct err *e) {
    int rc = 0;
    const char *backend = o->gemm ? o->gemm : "auto";
    for (int i = 0; i < GEMM_CLASSES; i++) {
        enum dtype t;
        const char *compute = i == GEMM_EXACT && o->exact ? o->exact : o->compute;
        TRY(type_of(&t, compute, backend, &m->cpu, e));
        TRY(gemm_init(m->gemm + i, backend, t, &m->cpu, m->pool, e));
    }
out:
    return rc;
}

int machine_open(struct machine *m, const struct machine_opts *o, struct err *e) {
    int rc;
    *m = (struct machine){.memory = o->memory};
    TRY(o->tier ? choose_cpu(&m->cpu, "the instruction set", o->tier, e)
                : machine_cpu(&m->cpu, e));
    m->kern = kern_tier((int)m->cpu.tier);
    TRY(pool_open(&m->pool, o->threads > 0 ? o->threads : cpu_count(), e));
    if (!o->idle) TRY(machine_products(m, o, e));
    rc = 0;
out:
    if (rc) machine_close(m);
    return rc;
}

int machine_share(struct machine *m, const struct machine *of, const struct machine_opts *o,
                  struct err *e) {
    *m = (struct machine){.pool = of->pool,
                          .cpu = of->cpu,
                          .kern = of->kern,
                          .memory = of->memory,
                          .borrowed = true};
    return machine_products(m, o, e);
}

void machine_alone(struct machine *m, const struct machine *of) {
    *m = (struct machine){
        .cpu = of->cpu, .kern = of->kern, .memory = of->memory, .borrowed = true};
    for (int i = 0; i < GEMM_CLASSES; i++) {
        m->gemm[i] = of->gemm[i];
        m->gemm[i].pool = NULL;
    }
}

void machine_close(struct machine *m) {
    if (!m->borrowed) pool_close(m->pool);
    *m = (struct machine){0};
}

size_t machine_memory(const struct machine *m) {
    const size_t have = memory_available();
    return m->memory && (!have || m->memory < have) ? m->memory : have;
}

double machine_peak(struct machine *m, double seconds, size_t room) {
    const struct gemm *g = m->gemm + GEMM_WEIGHTS;
    _Atomic double *peak = m->peak + gemm_peak_rank(g, room);
    if (!*peak) *peak = gemm_peak(g, seconds, room);
    return *peak;
}
