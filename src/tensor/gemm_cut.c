#include "gemm_cut.h"

#include "gemm_kern.h"

enum {
    PANEL = 256,     /* rows of B that a task packs */
    FEW_SLIVERS = 8, /* a copy of A is worth its while for so many slivers of B... */
    FEW_WORDS = 128, /* ...and so many lines */
    WIND_WORDS = 64, /* ...or words of rows that it makes faster */
    SET_LINES = 6,
    FAR_WORDS = 128, /* lines at a multiple of so many words fall into few sets of a cache */
    EACH = 2         /* tasks that packing should have for each thread */
};

bool gemm_clash(int64_t ld, int64_t words) {
    return gemm_bad_stride(ld) || (ld % FAR_WORDS == 0 && ld > 2 * FAR_WORDS && words >= FEW_WORDS);
}

/* A set of the first-level cache has eight lines or more, of which two are for B and C. */
bool gemm_rows_clash(const struct gemm_kern *kn, int64_t ld) {
    return kn->mr > SET_LINES && gemm_bad_stride(ld);
}

/* Registers of 16 floats: rows are many, and to copy a word takes as much of their time as of half
 * as many columns. */
bool gemm_likes_wide(const struct gemm_kern *kn) {
    return kn->mr > SET_LINES;
}

/* Measured on a Zen 3 (0.75 and 0.25) and a Zen 5. */
double gemm_read_cost(const struct gemm_kern *kn, bool trans, int64_t ld, int64_t words) {
    if (trans && gemm_likes_wide(kn)) return 0.5;
    return kn->winds || (trans && gemm_clash(ld, words)) ? 0.75 : 0.25;
}

bool gemm_copies(const struct gemm_kern *kn, bool trans, int64_t height, int64_t ld, int64_t words,
                 int64_t slivers) {
    const bool many = slivers >= FEW_SLIVERS;
    if (many && kn->winds && height >= kn->mr - 1 && words >= WIND_WORDS) return true;
    if (!trans) return gemm_rows_clash(kn, ld);
    return kn->copy_a && (gemm_clash(ld, words) || (many && ld > FAR_WORDS && words >= FEW_WORDS));
}

/* A panel may fill the second-level cache: its slivers come one after the other, which the
 * processor foresees, while sums of C that are put back and fetched for every block of k are spread
 * over memory. Half a megabyte is enough for that. */
struct gemm_block gemm_block_of(const struct cpu *cpu) {
    const int64_t l2 = cpu->l2 ? cpu->l2 : 1 << 19, least = GEMM_CUT_K;
    const int64_t fit = l2 / (4 * PANEL) / least * least;
    const int64_t words = fit < least ? least : fit < GEMM_WORDS ? fit : GEMM_WORDS;
    return (struct gemm_block){.panel = PANEL, .words = (int)words, .tile_m = GEMM_TILE};
}

/* A thread that other work holds up keeps the rest waiting for one task, of as many as there are:
 * so much of a task is expected to be lost. */
static const double late = 0.1;

/* The larger tasks come first; where they leave threads over, these take small ones meanwhile. */
double gemm_cut_even(int slivers, int panels, int parts, int threads) {
    const int each = slivers / panels, large = slivers % panels * parts;
    const int over = large % threads ? threads - large % threads : 0;
    const int small = panels * parts - large - over * ((each + 1) / each);
    int longest = large / threads * (each + 1) + (over ? each + 1 : 0);
    if (small > 0) longest += small / threads * each;
    /* Those that took a small one are a sliver behind the others. */
    if (small > 0 && small % threads)
        longest += small % threads <= over && each > 1 ? each - 1 : each;
    return (double)slivers * parts / ((double)threads * longest);
}

static int least_of(int64_t x, int64_t y) {
    return (int)(x < y ? x : y);
}

/* How many panels to look at next: about a quarter more, as many for every thread if that is not
 * far. */
static int more_panels(int panels, int enough) {
    const int next = panels + 1 + panels / 4, even = next / enough * enough;
    return even > panels ? even : next;
}

/* Every product pays for the search: a part or panel more is only looked at while what it does
 * again costs less than the best way has left to wait, and no way that leaves threads without a
 * task. */
struct gemm_cut gemm_cut(const struct gemm_cut_of *of) {
    struct gemm_cut cut = {.panels = of->panels, .parts = 1};
    const int most = least_of(of->most, (int64_t)8 * of->threads), qa = least_of(of->qa, most),
              qb = least_of(of->qb, most > of->panels ? most : of->panels),
              wanted = least_of(of->threads, most), least = (int)of->panels;
    const double pack = of->pack / (double)of->rows, read = of->read / (double)of->qb,
                 wait = late * of->share * of->threads;
    double best = 1e9;
    if (of->threads == 1) return cut;
    for (int parts = 1; parts <= qa && (parts == 1 || least * parts <= most); parts *= 2) {
        const double again = 1 + pack * parts;
        const int enough = (wanted + parts - 1) / parts;
        int panels = enough < least ? least : enough < qb ? enough : qb;
        if (again >= best) break;
        for (int worse = 0; panels <= qb && worse < 2; panels = more_panels(panels, enough)) {
            const double cost = again + read * panels;
            const int tasks = panels * parts;
            if (cost >= best || (panels > least && tasks > most && tasks > wanted)) break;
            const double even = panels > 1 ? gemm_cut_even((int)of->qb, panels, parts, of->threads)
                                           : gemm_cut_even((int)of->qa, parts, 1, of->threads);
            const double all = cost * (tasks + wait) / (tasks * even);
            worse += all >= best;
            if (all >= best) continue;
            best = all;
            cut = (struct gemm_cut){panels, parts};
        }
    }
    return cut;
}

bool gemm_same_b(const struct gemm_product *p, const struct gemm_product *next) {
    const struct gemm_pack *a = &p->b, *b = &next->b;
    return !p->on && !next->on && !a->data && !b->data && a->rows == b->rows && a->k == b->k &&
           a->src.data == b->src.data && a->src.dtype == b->src.dtype && a->src.ld == b->src.ld &&
           a->src.trans == b->src.trans && !a->src.var && !b->src.var;
}

void gemm_extent(const struct gemm_product *p, int n, int i, int64_t *rows, int64_t *k) {
    *rows = p[i].a.rows;
    *k = p[i].a.k;
    for (int next = i + 1; next < n && p[next].on; next++) *k += p[next].a.k;
    for (int next = i + 1; next < n && gemm_same_b(p + next - 1, p + next); next++)
        *rows += p[next].a.rows;
}

double gemm_work_of(const struct gemm_product *p, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += (double)p[i].a.k * (double)p[i].a.rows * (double)p[i].b.rows;
    return sum;
}

int64_t gemm_cut_pack(int64_t slivers, int64_t words, int threads) {
    const int64_t most = (words + GEMM_CUT_K - 1) / GEMM_CUT_K, tasks = (int64_t)EACH * threads;
    if (threads == 1 || slivers == 0 || most == 0) return 1;
    const int64_t wanted = (tasks + slivers - 1) / slivers;
    return wanted < most ? wanted : most;
}
