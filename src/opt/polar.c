#include "polar.h"

#include "arena.h"

#include <string.h>

enum {
    EXPRESS_STEPS = 5, /* that have coefficients of their own; the last are those of all others */
    STAY = 5,          /* steps on the first A, with f32 products */
    BUFFERS = 5,       /* matrices m x m */
    TURN = 16          /* side of a tile that is turned */
};

struct coef {
    double a, b, c;
};

static const struct coef express[EXPRESS_STEPS] = {
    {8.156554524902461, -22.48329292557795, 15.878769915207462},
    {4.042929935166739, -2.808917465908714, 0.5000178451051316},
    {3.8916678022926607, -2.772484153217685, 0.5060648178503393},
    {3.285753657755655, -2.3681294933425376, 0.46449024233003106},
    {2.3465413258596377, -1.7097828382687081, 0.42323551169305323}};

static struct coef coef_of(const struct polar *p, int step) {
    if (p->kind == POLAR_newton_schulz) return (struct coef){3.4445, -4.7750, 2.0315};
    return express[step < EXPRESS_STEPS ? step : EXPRESS_STEPS - 1];
}

int polar_find(const char *name) {
    static const char *const names[] = {
#define X(id, name) name,
        POLAR_KINDS(X)
#undef X
    };
    for (int i = 0; i < POLAR_COUNT; i++)
        if (!strcmp(names[i], name)) return i;
    return -1;
}

static const struct gemm *gemm_of(const struct machine *m) {
    return m->gemm + GEMM_EXACT;
}

static int stay(const struct machine *m) {
    return gemm_of(m)->compute == DT_F32 ? STAY : 1;
}

int polar_products(const struct machine *m, const struct polar *p) {
    return (p->steps + stay(m) - 1) / stay(m);
}

/* ---- shapes ---------------------------------------------------------------------------------- */

/* X is (rows, cols), its shorter side n; of square ones the rows. Lines of a multiple of 512 bytes
 * would meet in few sets of a cache. */
struct shape {
    int64_t rows, cols, n, ld;
    bool tall;
};

static struct shape shape_of(int64_t rows, int64_t cols) {
    struct shape s = {.rows = rows, .cols = cols, .tall = rows > cols};
    s.n = s.tall ? cols : rows;
    s.ld = (s.n + 15) / 16 * 16;
    if (s.ld % 128 == 0) s.ld += 16;
    return s;
}

/* X as an operand whose rows are those of its Gram matrix. */
static struct mat gram_operand(const struct shape *s, const float *x) {
    return mat_f32(x, s->cols, s->tall);
}

static int64_t longer(const struct shape *s) {
    return s->tall ? s->rows : s->cols;
}

static size_t most(size_t a, size_t b) {
    return a > b ? a : b;
}

/* Bytes of an operand A that is packed. */
static size_t pack_a(const struct gemm *g, struct mat a, int64_t n, int64_t k) {
    return arena_round(gemm_pack_bytes(g, GEMM_A, a, n, k));
}

/* Of the products that need most. */
static size_t product_bytes(const struct machine *m, const struct shape *s) {
    const struct gemm *g = gemm_of(m);
    const struct mat x = gram_operand(s, NULL), q = mat_f32(NULL, s->ld, false),
                     row = mat_f32(NULL, s->cols, false);
    const size_t two = 2 * pack_a(g, q, s->n, s->n) + gemm_panel_bytes(g, s->n, s->n),
                 gram = pack_a(g, x, s->n, longer(s)) + gemm_panel_bytes(g, s->n, longer(s)),
                 last = s->tall ? gemm_work_bytes(g, s->rows, s->n, s->n, row)
                                : gemm_work_bytes(g, s->n, s->cols, s->n, q);
    return most(two, most(gram, last));
}

size_t polar_bytes(const struct machine *m, int64_t rows, int64_t cols) {
    const struct shape s = shape_of(rows, cols);
    return BUFFERS * arena_need((size_t)(s.n * s.ld), sizeof(float)) + product_bytes(m, &s);
}

/* ---- symmetric matrices ----------------------------------------------------------------------
 * A product writes the lower triangle; what is above becomes what is below. */

struct turn {
    const struct shape *s;
    float *to;
    const float *a; /* to = c0 I + c1 a + c2 to first; or NULL */
    float c0, c1, c2;
};

static void combine(const struct turn *t, int64_t row, int64_t col, int64_t h, int64_t w) {
    for (int64_t r = row; r < row + h; r++) {
        float *to = t->to + r * t->s->ld;
        const float *a = t->a + r * t->s->ld;
        for (int64_t c = col; c < col + w; c++) to[c] = t->c1 * a[c] + t->c2 * to[c];
        if (r >= col && r < col + w) to[r] += t->c0;
    }
}

/* The tile at (row, col) to (col, row), four lines and columns at a time. */
static void turn_whole(float *to, int64_t ld, int64_t row, int64_t col) {
    for (int64_t r = row; r < row + TURN; r += 4)
        for (int64_t c = col; c < col + TURN; c += 4) {
            const float *from = to + r * ld + c;
            float four[4][4];
            for (int i = 0; i < 4; i++)
                for (int k = 0; k < 4; k++) four[k][i] = from[i * ld + k];
            for (int k = 0; k < 4; k++) memcpy(to + (c + k) * ld + r, four[k], sizeof four[k]);
        }
}

