/* Muon (Jordan et al. 2024): matrices follow the polar factor of their momentum.
 *
 *   m = m + (1 - beta1) (g - m);  u = g + beta1 (m - g)      Nesterov's momentum
 *   each row of u by (|u| / sqrt(rows)) / |row|              if `equalise`: MuonEq-R
 *   x = about U V' of u = U S V'                             polar.h
 *   x by sqrt(min(rows, cols)) / |x|                         if `rescale`: Muon+
 *   v = v + (1 - beta2) (mean of x^2 - v), x by 1 / sqrt(v), and back to its norm
 *                                                            if `normalise`: NorMuon, Li et al.
 *                                                            2025, arXiv 2510.05491
 *   w = w - lr (x + decay w [x w >= 0])                      if `cautious`; else decay w
 *
 * with lr times sqrt(max(1, rows / cols)). The mean is of a row, of wider matrices of a column: v
 * has one number for each line of the longer side. Sizes below which the published forms stop to
 * divide are absolute there; here they are shares of the matrix, so that no update depends on the
 * size of gradients. */
#include "opt.h"

#include <math.h>

enum { CHUNK = 1 << 14, COLUMNS = 64 }; /* elements of a chunk of rows; columns of one of sums */

static const double FLOOR = 1e-6, /* of a row's norm, to the mean */
    MARGIN = 1.01,                /* the norm of what polar_factor gets is so much below 1 */
    LEAST_SQUARE = 1e-10;         /* of v */

static int64_t longer(int64_t rows, int64_t cols) {
    return rows > cols ? rows : cols;
}

/* Offsets in the scratch. */
struct room {
    size_t sums, factors, polar, end;
};

static struct room room_of(const struct machine *m, int64_t rows, int64_t cols) {
    const size_t lines = (size_t)longer(rows, cols);
    struct room r;
    r.sums = arena_need((size_t)(rows * cols), sizeof(float));
    r.factors = r.sums + arena_need(lines, sizeof(double));
    r.polar = r.factors + arena_need(lines, sizeof(float));
    r.end = r.polar + polar_bytes(m, rows, cols);
    return r;
}

static size_t work_bytes(const struct machine *m, int64_t rows, int64_t cols) {
    return room_of(m, rows, cols).end;
}

struct job {
    const struct opt_tile *p;
    const struct opt_matrix *m;
    const float *from;
    float *x;
    double *sum;   /* of squares of the rows, or columns */
    float *factor; /* of rows, or columns */
    bool columns;
};

/* ---- loops over rows ------------------------------------------------------------------------- */

static int64_t chunk_rows(const struct opt_matrix *m) {
    return m->cols < CHUNK ? CHUNK / m->cols : 1;
}

static void over_rows(struct job *j, pool_fn *fn) {
    const int64_t each = chunk_rows(j->m);
    pool_for(j->m->machine->pool, (j->m->rows + each - 1) / each, fn, j);
}

/* The end of chunk i. */
static int64_t end_of(const struct job *j, int64_t i) {
    const int64_t end = (i + 1) * chunk_rows(j->m);
    return end < j->m->rows ? end : j->m->rows;
}

/* Momentum, and u in the place of g. */
static void gather(void *ctx, int64_t i, int tid) {
    (void)tid;
    const struct job *j = ctx;
    const float by = j->p->grad_scale, beta = j->p->beta1;
    for (int64_t r = i * chunk_rows(j->m); r < end_of(j, i); r++) {
        float *g = j->m->grad + r * j->m->cols, *m = j->m->state[0] + r * j->m->cols;
        for (int64_t c = 0; c < j->m->cols; c++) {
            const float now = by * g[c];
            m[c] = now + beta * (m[c] - now);
            g[c] = now + beta * (m[c] - now);
        }
        j->sum[r] = j->p->kern->sumsq(g, j->m->cols);
    }
}

/* x = from, each row or column times its factor; in place. */
static void scale(void *ctx, int64_t i, int tid) {
    (void)tid;
    const struct job *j = ctx;
    for (int64_t r = i * chunk_rows(j->m); r < end_of(j, i); r++) {
        const float *from = j->from + r * j->m->cols;
        float *x = j->x + r * j->m->cols;
        if (j->columns)
            for (int64_t c = 0; c < j->m->cols; c++) x[c] = j->factor[c] * from[c];
        else
            for (int64_t c = 0; c < j->m->cols; c++) x[c] = j->factor[r] * from[c];
    }
}

static void square_rows(void *ctx, int64_t i, int tid) {
    (void)tid;
    const struct job *j = ctx;
    for (int64_t r = i * chunk_rows(j->m); r < end_of(j, i); r++)
        j->sum[r] = j->p->kern->sumsq(j->from + r * j->m->cols, j->m->cols);
}

static void square_columns(void *ctx, int64_t i, int tid) {
    (void)tid;
    const struct job *j = ctx;
    const int64_t begin = i * COLUMNS, left = j->m->cols - begin;
    const int n = left < COLUMNS ? (int)left : COLUMNS;
    double sum[COLUMNS] = {0};
    for (int64_t r = 0; r < j->m->rows; r++) {
        const float *x = j->from + r * j->m->cols + begin;
        for (int c = 0; c < n; c++) sum[c] += (double)x[c] * (double)x[c];
    }
    for (int c = 0; c < n; c++) j->sum[begin + c] = sum[c];
}

