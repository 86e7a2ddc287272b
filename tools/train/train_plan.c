#include "train_plan.h"

#include "batch.h"
#include "budget.h"
#include "clock_record.h"
#include "data_show.h"
#include "import.h"
#include "textin.h"
#include "textlist.h"

#include <stdlib.h>
#include <string.h>

/* Texts up to this size are tokenised, which takes a moment; of larger ones it is enough to know
 * that there is something to validate on. */
enum { SMALL_TEXT = 4 << 20 };

/* A pipe is left alone: what is read of it is gone. */
static int must_tokenize(const struct train_opts *o, bool *must, struct err *e) {
    struct textlist l;
    uint64_t bytes = 0;
    const int rc = textlist_open(&l, o->data.item, o->data.n, e);
    *must = o->compact_vocab;
    for (size_t i = 0; i < l.n && !rc; i++) {
        const uint64_t size = textin_size(l.path[i]);
        bytes += size ? size : SMALL_TEXT + 1;
    }
    if (bytes <= SMALL_TEXT) *must = true;
    textlist_close(&l);
    return rc;
}

/* The tokenizer: of --tokenizer, else of --init's file, else none. */
static int open_tokenizer(struct train_plan *p, struct model *holder, struct err *e) {
    int rc = 0;
    const struct train_opts *o = p->o;
    struct model_config c = {0};
    if (o->tokenizer) return model_open_tokenizer(&p->data.tokenizer, o->tokenizer, e);
    if (!o->init) return 0;
    struct train_opts base = *o;
    if (base.model) base.set = (struct conf_pairs){0}; /* it is of that description */
    base.model = NULL;
    TRY(train_model_config(&c, &base, &p->files, holder, e));
    TRY(model_try_tokenizer(holder, &p->data.tokenizer, e));
out:
    model_config_release(&c);
    return rc;
}

static int read_tasks(struct train_plan *p, const struct model *holder, struct err *e) {
    int rc = 0;
    const struct train_opts *o = p->o;
    struct task_opts to = {
        .path = o->task, .prompt = o->prompt, .labels = o->labels, .seq = p->seq};
    if (!p->data.tokenizer && holder->tok_problem)
        return err_set(e, ERR_INPUT, "%s", holder->tok_problem);
    if (!p->data.tokenizer)
        return err_set(e, ERR_USAGE, "%s holds no tokenizer: give one with --tokenizer", o->init);
    TRY(task_open(&p->task, &to, p->data.tokenizer, e));
    p->seq = p->task.T;
    p->epoch = (double)p->task.n;
    if (!o->task_eval) goto out;
    to.path = o->task_eval;
    to.seq = p->seq;
    TRY(task_open(&p->task_eval, &to, p->data.tokenizer, e));
    p->val_seq = p->task_eval.T;
out:
    return rc;
}

static int read_text(struct train_plan *p, struct model *holder, uint32_t vocab, struct err *e) {
    int rc = 0;
    const struct train_opts *o = p->o;
    bool must;
    char name[256];
    const double share = o->val_data.n ? 0 : o->val_fraction;
    struct splits all;
    struct dataset_opts d = {.data = o->data,
                             .format = o->format,
                             .tokenizer = o->tokenizer,
                             .own = model_tok_own(holder),
                             .raw_vocab = vocab,
                             .pool = p->machine.pool};
    p->val_seq = o->val_data.n || share > 0 ? p->seq : 0;
    if (!o->data.n) return 0;
    TRY(dataset_check(&o->data, o->format, e));
    if (o->val_data.n) TRY(dataset_check(&o->val_data, o->format, e));
    TRY(must_tokenize(o, &must, e));
    if (!must && !shard_probe(o->data.item[0]) && strcmp(o->format, "raw16")) return 0;
    tokenizer_close(p->data.tokenizer);
    p->data.tokenizer = NULL;
    TRY(data_show_open(&p->data, &d, true, e));
    TRY(splits_make(&p->data.shard, dataset_name(&o->data, name), share, o->test_fraction, p->seq,
                    &all, e));
    const struct batcher b = {.split = all.train, .T = p->seq};
    p->read_tokens = all.test.begin;
    p->epoch = (double)batch_epoch_rows(&b) * (double)p->seq;
    if (!o->val_data.n && all.val.end - all.val.begin <= (uint64_t)p->seq) p->val_seq = 0;
    if (!o->val_data.n || !o->compact_vocab) goto out;
    d.data = o->val_data;
    TRY(data_show_open(&p->val_data, &d, true, e));
out:
    return rc;
}

