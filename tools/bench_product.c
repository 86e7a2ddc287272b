#include "bench_product.h"

#include "clock.h"
#include "limit.h"

#include <math.h>
#include <string.h>

static const struct {
    const char *name;
    bool ta, tb;
} forms[] = {
#define X(id, name, ta, tb) {name, ta, tb},
    PRODUCT_FORMS(X)
#undef X
};

const char *shape_form(const struct shape *s) {
    return forms[s->form].name;
}

double shape_flops(const struct shape *s) {
    return 2.0 * (double)s->m * (double)s->n * (double)s->k;
}

static struct mat operand(const float *data, int64_t rows, int64_t k, bool trans) {
    return mat_f32(data, trans ? rows : k, trans);
}

int product_data_open(struct product_data *d, const struct shape *s, const struct gemm *g, int n,
                      struct err *e) {
    int rc;
    const bool ta = forms[s->form].ta;
    const size_t na = (size_t)(s->m * s->k), nb = (size_t)(s->n * s->k), nc = (size_t)(s->m * s->n);
    size_t work = 0;
    *d = (struct product_data){.shape = *s};
    for (int i = 0; i < n; i++) {
        const size_t w = gemm_work_bytes(g + i, s->m, s->n, s->k, operand(NULL, s->m, s->k, ta));
        if (w > work) work = w;
    }
    TRY(arena_init(&d->arena,
                   arena_need(na, 4) + arena_need(nb, 4) + arena_need(nc, 4) + arena_round(work),
                   "this product", e));
    d->a = arena_alloc(&d->arena, na, 4);
    d->b = arena_alloc(&d->arena, nb, 4);
    d->c = arena_alloc(&d->arena, nc, 4);
    d->work = arena_alloc(&d->arena, work, 1);
    for (size_t i = 0; i < na; i++) d->a[i] = (float)(i % 7) - 3;
    for (size_t i = 0; i < nb; i++) d->b[i] = (float)(i % 5) - 2;
out:
    return rc;
}

void product_data_close(struct product_data *d) {
    arena_release(&d->arena);
    *d = (struct product_data){0};
}

static void multiply(const struct product *p) {
    const struct product_data *d = p->d;
    const struct shape *s = &d->shape;
    gemm_run(p->g, s->m, s->n, s->k, operand(d->a, s->m, s->k, forms[s->form].ta),
             operand(d->b, s->n, s->k, forms[s->form].tb), d->c, s->n, false, d->work);
}

/* The median of slices, so that what interrupts one of many products does not count. */
int product_turn(void *product, struct turn *t, struct err *e) {
    (void)e;
    enum { SLICES = 63 };
    const struct product *p = product;
    double wall[SLICES], cpu[SLICES];
    const int64_t n = p->times < SLICES ? p->times : SLICES, each = p->times / n;
    for (int64_t i = 0; i < n; i++) {
        const double c = clock_cpu_seconds(), w = clock_seconds();
        for (int64_t k = 0; k < each; k++) multiply(p);
        wall[i] = (clock_seconds() - w) / (double)each;
        cpu[i] = (clock_cpu_seconds() - c) / (double)each;
    }
    t->wall = stat_median(wall, (size_t)n);
    t->cpu = stat_median(cpu, (size_t)n);
    return 0;
}

void product_init(struct product *p, const struct gemm *g, const struct product_data *d) {
    struct err none;
    *p = (struct product){.g = g, .d = d, .times = 1};
    multiply(p); /* touches memory; libraries prepare the shape */
    for (; p->times < 1 << 20; p->times *= 2) {
        struct turn t, again;
        const double enough = TURN_MS * 1e-3 / (double)p->times;
        product_turn(p, &t, &none);
        if (t.wall < enough) continue;
        if (t.wall > 10 * enough) return;
        product_turn(p, &again, &none); /* it may have been interrupted */
        if (again.wall >= enough) return;
    }
}

/* Seconds of small squares by n ways: the least of five turns each, taken alternately. */
static int try_squares(const struct gemm *g, int n, int64_t side, double *least, struct err *e) {
    int rc;
    const struct shape square = {FORM_forward, side, side, side};
    struct product_data d;
    struct product p[MAX_RIVALS];
    TRY(product_data_open(&d, &square, g, n, e));
    for (int i = 0; i < n; i++) product_init(p + i, g + i, &d);
    for (int k = 0; k < 5; k++)
        for (int i = 0; i < n; i++) {
            struct turn t;
            TRY(product_turn(p + i, &t, e));
            if (k == 0 || t.wall < least[i]) least[i] = t.wall;
        }
out:
    product_data_close(&d);
    return rc;
}

enum { TRIAL = 128 };

int peak_trial(const struct gemm *g, double *seconds, struct err *e) {
    return try_squares(g, 1, TRIAL, seconds, e);
}

int64_t peak_side_within(const struct gemm *g, double trial, double most) {
    int64_t side = gemm_peak_side(g, memory_available());
    while (side > TRIAL && trial * pow((double)side / TRIAL, 3) > most) side /= 2;
    return side < TRIAL ? TRIAL : side;
}

int peak_side(const struct gemm *g, int64_t *side, struct err *e) {
    double seconds;
    const int rc = peak_trial(g, &seconds, e);
    if (!rc) *side = peak_side_within(g, seconds, 0.33);
    return rc;
}

int peak_open(struct peak *p, const struct gemm *g, int64_t side, struct err *e) {
    int rc;
    const struct shape square = {FORM_forward, side, side, side};
    *p = (struct peak){.g = *g};
    TRY(product_data_open(&p->data, &square, &p->g, 1, e));
    product_init(&p->product, &p->g, &p->data);
out:
    return rc;
}

int peak_open_best(struct peak *p, enum dtype compute, const struct cpu *cpu, struct pool *pool,
                   struct err *e) {
    enum { SIDE = 384 };
    int rc, n = 0, best = 0;
    int64_t side;
    double least[MAX_RIVALS] = {0};
    struct gemm g[MAX_RIVALS] = {0};
    *p = (struct peak){0};
    for (size_t i = 0; i < n_gemm_backends; i++) {
        struct err ignored;
        if (strcmp(gemm_backends[i]->name, "ref") &&
            !gemm_init(g + n, gemm_backends[i]->name, compute, cpu, pool, &ignored))
            n++;
    }
    TRY(try_squares(g, n, SIDE, least, e));
    for (int i = 1; i < n; i++)
        if (least[i] < least[best]) best = i;
    TRY(peak_side(g + best, &side, e));
    TRY(peak_open(p, g + best, side, e));
out:
    return rc;
}

int peak_turn(void *peak, struct turn *t, struct err *e) {
    struct peak *p = peak;
    product_turn(&p->product, t, e);
    return drift_add(&p->rates, 1e-9 * shape_flops(&p->data.shape) / t->wall, e);
}

void peak_close(struct peak *p) {
    product_data_close(&p->data);
    drift_release(&p->rates);
    *p = (struct peak){0};
}
