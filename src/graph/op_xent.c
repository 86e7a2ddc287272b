/* The classifier: logits = softcap(x W'), cross-entropy with the targets, and in training the
 * gradient of both in the same go. The logits of the whole batch never exist: a chunk of rows at a
 * time passes over the vocabulary in panels, forward and backward, while its logits are at hand;
 * without a backward pass those of a panel are forgotten at once.
 * in: x (rows, C). out: none. param: W (V,C). attrs: cap (0: no softcap).
 *
 *   1. per panel: logits, and each row's maximum and sum of exponentials
 *   2. per row:   log-sum-exp over the panels, loss
 *   3. per panel: d = (softmax - onehot) grad_scale softcap'; dW panel += d' x
 *   4. per group of panels: dX += d W
 *   5. dX: sum over the groups, in order
 *
 * Where the groups are tasks enough for the threads, 3 and 4 are one loop. Where panels or groups
 * are too few, a task has a part of the rows or columns of its products. No sum depends on it. */
#include "choice.h"
#include "op.h"

#include <math.h>
#include <string.h>

enum {
    PANEL = 256,     /* vocabulary rows a panel */
    GROUPS = 8,      /* partial sums of dX */
    MAX_ROWS = 512,  /* rows a chunk in training: enough to hide the packing of W... */
    MIN_ROWS = 64,
    CHUNK_MB = 36,  /* ... as long as its logits fit in this, or in half the memory of W */
    SLICE = 512,    /* rows whose logits of one panel a thread holds, without a backward pass: */
    SIDES = 2,      /* of so many probes, whose weights are packed at once */
    EACH = 2,       /* tasks that there should be for each thread... */
    PART_ROWS = 32, /* ... of so many rows at least, */
    STRIP = 16,     /* so many columns of a panel's gradient, */
    PART_COLS = 64, /* and so many of dX */
    ROWS = 16,      /* rows a task where there are no products */
};

struct job {
    struct exec *x;
    const struct param *w;
    int param;
    const float *in;        /* chunk (R, C) */
    const uint32_t *target; /* (R) */
    float *nll, *dx;        /* (R), (R, C) or NULL */
    float *logits;          /* training: panel p: (R, PANEL) at p*R*PANEL */
    float *max, *sum;       /* (panels, R) */
    float *hit, *lse;       /* (R): target's logit, log-sum-exp */
    float *part;            /* (groups - 1, R, C): of all but the first */
    struct gemm_pack a, xt; /* the chunk as A, and transposed as B */
    void *work;             /* of products inside a panel, cut by thread */
    float *dw;
    int64_t R, C, V, panels, groups;
    int64_t slices, strips, wide, cuts; /* parts of step 1 and 3, columns and rows' parts of 4 */
    bool once; /* step 3 and 4 in one, each panel's gradient used while it is at hand */
    float cap, scale;
    bool add;
};

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t panels_of(int64_t V) {
    return (V + PANEL - 1) / PANEL;
}

static int64_t groups_of(int64_t panels) {
    return panels < GROUPS ? panels : GROUPS;
}

static int64_t chunk_rows(int64_t rows, const struct param *w) {
    const int64_t half = param_count(w) * (int64_t)sizeof(float) / 2,
                  room = (int64_t)CHUNK_MB << 20;
    const int64_t row = panels_of(w->rows) * PANEL * (int64_t)sizeof(float);
    int64_t r = (half > room ? half : room) / row / MIN_ROWS * MIN_ROWS;
    if (r < MIN_ROWS) r = MIN_ROWS;
    if (r > MAX_ROWS) r = MAX_ROWS;
    return r < rows ? r : rows;
}

static int64_t panel_width(const struct job *j, int64_t p) {
    return j->V - p * PANEL < PANEL ? j->V - p * PANEL : PANEL;
}

/* From column col on, which begins a stored block. */
static struct mat panel_mat(const struct param *w, int64_t p, int64_t col, bool trans) {
    struct mat m = param_mat(w, trans);
    m.data = (const char *)w->data + dtype_bytes(w->dtype, (size_t)(p * PANEL * w->cols + col));
    return m;
}

