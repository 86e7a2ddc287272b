#include "gemm_cut.h"

#include "gemm_kern.h"

enum { PANEL = 256 }; /* rows of B that a task packs */

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
double gemm_cut_even(int64_t slivers, int64_t panels, int64_t parts, int threads) {
    const int64_t each = slivers / panels, large = slivers % panels * parts;
    const int64_t over = large % threads ? threads - large % threads : 0;
    const int64_t small = panels * parts - large - over * ((each + 1) / each);
    int64_t longest = large / threads * (each + 1) + (over ? each + 1 : 0);
    if (small > 0) longest += small / threads * each;
    /* Those that took a small one are a sliver behind the others. */
    if (small > 0 && small % threads)
        longest += small % threads <= over && each > 1 ? each - 1 : each;
    return (double)(slivers * parts) / (double)(threads * longest);
}

/* The next number to try: all small ones, and fewer of the large. */
static int64_t next(int64_t n) {
    return n + 1 + n / 4;
}

struct gemm_cut gemm_cut(const struct gemm_cut_of *of) {
    struct gemm_cut cut = {.panels = of->panels, .parts = 1};
    const int64_t many = (int64_t)8 * of->threads, most = of->most < many ? of->most : many;
    double best = 0;
    if (of->threads == 1) return cut;
    for (int64_t parts = 1; parts <= most && parts <= of->qa; parts = next(parts)) {
        const double pack = of->pack * (double)parts / (double)of->rows;
        if (1 / (1 + pack) <= best || (parts > 1 && of->panels * parts > most)) break;
        for (int64_t panels = of->panels; panels <= of->qb; panels = next(panels)) {
            const double read = of->read * (double)panels / (double)of->qb,
                         rate = 1 / (1 + pack + read);
            const int64_t tasks = panels * parts;
            if (rate <= best || (panels > of->panels && tasks > most)) break;
            const double even = panels > 1 ? gemm_cut_even(of->qb, panels, parts, of->threads)
                                           : gemm_cut_even(of->qa, parts, 1, of->threads),
                         all = rate * even / (1 + late * of->share * of->threads / (double)tasks);
            if (all <= best) continue;
            best = all;
            cut = (struct gemm_cut){panels, parts};
        }
    }
    return cut;
}
