#include "check.h"
#include "clock.h"
#include "cpu.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CANARY 0xA5
#define CANARIES 256

static struct check *current; /* for the handler of faults */

/* Items. */

static bool wanted(struct check *c, const char *item) {
    bool any = c->n_want == 0;
    for (int i = 0; i < c->n_want; i++) {
        char full[128];
        snprintf(full, sizeof full, "%s.%s", c->group, item);
        const char *w = c->want[i];
        if (strcmp(w, c->group) && strcmp(w, item) && strcmp(w, full)) continue;
        c->matched[i] = true;
        any = true;
    }
    return any;
}

bool check_begin(struct check *c, const char *item, const char *variant) {
    if (!wanted(c, item)) return false;
    uint64_t h = 0;
    for (const char *p = item; *p; p++) h = h * 31 + (unsigned char)*p;
    c->rng = rng_make(c->seed, RNG_TEST, h, 0, 0);
    c->item = item;
    c->variant = variant;
    c->n = 0;
    c->note = "";
    c->worst = 0;
    c->failed = 0;
    return true;
}

void check_end(struct check *c) {
    c->total++;
    c->failures += c->failed > 0;
    if (c->bench) return;
    printf("%-6s %-22s %-11s max error %8.3g ulp  %s", c->group, c->item, c->variant, c->worst,
           c->failed ? "FAILED" : "ok");
    if (c->failed) printf(" %d times", c->failed);
    printf("\n");
}

void check_skip(struct check *c, const char *variant, const char *why) {
    bool any = c->n_want == 0;
    for (int i = 0; i < c->n_want; i++) any = any || !strcmp(c->want[i], c->group);
    if (!any) return;
    c->skipped++;
    printf("%-6s %-22s %-11s skipped: %s\n", c->group, "", variant, why);
}

/* True for the first failure of an item, whose message the caller completes. */
static bool complain(struct check *c) {
    if (c->failed++) return false;
    printf("FAILED: %s.%s, variant %s, n %lld%s%s, seed %llu: ", c->group, c->item, c->variant,
           (long long)c->n, *c->note ? ", " : "", c->note, (unsigned long long)c->seed);
    return true;
}

/* Comparisons. */

double check_ulp(double x) {
    x = fabs(x);
    if (!(x > FLT_MIN)) return 0x1p-149;
    return ldexp(1, ilogb(x) - 23);
}

bool check_near(struct check *c, int64_t index, double found, double expected, double scale,
                double tol, double abs) {
    if (isnan(expected) || isinf(expected) || !isfinite(found)) {
        if (isnan(expected) ? isnan(found) : found == expected) return true;
        if (!(scale <= FLT_MAX) && !isfinite(found)) return true;
    } else {
        if (!(scale > fabs(expected)) || isinf(scale)) scale = fabs(expected);
        double ulp = check_ulp(scale), error = fabs(found - expected);
        if (error <= abs) return true;
        if (error / ulp > c->worst) c->worst = error / ulp;
        if (error <= tol * ulp + abs) return true;
    }
    if (complain(c))
        printf("index %lld: expected %.9g, found %.9g, tolerance %g ulp of %g\n", (long long)index,
               expected, found, tol, scale);
    return false;
}

bool check_bits(struct check *c, int64_t index, uint64_t found, uint64_t expected) {
    if (found == expected) return true;
    if (complain(c))
        printf("index %lld: expected bits 0x%llx, found 0x%llx\n", (long long)index,
               (unsigned long long)expected, (unsigned long long)found);
    return false;
}

bool check_that(struct check *c, bool ok, const char *what) {
    if (!ok && complain(c)) printf("does not hold: %s\n", what);
    return ok;
}

/* Memory. */

static void on_fault(int sig) {
    char line[256];
    int n = snprintf(line, sizeof line,
                     "FAILED: %s.%s, variant %s, n %lld, seed %llu: signal %d, memory outside the "
                     "arguments was touched\n",
                     current->group, current->item, current->variant, (long long)current->n,
                     (unsigned long long)current->seed, sig);
    if (write(STDOUT_FILENO, line, (size_t)n) < 0) _exit(3);
    _exit(1);
}

static bool slots_init(struct check *c) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (int i = 0; i < CHECK_SLOTS; i++) {
        size_t size = CHECK_SLOT_BYTES + page;
        void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED) return false;
        c->slot[i].mem = p;
        if (mprotect(c->slot[i].mem + CHECK_SLOT_BYTES, page, PROT_NONE)) return false;
    }
    return true;
}