/* The same as the run's probes see it. */
static struct mat panel_view(const struct job *j, int64_t p, struct variants *v) {
    struct mat m = panel_mat(j->w, p, 0, false);
    if (exec_weight(j->x, j->param, v).var) {
        v->row0 = p * PANEL;
        m.var = v;
    }
    return m;
}

static void softcap(const struct job *j, float *y, int64_t n) {
    if (j->cap > 0) j->x->machine->kern->softcap(y, j->cap, n);
}

/* Maximum, sum and target's logit of row r from its logits of panel p. */
static void row_stats(const struct job *j, int64_t p, int64_t r, float *row) {
    const struct kern *k = j->x->machine->kern;
    const int64_t w = panel_width(j, p), v0 = p * PANEL;
    float tmp[PANEL];
    softcap(j, row, w);
    const float max = k->max(row, w);
    j->max[p * j->R + r] = max;
    j->sum[p * j->R + r] = k->exp_sum(tmp, row, max, w);
    if (j->target[r] >= v0 && j->target[r] < v0 + w) j->hit[r] = row[j->target[r] - v0];
}

/* Step 1, one of the slices of rows. Every probe has panels of its own, each packed again for the
 * next rows: so there are rows of few probes at once, the two sides of a direction, whose signs are
 * then made once, and as many as there is room for. */
static void panel_logits(void *ctx, int64_t t, int tid) {
    const struct job *j = ctx;
    const struct gemm *g = exec_gemm(j->x, GEMM_WEIGHTS);
    const int64_t p = t / j->slices, part = t % j->slices;
    struct variants v, some;
    const struct mat w = panel_view(j, p, &v);
    const int P = mat_variants(&w), most = P < SIDES ? P : SIDES;
    const int64_t M = j->R / P, slice = j->dx ? M : SLICE / most;
    const int64_t begin = part * M / j->slices, end = (part + 1) * M / j->slices;
    for (int first = 0; first < P; first += most)
        for (int64_t r0 = begin; r0 < end; r0 += slice) {
            const int sides = P - first < most ? P - first : most;
            const int64_t n = least(slice, end - r0);
            float *l = j->dx ? j->logits + (p * j->R + r0) * PANEL : exec_thread(j->x, tid);
            const struct gemm_pack a = gemm_pack_groups(&j->a, P, first, sides, r0, n);
            struct gemm_pack b =
                gemm_unpacked(mat_some(w, first, sides, &some), panel_width(j, p), j->C);
            b.panel = gemm_panel_bytes(g, PANEL, j->C) / (size_t)machine_threads(j->x->machine);
            gemm_mul(g, &a, &b, l, PANEL, false, j->work);
            for (int64_t i = 0; i < sides * n; i++)
                row_stats(j, p, (first + i / n) * M + r0 + i % n, l + i * PANEL);
        }
}

static void row_loss(const struct job *j, int64_t r) {
    float max = -INFINITY;
    double sum = 0;
    for (int64_t p = 0; p < j->panels; p++) max = fmaxf(max, j->max[p * j->R + r]);
    for (int64_t p = 0; p < j->panels; p++)
        sum += (double)j->sum[p * j->R + r] * exp((double)(j->max[p * j->R + r] - max));
    j->lse[r] = (float)((double)max + log(sum));
    j->nll[r] = (float)((double)max + log(sum) - (double)j->hit[r]);
}

static int64_t ceiling(int64_t n, int64_t size) {
    return (n + size - 1) / size;
}

/* Step 2. */
static void row_losses(void *ctx, int64_t c, int tid) {
    (void)tid;
    const struct job *j = ctx;
    for (int64_t r = c * ROWS; r < least((c + 1) * ROWS, j->R); r++) row_loss(j, r);
}

