/* Prompt classification: examples of a labelled table as prompts whose next token is the answer.
 *
 * The table is a TSV file in UTF-8: a line of column names, one of them "label", then one example a
 * line (GLUE's files look like this); or CSV (RFC 4180, texts in double quotes may hold commas and
 * line breaks), where the names are separated by commas and no tab is among them. A byte order
 * mark, CR before LF and empty lines at the end are passed over. A label is a number 0, 1, ... or a
 * name. The template makes a prompt of an example: {name} stands for the column of that name,
 * without the blanks around it. labels has the word that answers for label 0, for label 1, ...,
 * separated by commas; blanks belong to the words. "name=word" says what the label is called in the
 * table, where it is no number or the words are not in the order of the numbers ("not_entailment=
 * no,entailment= yes" for RTE); a word alone is also its label's name, without blanks. With
 * template "{sentence} It was" and labels " terrible, great" (SST-2 as in MeZO's paper, Malladi et
 * al. 2023, arXiv 2305.17333; verbalisers after Gao et al. 2021, arXiv 2012.15723) the prompt "a
 * joy It was" is followed by " great".
 *
 * Each word must be one token behind the template's text, and no two the same. Special tokens
 * in the template are these tokens; in the table they are ordinary text, so that no row can end a
 * turn or begin another. If the tokenizer has a start token, prompts begin with it.
 * A prompt longer than the limit loses tokens behind the text that stands before the first column:
 * the start token, that text and the end of the prompt stay.
 *
 *   TRY(task_open(&t, &opts, tokenizer, e));
 *   TRY(task_map(&t, &model, e));
 *   task_fill(&t, seed, row, B, T, input, pos, label);
 *   task_close(&t);
 *
 * Errors: ERR_USAGE for template, labels and a limit below the template's own length; ERR_INPUT,
 * with the line, for the table. */
#ifndef DUET_TASK_H
#define DUET_TASK_H

#include "choice.h"
#include "model.h"
#include "tokenizer.h"

struct task_opts {
    const char *path, *prompt, *labels; /* table, template, label words */
    int64_t seq;                        /* tokens a prompt at most; 0: no limit */
};

struct task {
    int n_labels;                 /* 2..CHOICE_MAX */
    uint32_t answers[CHOICE_MAX]; /* the token of each label's word */
    const char *word[CHOICE_MAX]; /* in words */
    char *words;
    int64_t n;         /* examples */
    int64_t *start;    /* (n+1) prompt i is ids[start[i]] to ids[start[i+1]] */
    int32_t *label;    /* (n) */
    uint32_t *ids;
    int64_t T;         /* tokens of the longest prompt */
    int64_t max_len;   /* ... before any was shortened */
    int64_t shortened; /* how many were */
    uint64_t hash;     /* of prompts, labels and answers, before task_map */
    /* The order of one epoch, kept because the next row is probably of the same. */
    int64_t *order; /* (n) */
    uint64_t order_seed, order_epoch;
    bool ordered;
};

int task_open(struct task *t, const struct task_opts *o, const struct tokenizer *tok,
              struct err *e);
void task_close(struct task *t); /* accepts all zeros */

/* Checks that the model knows every token, and numbers them as a compacted model does. Once. */
int task_map(struct task *t, const struct model *m, struct err *e);

/* The example of row `row` of the training stream: every epoch has each example once, in an order
 * that is a function of seed and epoch. One thread at a time. */
int64_t task_example(struct task *t, uint64_t seed, uint64_t row);

/* Tokens of the prompt of an example, 0..n-1. */
static inline int64_t task_len(const struct task *t, int64_t example) {
    return t->start[example + 1] - t->start[example];
}

/* Tokens of the longest prompt of rows row .. row+B-1: the least T for task_fill. */
int64_t task_batch_len(struct task *t, uint64_t seed, uint64_t row, int64_t B);

/* An example as one row: input (T) gets the prompt, filled up with id 0; *pos is that of the
 * prompt's last token. */
void task_put(const struct task *t, int64_t example, int64_t T, uint32_t *input, int32_t *pos,
              int32_t *label);

/* Rows row .. row+B-1 of the training stream: input (B,T), pos (B), label (B). */
void task_fill(struct task *t, uint64_t seed, uint64_t row, int64_t B, int64_t T, uint32_t *input,
               int32_t *pos, int32_t *label);

struct task_eval_opts {
    int64_t batch;                                              /* sequences at a time */
    double *losses; /* out: of each example (n), or NULL */
    bool errors;    /* losses are 1 where the answer is wrong, else 0; false: cross-entropy */
    void (*progress)(void *ctx, uint64_t done, uint64_t total); /* examples; or NULL */
    void *ctx;
    const _Atomic int *cancel; /* see exec_opts; gives ERR_STOP */
};

/* Figures over all examples, each with its standard error (NaN for one example). */
struct task_result {
    int64_t n;
    double loss, loss_stderr; /* mean cross-entropy over the label words, nats */
    double accuracy, accuracy_stderr;
    double f1, f1_stderr; /* objective_f1; the error is the jackknife's */
    int n_labels;
    int64_t counts[CHOICE_MAX * CHOICE_MAX]; /* [label * n_labels + answer] */
};

/* After task_map. Reserves its own memory for the forward pass. ERR_NUMERIC if the model's logits
 * are not numbers. */
int task_eval(struct model *m, const struct machine *machine, const struct task *t,
              const struct task_eval_opts *o, struct task_result *r, struct err *e);

#endif