void *check_place(struct check *c, int slot, size_t bytes, int lead) {
    struct check_slot *s = &c->slot[slot];
    size_t start = lead < 0 ? CHECK_SLOT_BYTES - bytes : CANARIES + (size_t)lead;
    if (slot >= CHECK_SLOTS || start < CANARIES || start + bytes > CHECK_SLOT_BYTES) abort();
    s->data = s->mem + start;
    s->bytes = bytes;
    memset(s->data - CANARIES, CANARY, CANARIES);
    size_t after = CHECK_SLOT_BYTES - start - bytes;
    memset(s->data + bytes, CANARY, after < CANARIES ? after : CANARIES);
    return s->data;
}

void check_intact(struct check *c) {
    for (int i = 0; i < CHECK_SLOTS; i++) {
        struct check_slot *s = &c->slot[i];
        if (!s->data) continue;
        size_t after = (size_t)(s->mem + CHECK_SLOT_BYTES - s->data) - s->bytes;
        bool ok = true;
        for (int j = 1; j <= CANARIES; j++) ok = ok && *(s->data - j) == CANARY;
        for (size_t j = 0; j < CANARIES && j < after; j++)
            ok = ok && s->data[s->bytes + j] == CANARY;
        check_that(c, ok, "bytes around the arguments are untouched");
    }
}

/* Input. */

void check_normal(struct check *c, float *x, int64_t n, double sigma) {
    for (int64_t i = 0; i < n; i++) x[i] = (float)(sigma * rng_normal(&c->rng));
}

void check_wide(struct check *c, float *x, int64_t n, double spread) {
    for (int64_t i = 0; i < n; i++) {
        double u = exp2((2 * rng_double(&c->rng) - 1) * spread);
        x[i] = (float)(rng_next(&c->rng) & 1 ? -u : u);
    }
}

/* Time. */

double check_time(void (*fn)(void *ctx), void *ctx) {
    long reps = 1;
    double best = INFINITY;
    for (int batch = 0; batch < 6;) {
        double t = clock_seconds();
        for (long i = 0; i < reps; i++) fn(ctx);
        t = clock_seconds() - t;
        if (t < 2e-3 && reps < 1L << 30) {
            reps *= t < 2e-4 ? 8 : 2;
            continue;
        }
        if (t / (double)reps < best) best = t / (double)reps;
        batch++;
    }
    return best;
}

/* Command line. */

static int usage(FILE *out) {
    fprintf(out, "usage: check [--bench] [--seed N] [NAME...]\n"
                 "Checks every implementation against its reference; --bench measures instead.\n"
                 "NAME: a group, an item or group.item; without: all. Groups:");
#define X(name) fprintf(out, " " #name);
    CHECKS(X)
#undef X
    fprintf(out, "\n");
    return 2;
}

static int parse(struct check *c, int argc, char **argv) {
    c->seed = 1;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help")) {
            usage(stdout);
            exit(0);
        }
        if (!strcmp(argv[i], "--bench")) {
            c->bench = true;
        } else if (!strcmp(argv[i], "--seed") && i + 1 < argc) {
            char *end;
            errno = 0;
            c->seed = strtoull(argv[++i], &end, 10);
            if (errno || *end || end == argv[i]) return usage(stderr);
        } else if (argv[i][0] == '-') {
            return usage(stderr);
        } else {
            c->want[c->n_want++] = argv[i];
        }
    }
    return 0;
}

int main(int argc, char **argv) {
    struct check c = {.group = "", .item = "", .variant = "", .note = ""};
    c.want = calloc((size_t)argc, sizeof *c.want);
    c.matched = calloc((size_t)argc, sizeof *c.matched);
    if (!c.want || !c.matched || !slots_init(&c)) {
        fprintf(stderr, "check: no memory\n");
        return 3;
    }
    int rc = parse(&c, argc, argv);
    if (rc) goto out;
    current = &c;
    setvbuf(stdout, NULL, _IOLBF, 0); /* a fault must not lose what was printed */
    signal(SIGSEGV, on_fault);
    signal(SIGBUS, on_fault);
    char model[CPU_MODEL];
    printf("%s, best tier %s, seed %llu\n", cpu_model(model, sizeof model),
           cpu_tier_name(cpu_best()), (unsigned long long)c.seed);
#define X(name)                                                                                    \
    c.group = #name;                                                                               \
    check_##name(&c);
    CHECKS(X)
#undef X
    for (int i = 0; i < c.n_want; i++)
        if (!c.matched[i]) {
            fprintf(stderr, "check: nothing is called '%s'\n", c.want[i]);
            rc = 2;
        }
    if (!c.bench)
        printf("%d of %d checks failed, %d variants skipped\n", c.failures, c.total, c.skipped);
    if (c.failures) rc = 1;
out:
    free(c.want);
    free(c.matched);
    return rc;
}
