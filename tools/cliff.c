#include "cliff.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Of the logarithm of the rate: from one point to the next, and of the whole. */
static const double STEEP = 0.06, WHOLE = 0.2231;
/* A run's ends that do little belong to the level, not to the cliff. */
static const double EDGE = 0.15;

enum { POINTS = 128 };

struct curve {
    size_t bytes[POINTS];
    double y[POINTS]; /* logarithm of the rate */
    int n;
};

static double middle(double a, double b, double c) {
    return fmax(fmin(a, b), fmin(fmax(a, b), c));
}

/* Medians of three keep steps where they are and drop what stands alone; the ends stay. */
static void smooth(struct curve *c) {
    double y[POINTS];
    for (int i = 0; i < c->n; i++)
        y[i] = i > 0 && i + 1 < c->n ? middle(c->y[i - 1], c->y[i], c->y[i + 1]) : c->y[i];
    memcpy(c->y, y, (size_t)c->n * sizeof *y);
}

static double highest(const struct curve *c, int from) {
    double most = -INFINITY;
    for (int i = from; i < c->n; i++) most = fmax(most, c->y[i]);
    return most;
}

int cliff_find(const size_t *bytes, const double *rate, int n, struct cliff *cliff, int most) {
    struct curve c = {.n = 0};
    int found = 0;
    for (int i = 0; i < n && c.n < POINTS; i++)
        if (rate[i] > 0 && isfinite(rate[i])) {
            c.bytes[c.n] = bytes[i];
            c.y[c.n++] = log(rate[i]);
        }
    smooth(&c);
    for (int a = 0; a + 1 < c.n && found < most;) {
        int b = a;
        while (b + 1 < c.n && c.y[b] - c.y[b + 1] > STEEP) b++;
        const int next = b > a ? b : a + 1;
        const double top = c.y[a], bottom = c.y[b], fall = top - bottom;
        if (fall > WHOLE && highest(&c, b) < top - fall / 2) {
            while (c.y[a + 1] > top - EDGE * fall) a++;
            while (c.y[b - 1] < bottom + EDGE * fall) b--;
            cliff[found++] =
                (struct cliff){c.bytes[a], c.bytes[b], exp(c.y[a]), exp(c.y[b])};
        }
        a = next;
    }
    return found;
}

size_t cliff_capacity(const struct cpu_cache *c, int threads) {
    const int share = c->threads > 0 ? c->threads : 1;
    int n = (threads + share - 1) / share;
    if (c->count > 0 && n > c->count) n = c->count;
    return (size_t)c->bytes * (size_t)(n > 0 ? n : 1);
}

const char *cliff_cache_name(const struct cpu_cache *c, char name[16]) {
    static const char *const kind[] = {"", "d", "i", ""};
    snprintf(name, 16, "L%d%s", c->level, kind[c->type]);
    return name;
}

const char *cliff_size(size_t bytes, char text[24]) {
    static const char *const unit[] = {"B", "KB", "MB", "GB", "TB"};
    double x = (double)bytes;
    int u = 0;
    for (; x >= 1024 && u < 4; u++) x /= 1024;
    snprintf(text, 24, x < 10 && x != floor(x) ? "%.1f %s" : "%.0f %s", x, unit[u]);
    return text;
}

/* "L1d (32 KB)", of several threads "L2 (2 x 512 KB)". */
static void put_cache(char text[CLIFF_TEXT], const struct cpu_cache *c, int threads) {
    char name[16], size[24], times[32] = "";
    const size_t used = strlen(text), n = cliff_capacity(c, threads) / (size_t)c->bytes;
    if (n > 1) snprintf(times, sizeof times, "%zu x ", n);
    snprintf(text + used, CLIFF_TEXT - used, "%s (%s%s)", cliff_cache_name(c, name), times,
             cliff_size((size_t)c->bytes, size));
}

const char *cliff_text(const struct cliff *c, const struct cpu_cache *cache, int n, int threads,
                       char text[CLIFF_TEXT]) {
    const struct cpu_cache *above = NULL;
    bool any = false;
    snprintf(text, CLIFF_TEXT, "end of ");
    for (int i = 0; i < n; i++) {
        const size_t fits = cliff_capacity(cache + i, threads);
        if (cache[i].type == CACHE_INSTRUCTIONS) continue;
        /* Half as much more may still be at the upper level, and what just fits at the lower. */
        if (fits + fits / 2 >= c->from && fits <= c->to) {
            if (any) strncat(text, " and ", CLIFF_TEXT - strlen(text) - 1);
            put_cache(text, cache + i, threads);
            any = true;
        } else if (fits > c->to && (!above || fits < cliff_capacity(above, threads))) {
            above = cache + i;
        }
    }
    if (any) return text;
    snprintf(text, CLIFF_TEXT, above ? "short of " : "no cache ends there");
    if (above) put_cache(text, above, threads);
    return text;
}