/* Columns [v0, v0 + w) of the logits, at l for row 0, to their gradient, in place. */
static void strip_grad(const struct job *j, int64_t v0, int64_t w, float *l) {
    const struct kern *k = j->x->machine->kern;
    for (int64_t r = 0; r < j->R; r++) {
        float *row = l + r * PANEL, capped[PANEL];
        if (j->cap > 0) memcpy(capped, row, (size_t)w * sizeof *row);
        k->exp_scale(row, row, j->lse[r], j->scale, w);
        if (j->target[r] >= v0 && j->target[r] < v0 + w) row[j->target[r] - v0] -= j->scale;
        if (j->cap > 0) k->softcap_grad(row, capped, j->cap, w);
    }
}

/* Step 3, one strip of a panel. */
static void panel_grads(void *ctx, int64_t t, int tid) {
    const struct job *j = ctx;
    const struct gemm *exact = exec_gemm(j->x, GEMM_EXACT);
    const int64_t p = t / j->strips, wide = PANEL / j->strips, v = t % j->strips * wide;
    const int64_t w = least(wide, panel_width(j, p) - v), row = p * PANEL + v;
    float *d = j->logits + p * j->R * PANEL + v;
    if (w <= 0) return;
    strip_grad(j, row, w, d);
    if (!j->dw) return;
    const struct gemm_pack a =
        gemm_pack(exact, GEMM_A, mat_f32(d, PANEL, true), w, j->R, exec_thread(j->x, tid));
    gemm_mul(exact, &a, &j->xt, j->dw + row * j->C, j->C, j->add, NULL);
}

/* What a part of dX is made of. */
struct piece {
    int64_t group, r0, rows, col;
};

static void panel_sum(const struct job *j, const struct piece *w, int64_t p, bool add, int tid) {
    float *sum = w->group ? j->part + (w->group - 1) * j->R * j->C : j->dx;
    const struct mat d = mat_f32(j->logits + (p * j->R + w->r0) * PANEL, PANEL, false);
    gemm_local(exec_gemm(j->x, GEMM_WEIGHTS), w->rows, least(j->wide, j->C - w->col),
               panel_width(j, p), d, panel_mat(j->w, p, w->col, true),
               sum + w->r0 * j->C + w->col, j->C, add, exec_thread(j->x, tid));
}

/* Step 4, some columns and rows of a group. The last group comes first: its logits were written
 * last, and the next chunk begins with the weights of the first. */
static void group_sums(void *ctx, int64_t t, int tid) {
    const struct job *j = ctx;
    const int64_t parts = ceiling(j->C, j->wide) * j->cuts, cut = t % parts % j->cuts;
    struct piece w = {.group = j->groups - 1 - t / parts,
                      .r0 = cut * j->R / j->cuts,
                      .col = t % parts / j->cuts * j->wide};
    const int64_t p0 = w.group * j->panels / j->groups;
    w.rows = (cut + 1) * j->R / j->cuts - w.r0;
    for (int64_t p = p0; p < (w.group + 1) * j->panels / j->groups; p++) {
        if (j->once) panel_grads(ctx, p, tid);
        panel_sum(j, &w, p, p > p0, tid);
    }
}

/* Step 5. */
static void sum_groups(void *ctx, int64_t c, int tid) {
    (void)tid;
    const struct job *j = ctx;
    const int64_t at = c * ROWS * j->C, n = least(ROWS, j->R - c * ROWS) * j->C;
    for (int64_t g = 0; g < j->groups - 1; g++)
        j->x->machine->kern->axpy(j->dx + at, 1, j->part + g * j->R * j->C + at, n);
}

struct sizes {
    size_t logits, stats, row, part, a, xt, panels;
};

static struct sizes sizes_of(const struct exec *x, int64_t R, int64_t C, int64_t V, bool train) {
    const size_t panels = (size_t)panels_of(V);
    return (struct sizes){
        .logits = train ? arena_need(panels * PANEL * (size_t)R, sizeof(float)) : 0,
        .stats = arena_need(panels * (size_t)R, sizeof(float)),
        .row = arena_need((size_t)R, sizeof(float)),
        .a = gemm_pack_bytes(exec_gemm(x, GEMM_WEIGHTS), GEMM_A, mat_f32(NULL, C, false), R, C),
        .xt = train ? gemm_pack_bytes(exec_gemm(x, GEMM_EXACT), GEMM_B, mat_f32(NULL, C, true), C,
                                      R)
                    : 0,
        .part = train ? arena_need((size_t)((groups_of(panels_of(V)) - 1) * R * C), sizeof(float))
                      : 0,
        .panels = gemm_panel_bytes(exec_gemm(x, GEMM_WEIGHTS), PANEL, C),
    };
}