static void turn_tile(const struct turn *t, int64_t row, int64_t col, int64_t h, int64_t w) {
    const int64_t ld = t->s->ld;
    if (h == TURN && w == TURN && row != col) {
        turn_whole(t->to, ld, row, col);
        return;
    }
    for (int64_t r = row; r < row + h; r++)
        for (int64_t c = col; c < col + w && c < r; c++) t->to[c * ld + r] = t->to[r * ld + c];
}

/* A chunk owns the lines of tile i below the diagonal and the columns that mirror them. */
static void turn_line(void *ctx, int64_t i, int tid) {
    (void)tid;
    const struct turn *t = ctx;
    const int64_t n = t->s->n, row = i * TURN, h = n - row < TURN ? n - row : TURN;
    for (int64_t col = 0; col <= row; col += TURN) {
        const int64_t w = n - col < TURN ? n - col : TURN;
        if (t->a) combine(t, row, col, h, w);
        turn_tile(t, row, col, h, w);
    }
}

static void turn(const struct machine *m, struct turn *t) {
    pool_for(m->pool, (t->s->n + TURN - 1) / TURN, turn_line, t);
}

/* ---- products -------------------------------------------------------------------------------- */

struct job {
    const struct machine *m;
    struct shape s;
    float *buf[BUFFERS];
    void *work;
};

/* c = a b of symmetric matrices that commute, n <= 2 of them with the same b; or the Gram matrix of
 * a. */
static void multiply(const struct job *j, const struct mat *a, struct mat b, int64_t k,
                     float *const *c, int n) {
    const struct gemm *g = gemm_of(j->m);
    struct gemm_product p[2];
    char *at = j->work;
    for (int i = 0; i < n; i++) {
        const struct gemm_pack whole = gemm_pack(g, GEMM_A, a[i], j->s.n, k, at);
        at += pack_a(g, a[i], j->s.n, k);
        p[i] = (struct gemm_product){.a = gemm_pack_tri(&whole, GEMM_TRI_C, 0),
                                     .b = gemm_unpacked(b, j->s.n, k),
                                     .c = c[i],
                                     .ldc = j->s.ld};
    }
    gemm_mul_list(g, p, n, at);
}

static void gram(const struct job *j, const float *x, float *to) {
    const struct mat a = gram_operand(&j->s, x);
    struct turn t = {.s = &j->s, .to = to};
    multiply(j, &a, a, longer(&j->s), &to, 1);
    turn(j->m, &t);
}

/* Of symmetric matrices: to_i = a_i b; full where `turned`. */
static void times(const struct job *j, const float *const *a, const float *b, float *const *to,
                  int n, bool turned) {
    struct mat some[2];
    for (int i = 0; i < n; i++) some[i] = mat_f32(a[i], j->s.ld, false);
    if (n) multiply(j, some, mat_f32(b, j->s.ld, false), j->s.n, to, n);
    for (int i = 0; i < n && turned; i++) {
        struct turn t = {.s = &j->s, .to = to[i]};
        turn(j->m, &t);
    }
}

/* y = Q x, of a tall x: x Q. */
static void apply(const struct job *j, const float *q, const float *x, float *y) {
    const struct shape *s = &j->s;
    const struct mat of_q = mat_f32(q, s->ld, false);
    if (s->tall)
        gemm_run(gemm_of(j->m), s->rows, s->n, s->n, mat_f32(x, s->cols, false), of_q, y, s->cols,
                 false, j->work);
    else
        gemm_run(gemm_of(j->m), s->n, s->cols, s->n, of_q, mat_f32(x, s->cols, true), y, s->cols,
                 false, j->work);
}

/* z = a I + b A + c A A */
static void factor(const struct job *j, struct coef k, const float *a, float *z) {
    struct turn t = {
        .s = &j->s, .to = z, .a = a, .c0 = (float)k.a, .c1 = (float)k.b, .c2 = (float)k.c};
    times(j, &a, a, &z, 1, false);
    turn(j->m, &t);
}

/* n steps from number `first` on, on the Gram matrix of x: their factor. */
static const float *steps(const struct job *j, const struct polar *p, int first, int n,
                          const float *x) {
    float *a = j->buf[0], *t = j->buf[1], *z = j->buf[2], *next = j->buf[3], *q = NULL;
    gram(j, x, a);
    for (int i = 0; i < n; i++) {
        const bool last = i + 1 == n;
        const float *const left[] = {t, q}, *const of_a = a;
        float *const to[] = {a, next};
        factor(j, coef_of(p, first + i), a, z);
        if (!last) times(j, &of_a, z, &t, 1, true);
        /* A becomes Z A Z, and Q Q Z: the first Q is Z itself, and the last A nobody needs. */
        times(j, left + last, z, to + last, (q ? 2 : 1) - last, true);
        if (q) {
            next = q;
            q = to[1];
        } else {
            q = z;
            z = j->buf[4];
        }
    }
    return q;
}

void polar_factor(const struct machine *m, const struct polar *p, int64_t rows, int64_t cols,
                  float *x, float *y, void *work) {
    struct job j = {.m = m, .s = shape_of(rows, cols)};
    char *at = work;
    for (int i = 0; i < BUFFERS; i++) {
        j.buf[i] = (float *)(void *)at;
        at += arena_need((size_t)(j.s.n * j.s.ld), sizeof(float));
    }
    j.work = at;
    for (int done = 0; done < p->steps; done += stay(m)) {
        const int left = p->steps - done, n = left < stay(m) ? left : stay(m);
        float *const from = x;
        apply(&j, steps(&j, p, done, n, x), x, y);
        x = y;
        y = from;
    }
}
