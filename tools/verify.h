/* `duet convert --verify`: what is written is read again and compared before it takes its place. */
#ifndef DUET_VERIFY_H
#define DUET_VERIFY_H

#include "conf.h"
#include "compare.h"
#include "export.h"
#include "log.h"

/* Loss on a text before and after, window by window. */
struct verify_loss {
    bool known;
    double before, change, change_stderr; /* nats a token; stderr NaN for one window */
    int64_t T;
    uint64_t windows;
    char what[256]; /* the text */
};

struct verifier {
    struct compare_side in, out;
    const char *name;                   /* of what is written */
    const struct export_report *report; /* NULL: an adapter */
    bool merged;                        /* in has an adapter that is in out's weights */
    const char *tokenizer;              /* as --tokenizer names it, or NULL: in's */
    const struct conf_list *data;       /* texts to measure the loss on; none: the built-in one */
    struct log_progress *line;          /* shows what is done */
    const struct machine *machine;
    struct compare c;
    struct verify_loss loss; /* not known if every logit is the same and no text was named, or
                              * without a tokenizer */
};

/* For struct mf_check, ctx a struct verifier: an error if the logits differ by more than the types
 * explain. */
int verify(void *ctx, const char *path, struct err *e);

void verify_print(const struct verifier *v);

#endif