/* Points into the shared scratch. Returns the room for the packed operands. */
static char *carve(struct job *j, const struct sizes *s) {
    char *at = j->x->work;
    j->logits = (float *)(void *)at, at += s->logits;
    j->max = (float *)(void *)at, at += s->stats;
    j->sum = (float *)(void *)at, at += s->stats;
    j->hit = (float *)(void *)at, at += s->row;
    j->lse = (float *)(void *)at, at += s->row;
    j->part = (float *)(void *)at, at += s->part;
    j->work = at, at += s->panels;
    return at;
}

/* Parts, of `most`, of each of so many tasks. Of a backend without rows of kernels none: a library
 * may sum up otherwise in a product of another shape. */
static int64_t parts_of(const struct job *j, const struct gemm *g, int64_t tasks, int64_t most) {
    const int64_t want = ceiling((int64_t)EACH * machine_threads(j->x->machine), tasks);
    if (!g->kernel || most < 1) return 1;
    return least(want, most);
}

static void cut_tasks(struct job *j) {
    const struct gemm *g = exec_gemm(j->x, GEMM_WEIGHTS), *exact = exec_gemm(j->x, GEMM_EXACT);
    const int64_t rows = j->R / exec_probes(j->x);
    j->slices = parts_of(j, g, j->panels, rows / PART_ROWS);
    j->strips = 1;
    while (j->strips < parts_of(j, exact, j->panels, PANEL / STRIP)) j->strips *= 2;
    const int64_t cols = parts_of(j, g, j->groups, j->C / PART_COLS);
    j->wide = ceiling(ceiling(j->C, cols), PART_COLS) * PART_COLS;
    j->cuts = parts_of(j, g, j->groups * ceiling(j->C, j->wide), j->R / PART_ROWS);
    j->once = j->strips == 1 && j->wide >= j->C && j->cuts == 1;
}

static void chunk(struct job *j) {
    struct pool *pool = j->x->machine->pool;
    const struct gemm *g = exec_gemm(j->x, GEMM_WEIGHTS), *exact = exec_gemm(j->x, GEMM_EXACT);
    const struct sizes s = sizes_of(j->x, j->R, j->C, j->V, j->dx != NULL);
    char *at = carve(j, &s);
    cut_tasks(j);
    j->a = gemm_pack(g, GEMM_A, mat_f32(j->in, j->C, false), j->R, j->C, at);
    pool_for(pool, j->panels * j->slices, panel_logits, j);
    pool_for(pool, ceiling(j->R, ROWS), row_losses, j);
    if (!j->dx) return;
    if (j->dw)
        j->xt = gemm_pack(exact, GEMM_B, mat_f32(j->in, j->C, true), j->C, j->R, at + s.a);
    if (!j->once) pool_for(pool, j->panels * j->strips, panel_grads, j);
    pool_for(pool, j->groups * ceiling(j->C, j->wide) * j->cuts, group_sums, j);
    pool_for(pool, ceiling(j->R, ROWS), sum_groups, j);
}

/* Logits of one row, panel by panel: in -> logits (V). */
static void row_logits(void *ctx, int64_t p, int tid) {
    const struct job *j = ctx;
    float *out = j->logits + p * PANEL;
    const int64_t w = panel_width(j, p);
    gemm_local(exec_gemm(j->x, GEMM_WEIGHTS), 1, w, j->C, mat_f32(j->in, j->C, false),
               panel_mat(j->w, p, 0, false), out, w, false, exec_thread(j->x, tid));
    softcap(j, out, w);
}

