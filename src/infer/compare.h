/* Do two files hold the same model? Their logits tell. */
#ifndef DUET_COMPARE_H
#define DUET_COMPARE_H

#include "machine.h"
#include "model.h"

/* A model as it is opened: a file, or a base with an adapter. */
struct compare_side {
    const char *path, *adapter; /* adapter: or NULL */
    const struct conf_pairs *sets;
};

/* How far the logits of two models are apart, at fixed random ids, as the machine computes. */
struct compare {
    double max_diff;  /* of two logits */
    double max_logit; /* largest |logit| of the first */
    double max_prob;  /* largest difference of two probabilities */
    bool exact;       /* every logit is the same */
    bool finite;      /* every logit is a number */
    int64_t tokens;   /* positions */
};
/* A side, with the matrices in that storage. */
int compare_open(struct model *m, const struct compare_side *s, enum dtype t, struct pool *pool,
                 struct err *e);
int model_compare(const struct machine *machine, const struct compare_side *a,
                  const struct compare_side *b, struct compare *c, struct err *e);

#endif