/* ---- one update ------------------------------------------------------------------------------ */

static double total(const struct job *j, int64_t lines) {
    double sum = 0;
    for (int64_t i = 0; i < lines; i++) sum += j->sum[i];
    return sum;
}

/* Factors of rows that make the norm of u one over MARGIN. */
static void find_start(struct job *j) {
    const int64_t rows = j->m->rows;
    const double mean = sqrt(total(j, rows) / (double)rows);
    double sum = 0;
    for (int64_t r = 0; r < rows; r++) {
        const double row = sqrt(j->sum[r]), least = FLOOR * mean;
        const double by = j->p->hyper->muon.equalise ? mean / (row > least ? row : least) : 1;
        j->factor[r] = (float)by;
        sum += by * by * j->sum[r];
    }
    const double by = sum > 0 ? 1 / (MARGIN * sqrt(sum)) : 0;
    for (int64_t r = 0; r < rows; r++) j->factor[r] = sum > 0 ? (float)(by * j->factor[r]) : 0;
}

/* Factors of lines for an x whose squares sum up to j->sum, each over n elements. */
static void find_end(struct job *j, int64_t lines, int64_t n) {
    const struct muon_opts *o = &j->p->hyper->muon;
    const double sum = total(j, lines), side = (double)(lines < n ? lines : n);
    const double by = o->rescale && sum > 0 ? sqrt(side / sum) : 1;
    double now = 0;
    for (int64_t i = 0; i < lines; i++) {
        j->factor[i] = (float)by;
        if (!o->normalise) continue;
        const double mean = by * by * j->sum[i] / (double)n;
        float *v = j->m->state[1] + i;
        *v = (float)(mean + (double)j->p->beta2 * ((double)*v - mean));
        const double size = 1 / sqrt((double)*v > LEAST_SQUARE ? (double)*v : LEAST_SQUARE);
        j->factor[i] = (float)size;
        now += mean * (double)n * size * size;
    }
    const double back = o->normalise && now > 0 ? by * by * sqrt(sum) / sqrt(now) : 1;
    for (int64_t i = 0; i < lines && o->normalise; i++)
        j->factor[i] = (float)(back * (double)j->factor[i]);
}

static void direction(const struct opt_tile *p, const struct opt_matrix *m) {
    const struct muon_opts *o = &p->hyper->muon;
    const struct room room = room_of(m->machine, m->rows, m->cols);
    char *work = m->work;
    float *x = (float *)(void *)work;
    struct job j = {.p = p,
                    .m = m,
                    .from = m->grad,
                    .sum = (double *)(void *)(work + room.sums),
                    .factor = (float *)(void *)(work + room.factors)};
    over_rows(&j, gather);
    find_start(&j);
    j.x = polar_products(m->machine, &o->polar) % 2 ? x : m->grad;
    over_rows(&j, scale);
    polar_factor(m->machine, &o->polar, m->rows, m->cols, j.x, j.x == x ? m->grad : x,
                 work + room.polar);
    if (!o->rescale && !o->normalise) return;
    j.x = m->grad;
    j.columns = m->cols > m->rows;
    if (j.columns)
        pool_for(m->machine->pool, (m->cols + COLUMNS - 1) / COLUMNS, square_columns, &j);
    else
        over_rows(&j, square_rows);
    find_end(&j, longer(m->rows, m->cols), m->rows + m->cols - longer(m->rows, m->cols));
    over_rows(&j, scale);
}

static int64_t state_count(const struct opt_hyper *h, int k, int64_t rows, int64_t cols) {
    return k == 0 ? rows * cols : h->muon.normalise ? longer(rows, cols) : 0;
}

static double lr_shape(int64_t rows, int64_t cols) {
    return rows > cols ? sqrt((double)rows / (double)cols) : 1;
}

static void tile(const struct opt_tile *p, float *w, const float *g, float *const *state,
                 int64_t n) {
    (void)state;
    const float keep = p->decay > 0 ? 1 - p->lr * p->decay : 1;
    if (!p->hyper->muon.cautious) {
        const struct kern_sgd k = {.keep = keep, .by = -p->lr, .row = g};
        p->kern->sgd(w, &k, n);
        return;
    }
    for (int64_t i = 0; i < n; i++) w[i] = (w[i] * g[i] >= 0 ? keep * w[i] : w[i]) - p->lr * g[i];
}

const struct opt_kind opt_muon = {.name = "muon",
                                  .help = "Muon, one float of state a parameter",
                                  .n_state = 2,
                                  .normalises = true,
                                  .matrices_only = true,
                                  .state = {"m", "v"},
                                  .lr = 0.02,
                                  .beta1 = 0.95,
                                  .beta2 = 0.9,
                                  .state_count = state_count,
                                  .lr_shape = lr_shape,
                                  .work_bytes = work_bytes,
                                  .direction = direction,
                                  .tile = tile};