static int read_data(struct train_plan *p, struct err *e) {
    int rc;
    const struct train_opts *o = p->o;
    struct model holder = {0};
    struct model_config c = {0};
    TRY(train_model_config(&c, o, &p->files, NULL, e));
    p->seq = o->seq ? o->seq : c.seq_len;
    TRY(open_tokenizer(p, &holder, e));
    TRY(o->task ? read_tasks(p, &holder, e) : read_text(p, &holder, (uint32_t)c.vocab, e));
out:
    model_config_release(&c);
    model_forget_tokenizer(&holder);
    return rc;
}

/* As many as a recorded run made, whose ramp follows its shares. */
static int count_recorded(struct train_plan *p, double flops, struct err *e) {
    struct clock_record c;
    int64_t micro = 0;
    const int rc = clock_record_open(&c, p->o->clock, e);
    if (rc) return rc;
    for (int64_t i = 0; i < c.updates; i++)
        micro += sched_accum(p->o->accum, p->o->accum_end, clock_record_share(&c, i));
    p->updates = c.updates;
    p->all_flops = (double)micro * flops;
    clock_record_close(&c);
    return 0;
}

/* flops: of a micro-batch. Those of a task may be shorter than planned. */
static void count_updates(struct train_plan *p, double flops) {
    const struct budget_use asked = train_budget(p->o);
    const struct budget_use limit = budget_limits(&asked, p->epoch);
    const double tokens = (double)(p->o->batch * p->seq);
    const struct budget_unit u = {.tokens = tokens,
                                  .epoch = p->o->task ? (double)p->o->batch : tokens,
                                  .flops = flops};
    p->updates = budget_updates(&limit, &u, p->o->accum, p->o->accum_end, &p->all_flops);
}

int train_plan_make(struct train_plan *p, const struct train_opts *o, struct err *e) {
    int rc;
    *p = (struct train_plan){.o = o};
    struct train_opts any = *o;
    if (!train_opts_end(&any)) any.steps = 1;
    if (!any.init)
        any.init = any.model; /* what a model will need can be asked before it is there */
    const struct machine_opts mo = {
        .threads = (int)o->threads, .gemm = o->gemm, .compute = o->compute};
    TRY(machine_open(&p->machine, &mo, e));
    TRY(train_setup_make(&p->setup, &any, &p->machine.cpu, e));
    TRY(read_data(p, e));
    const int64_t vocab = p->data.tokenizer    ? tokenizer_vocab_size(p->data.tokenizer)
                          : p->data.shard.vocab ? p->data.shard.vocab
                                                : 0;
    TRY(train_model_create(&p->model, o, &p->files, vocab, e));
    if (o->compact_vocab && o->data.n)
        TRY(dataset_ids(&p->data.shard, p->read_tokens, &p->val_data.shard, p->model.config.vocab,
                        &p->ids, &p->n_ids, e));
    TRY(train_model_shape(&p->model, &p->setup, p->ids, p->n_ids, e));
    p->engine = train_engine_opts(&p->setup, o, &p->machine, p->seq);
    p->engine.n_answers = p->task.n_labels;
    TRY(run_plan(&p->memory, p->setup.engine, &p->model, &p->engine, p->val_seq, e));
    const double flops = p->setup.engine->flops(&p->engine, &p->model.graph);
    p->flops = flops * (double)o->accum;
    if (o->clock)
        TRY(count_recorded(p, flops, e));
    else
        count_updates(p, flops);
out:
    return rc;
}

void train_plan_close(struct train_plan *p) {
    model_close(&p->model);
    train_files_close(&p->files);
    dataset_close(&p->data);
    dataset_close(&p->val_data);
    task_close(&p->task);
    task_close(&p->task_eval);
    free(p->ids);
    machine_close(&p->machine);
    *p = (struct train_plan){0};
}
