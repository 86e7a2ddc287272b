/* Gradient kernels against central differences of the forward formulas in double, written here
 * from the papers. The forward kernels are compared with the same formulas, so that kernel,
 * reference and gradient speak of one function. */
#include "check.h"
#include "cpu.h"
#include "kern.h"

#include <math.h>
#include <string.h>

#define N 48
#define STEP 1e-5 /* of the differences: truncation about 1e-10, rounding about 1e-11 */

static const double eps = 1e-5, cap = 3.0;

/* Forward formulas: y of n floats from x (and a second input w). */
typedef void forward_fn(double *y, const double *x, const double *w);

static void rmsnorm(double *y, const double *x, const double *w) {
    double s = 0;
    for (int i = 0; i < N; i++) s += x[i] * x[i] / N;
    for (int i = 0; i < N; i++) y[i] = x[i] / sqrt(s + eps) * w[i];
}

static void swiglu(double *y, const double *g, const double *u) {
    for (int i = 0; i < N; i++) y[i] = g[i] / (1 + exp(-g[i])) * u[i];
}

static void relu2(double *y, const double *x, const double *unused) {
    (void)unused;
    for (int i = 0; i < N; i++) y[i] = x[i] > 0 ? x[i] * x[i] : 0;
}

static void softcap(double *y, const double *x, const double *unused) {
    (void)unused;
    for (int i = 0; i < N; i++) y[i] = cap * tanh(x[i] / cap);
}

static double weighted(forward_fn *f, const double *x, const double *w, const double *r) {
    double y[N], s = 0;
    f(y, x, w);
    for (int i = 0; i < N; i++) s += r[i] * y[i];
    return s;
}

/* Derivatives of sum r y by x and by w. */
static void differences(forward_fn *f, const double *x, const double *w, const double *r,
                        double *dx, double *dw) {
    double a[N], b[N];
    memcpy(a, x, sizeof a);
    memcpy(b, w, sizeof b);
    for (int i = 0; i < N; i++) {
        a[i] = x[i] + STEP;
        double up = weighted(f, a, w, r);
        a[i] = x[i] - STEP;
        dx[i] = (up - weighted(f, a, w, r)) / (2 * STEP);
        a[i] = x[i];
        b[i] = w[i] + STEP;
        up = weighted(f, x, b, r);
        b[i] = w[i] - STEP;
        dw[i] = (up - weighted(f, x, b, r)) / (2 * STEP);
        b[i] = w[i];
    }
}

/* Random arguments as floats and as the same numbers in double, with the derivatives. */
struct point {
    float x[N], w[N], r[N];
    double xd[N], wd[N], rd[N], y[N], dx[N], dw[N];
};

static void make_point(struct check *c, struct point *p, forward_fn *f) {
    c->n = N;
    check_normal(c, p->x, N, 2);
    check_normal(c, p->w, N, 1);
    check_normal(c, p->r, N, 1);
    for (int i = 0; i < N; i++) {
        p->xd[i] = (double)p->x[i];
        p->wd[i] = (double)p->w[i];
        p->rd[i] = (double)p->r[i];
    }
    f(p->y, p->xd, p->wd);
    differences(f, p->xd, p->wd, p->rd, p->dx, p->dw);
}

static void near_all(struct check *c, const char *note, const float *found,
                     const double *expected) {
    c->note = note;
    /* in ulp of 1 or of the value, whichever is larger: the rows are of order one */
    for (int i = 0; i < N; i++) check_near(c, i, (double)found[i], expected[i], 1, 6, 0);
}

static void grad_rmsnorm(struct check *c, const struct kern *k) {
    struct point p;
    make_point(c, &p, rmsnorm);
    float y[N], dx[N], dw[N];
    float rstd = k->rmsnorm(y, p.x, p.w, (float)eps, N);
    near_all(c, "y", y, p.y);
    memset(dw, 0, sizeof dw);
    k->rmsnorm_grad(dx, dw, p.r, p.x, p.w, rstd, false, N);
    near_all(c, "dx", dx, p.dx);
    near_all(c, "dw", dw, p.dw);
    k->rmsnorm_grad(dx, dw, p.r, p.x, p.w, rstd, true, N);
    for (int i = 0; i < N; i++) {
        dx[i] /= 2;
        dw[i] /= 2;
    }
    near_all(c, "dx added", dx, p.dx);
    near_all(c, "dw added", dw, p.dw);
}

static void grad_swiglu(struct check *c, const struct kern *k) {
    struct point p;
    make_point(c, &p, swiglu);
    float y[N], dg[N], du[N];
    k->swiglu(y, p.x, p.w, N);
    near_all(c, "y", y, p.y);
    k->swiglu_grad(dg, du, p.r, p.x, p.w, N);
    near_all(c, "dg", dg, p.dx);
    near_all(c, "du", du, p.dw);
}

static void grad_relu2(struct check *c, const struct kern *k) {
    struct point p;
    make_point(c, &p, relu2);
    float y[N], d[N];
    k->relu2(y, p.x, N);
    near_all(c, "y", y, p.y);
    k->relu2_grad(d, p.r, p.x, N);
    near_all(c, "dx", d, p.dx);
}

static void grad_softcap(struct check *c, const struct kern *k) {
    struct point p;
    make_point(c, &p, softcap);
    float y[N], d[N];
    memcpy(y, p.x, sizeof y);
    k->softcap(y, (float)cap, N);
    near_all(c, "y", y, p.y);
    memcpy(d, p.r, sizeof d);
    k->softcap_grad(d, y, (float)cap, N);
    near_all(c, "dx", d, p.dx);
}

/* Rotations as complex products; the inverse undoes them and is their transpose. */
static void grad_rope(struct check *c, const struct kern *k) {
    enum { H = N / 2 };
    struct point p;
    make_point(c, &p, softcap);
    float cosines[H], sines[H], y[N], back[N];
    double want[N];
    for (int i = 0; i < H; i++) {
        double angle = 17 * pow(10000, -2.0 * i / N);
        cosines[i] = (float)cos(angle);
        sines[i] = (float)sin(angle);
        want[i] = p.xd[i] * cos(angle) - p.xd[i + H] * sin(angle);
        want[i + H] = p.xd[i] * sin(angle) + p.xd[i + H] * cos(angle);
    }
    k->rope(y, p.x, cosines, sines, false, N);
    near_all(c, "y", y, want);
    k->rope(back, y, cosines, sines, true, N);
    near_all(c, "inverse", back, p.xd);
    k->rope(back, p.r, cosines, sines, true, N);
    double a = 0, b = 0;
    for (int i = 0; i < N; i++) {
        a += p.rd[i] * (double)y[i];
        b += (double)back[i] * p.xd[i];
    }
    c->note = "transpose";
    check_near(c, -1, a, b, N, 4, 0);
}

void check_grad(struct check *c) {
    static const struct {
        const char *name;
        void (*fn)(struct check *c, const struct kern *k);
    } checks[] = {{"rmsnorm_diff", grad_rmsnorm},
                  {"swiglu_diff", grad_swiglu},
                  {"relu2_diff", grad_relu2},
                  {"softcap_diff", grad_softcap},
                  {"rope_inverse_diff", grad_rope}};
    if (c->bench) return;
    for (size_t j = 0; j < sizeof checks / sizeof *checks; j++)
        for (int tier = -1; tier < CPU_TIER_COUNT; tier++) {
            const struct kern *k = tier < 0 ? &kern_scalar : kern_tier(tier);
            if (!k || !check_begin(c, checks[j].name, k->name)) continue;
            checks[j].fn(c, k);
            check_end(c);
        }
}
