/* What a machine is good for: the size classes of duet's predecessors as CPUs, and what training
 * some shapes takes and is expected to give.
 *
 * The classes are the four of the Apple Silicon fork of autoresearch (elementalcollision's README,
 * "Hardware recommendations"): a depth, a batch and tokens an update for chips of a size, for five
 * minutes of training. Its width is 64 a layer, rounded up to 128, in heads of 128; the vocabulary
 * 8,192, and what else it has that duet knows is in the options, too (value embeddings, QK-norm, a
 * softcap of 15; SwiGLU of as many weights instead of ReLU squared, and no windows). The length of
 * 1,024 is the longest by which all four batches are whole numbers of sequences.
 *
 * A machine is of the largest class whose run fits into its memory by duet's own plan and makes as
 * many updates in five minutes as the slowest run in the results of that README: 210. */
#ifndef DUET_SIZE_CLASS_H
#define DUET_SIZE_CLASS_H

#include "machine.h"

enum { CLASS_UPDATES = 210, CLASS_SECONDS = 300 };

/* Options of `duet train` that decide memory and operations. */
enum { SIZE_OPTIONS = 40 };
struct size_shape {
    const char *name;
    const char *memory; /* of the chips that the class is for; NULL: a shape of duet's pages */
    int depth;          /* of a class; else 0 */
    const char *options; /* of a shape */
    int64_t batch, seq, accum;
    /* Share of the rate of a large product that a step of this shape has reached in measurements
     * (results/speed.md, two threads; NaN: not measured). */
    double share_f32, share_bf16;
};
extern const struct size_shape size_shapes[];  /* demo, autoresearch, SmolLM2-135M */
extern const struct size_shape size_classes[]; /* the smallest first */
extern const int n_size_shapes, n_size_classes;

/* The words of a shape's options, blanks between them. */
enum { SIZE_TEXT = 640 };
const char *size_options(const struct size_shape *s, char text[SIZE_TEXT]);

/* What an update of it takes. */
struct size_need {
    int64_t params, tokens; /* tokens: of an update */
    int64_t layers, dim;
    double flops;
    size_t bytes; /* planned, as `duet plan` does */
};
int size_plan(const struct size_shape *s, const struct machine *m, struct size_need *need,
              struct err *e);

/* Expected GFLOP/s: the share of the peak that was reached, of f32 or bf16, whichever is more.
 * peak 0: not measured. */
double size_rate(const struct size_shape *s, double peak_f32, double peak_bf16);

struct class_fit {
    struct size_need need;
    double rate;    /* expected GFLOP/s; 0: not known */
    double updates; /* of these in CLASS_SECONDS */
    int threads;    /* how many would make CLASS_UPDATES, if each gave as much as these; 0: not
                     * known */
    bool fits, fast;
};
/* Fills the rest of n classes from need and rate. have: bytes of memory, 0 if that is not known;
 * threads: that give the rate. Returns the number of the machine's class, or -1: below all. */
int class_judge(struct class_fit *fit, int n, size_t have, int threads);

#endif
