/* A task of the native backend's products: a panel of B, which it packs into scratch of its thread
 * (or finds packed), against a part of A's rows, block of k by block of k. Its jobs are made, and
 * cut, by gemm_native.c. */
#ifndef DUET_GEMM_TASK_H
#define DUET_GEMM_TASK_H

#include "gemm_kern.h"

static inline int64_t gemm_words(const struct gemm_kern *kn, int64_t k) {
    return (k + kn->per_word - 1) / kn->per_word;
}

/* Scales of each row of B over so many words. */
static inline int64_t gemm_scales_of(const struct gemm_kern *kn, int64_t words) {
    return kn->scale_k ? (words * kn->per_word + kn->scale_k - 1) / kn->scale_k : 0;
}

/* Words of a sliver of B over so many words of k, with its scales. */
static inline int64_t gemm_sliver_words(const struct gemm_kern *kn, int64_t words) {
    return kn->nr * (words + gemm_scales_of(kn, words));
}

static inline int64_t gemm_slivers(int64_t rows, int height) {
    return (rows + height - 1) / height;
}

/* One product. */
struct gemm_job {
    const struct gemm *g;
    const struct gemm_kern *kn;
    const struct gemm_pack *a, *b;
    const uint32_t *pa; /* words of A */
    int64_t lda;
    float *c;
    int64_t ldc;
    int64_t rows, group_rows; /* of A, in one group; from one group to the next */
    int variants, sides;      /* of B; packed at once */
    int64_t words, qa, qb;    /* words of k; slivers of a group of A, and of B */
    int64_t height, higher;   /* rows of a sliver of A; so many, the first ones, have one more */
    int64_t panels, parts;    /* tasks: panels of B by parts of A */
    int64_t blocks;           /* of k */
    bool wide;                /* panels are twice as wide, of half the words */
    char *scratch;            /* panels that tasks pack, one a thread; NULL: B is packed */
    size_t scratch_bytes;
    bool add, round;
    enum gemm_tri tri;
    bool copies;         /* tasks copy the rows of A that they use */
    enum gemm_form form; /* of A where it is */
    bool on;             /* goes on with the sums of the job before it */
    bool same_b;         /* as the job before it */
};

struct gemm_jobs {
    struct gemm_job job[GEMM_LIST];
    int n;
};

static inline int64_t gemm_job_tasks(const struct gemm_job *j) {
    return j->panels * j->parts;
}

/* Task t of the list in ctx, on thread tid. */
void gemm_task(void *ctx, int64_t t, int tid);

#endif