/* Logits of each sequence's last position only: generation. */
static void last_logits(struct exec *x, const struct node *n) {
    const struct param *w = x->graph->params + n->param[0];
    const struct batch *b = &x->batch;
    struct job j = {
        .x = x, .w = w, .C = w->cols, .V = w->rows, .cap = n->cap, .panels = panels_of(w->rows)};
    for (int64_t s = 0; s < b->B; s++) {
        j.in = exec_rows(x, n->in[0]) + ((s + 1) * b->T - 1) * w->cols;
        j.logits = b->logits + s * w->rows;
        pool_for(x->machine->pool, j.panels, row_logits, &j);
    }
}

static void forward(struct exec *x, const struct node *n) {
    const struct batch *b = &x->batch;
    const struct param *w = x->graph->params + n->param[0];
    bool add;
    if (b->logits) last_logits(x, n);
    if (b->choices) choice_forward(x, n);
    if (!b->target) return;
    struct job j = {.x = x,
                    .w = w,
                    .param = n->param[0],
                    .C = w->cols,
                    .V = w->rows,
                    .cap = n->cap,
                    .scale = (float)b->grad_scale,
                    .panels = panels_of(w->rows)};
    j.groups = groups_of(j.panels);
    const int64_t R = x->opts.train ? chunk_rows(x->opts.B * x->opts.T, w) : x->rows;
    const float *in = exec_rows(x, n->in[0]);
    for (int64_t r0 = 0; r0 < x->rows; r0 += R) {
        j.R = x->rows - r0 < R ? x->rows - r0 : R;
        j.in = in + r0 * j.C;
        j.target = b->target + r0;
        j.nll = b->nll + r0;
        if (x->opts.train) {
            j.dx = x->grad[n->in[0]] + r0 * j.C;
            j.dw = exec_param_grad(x, n->param[0], &add);
            j.add = add;
        }
        chunk(&j);
    }
}

static size_t work(const struct exec *x, const struct node *n, bool train) {
    const struct param *w = x->graph->params + n->param[0];
    const int64_t rows = x->opts.B * x->opts.T, R = train ? chunk_rows(rows, w) : rows;
    const struct sizes s = sizes_of(x, R, w->cols, w->rows, train);
    const size_t sum = s.logits + 2 * s.stats + 2 * s.row + s.part + s.a + s.xt + s.panels;
    const size_t choice = choice_work(x, n, train);
    return sum > choice ? sum : choice;
}

static size_t thread_work(const struct exec *x, const struct node *n, bool train) {
    const struct param *w = x->graph->params + n->param[0];
    const int64_t rows = x->opts.B * x->opts.T, R = chunk_rows(rows, w);
    const struct mat plain = param_mat(w, false), trans = param_mat(w, true);
    const struct mat row = mat_f32(NULL, w->cols, false), d = mat_f32(NULL, PANEL, false);
    const struct gemm *g = exec_gemm(x, GEMM_WEIGHTS), *exact = exec_gemm(x, GEMM_EXACT);
    size_t most = gemm_local_bytes(g, 1, PANEL, w->cols, row, plain);
    const size_t own = arena_need((size_t)(least(rows, SLICE) * PANEL), sizeof(float));
    if (!train) return most > own ? most : own;
    const size_t dw = gemm_pack_bytes(exact, GEMM_A, mat_f32(NULL, PANEL, true), PANEL, R);
    const size_t dx = gemm_local_bytes(g, R, w->cols, PANEL, d, trans);
    if (dw > most) most = dw;
    return dx > most ? dx : most;
}

static double flops(const struct graph *g, const struct node *n, bool backward, int64_t B,
                    int64_t T) {
    const struct param *w = g->params + n->param[0];
    const double product = 2.0 * (double)(B * T) * (double)param_count(w);
    return backward && w->trainable ? 2 * product : product;
}

const struct op op_xent = {.name = "xent",
                           .forward = forward,
                           .inplace = -1,
                           .grad_pass = -1,
                           .work = work,
                           .thread_work = thread_work,
                           .flops = flops};
