#include "run_plan.h"

#include "limit.h"

/* Validation has its own, smaller memory beside that of training. */
enum { VAL_TOKENS = 1024 };

int64_t run_val_batch(int64_t seq) {
    return VAL_TOKENS / seq > 1 ? VAL_TOKENS / seq : 1;
}

int run_plan(struct engine_memory *mem, const struct engine_kind *kind, struct model *m,
             const struct engine_opts *o, int64_t val_seq, struct err *e) {
    struct exec x;
    int rc = engine_plan(kind, m, o, mem, e);
    if (rc || !val_seq) return rc;
    const struct exec_opts xo = {.B = run_val_batch(val_seq), .T = val_seq};
    rc = exec_plan(&x, &m->graph, o->machine, &xo, e);
    if (rc) return rc;
    mem->validation = exec_bytes(&x);
    mem->total += mem->validation;
    exec_close(&x);
    return 0;
}

int run_plan_fits(const struct engine_memory *mem, const struct machine *machine, const char *what,
                  const char *advice, struct err *e) {
    const struct memory_part parts[] = {
        {"weights", mem->weights},
        {"gradients", mem->gradients},
        {"optimizer", mem->optimizer},
        {"activations", mem->kept + mem->passing},
        {"threads", mem->threads},
        {"validation", mem->validation},
    };
    return memory_fits(machine_memory(machine), what, parts, sizeof parts / sizeof *parts, advice,
                       e);
}

const char *run_plan_advice(const struct engine_kind *kind) {
    return kind->backward ? "a smaller --batch, --weights bf16, --recompute, --lora "
                            "or --engine mezo"
                          : "a smaller --batch, --weights bf16 or --lora";
}
