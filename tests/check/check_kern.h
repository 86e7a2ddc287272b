/* Rows of check_kern: what a kernel's arguments are, and how near its results must come to those of
 * kern_scalar. */
#ifndef DUET_CHECK_KERN_H
#define DUET_CHECK_KERN_H

#include "check.h"
#include "kern.h"

#define MAX_ARRAYS 5
#define MAX_N 1408

/* One call: arrays, and the scalars that the kernel takes. */
struct row {
    void *p[MAX_ARRAYS];
    int64_t n;
    float a, shift, factor, rstd, cap;
    struct kern_adamw adamw;
    struct kern_lion lion;
    struct kern_momentum momentum;
    double ret; /* what the kernel returned; 0 for void */
};

enum {
    SPECIAL = 1, /* NaN and infinities behave as in the reference */
    BIG = 2,     /* so do magnitudes near FLT_MAX */
    NO_NAN = 4,
    SOME = 8, /* n >= 1 */
    EVEN = 16,
    ONLY_BITS = 32, /* outputs equal the reference bit for bit */
    BLOCKS = 64,    /* n a multiple of 32 */
};

struct item {
    const char *name;
    /* One letter per array. f32: i input, h input of n/2, o output, b both, v both and >= 0.
     * uint16_t: I input, O output, B both; q and Q: n/32 blocks of 17. */
    const char *args;
    void (*call)(const struct kern *k, struct row *r);
    /* Magnitude of what is added up for element i of an array, from the inputs; NULL: the value's
     * own. ret: the same for the returned value. */
    double (*scale)(const struct row *in, int array, int64_t i);
    double (*ret)(const struct row *in);
    double tol, tol_ret; /* ulp of that */
    double abs;          /* absolute tolerance on top: where exp flushes to zero */
    double spread;       /* exponents of wide inputs: -spread .. spread */
    int flags;
    /* What else there is to check of this kernel, or NULL. */
    void (*more)(struct check *c, const struct kern *k);
    const char *alias; /* "ab": array a in the memory of array b; "abcd": and c in that of d; ... */
};

enum { KERN_ATTN_ITEMS = 3, KERN_STEP_ITEMS = 8 };
extern const struct item kern_attn_items[KERN_ATTN_ITEMS]; /* check_kern_attn.c */
extern const struct item kern_step_items[KERN_STEP_ITEMS]; /* check_kern_step.c */

/* For the functions of a row. */

#define F(j) ((float *)r->p[j])
#define U(j) ((uint16_t *)r->p[j])
#define CALL(name, ...)                                                                            \
    static void call_##name(const struct kern *k, struct row *r) {                                 \
        __VA_ARGS__;                                                                               \
    }

/* Magnitudes. r is the untouched input. */

#define MAGNITUDE(name, ...)                                                                       \
    static double of_##name(const struct row *r, int array, int64_t i) {                           \
        (void)array;                                                                               \
        __VA_ARGS__;                                                                               \
    }
#define A(j, i) fabs((double)F(j)[i])

#endif
