#include "merge.h"

#include "model_lora.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where the merged model comes from. */
static char *merge_meta(const struct lora *l) {
    char hash[17];
    snprintf(hash, sizeof hash, "%016" PRIx64, l->base_hash);
    json_t *o = json_pack("{s:{s:s,s:I,s:f,s:s,s:f}}", "merged", "base_hash", hash, "rank",
                          (json_int_t)l->opts.rank, "alpha", l->opts.alpha, "targets", l->targets,
                          "scale", l->factor);
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    return text;
}

int merge_export(struct model *m, const struct kern *kern, const char *base, const struct format *f,
                 const char *path, const struct export_opts *x, struct export_report *r,
                 struct err *e) {
    int rc;
    struct model_file mf = {0};
    struct model_as_file *hold = NULL;
    char *meta = merge_meta(m->lora);
    if (!meta) return err_set(e, ERR_NOMEM, "out of memory for %s", path);
    TRY(lora_merge(m, kern, e));
    TRY(model_as_file(m, &mf, &hold, meta, e));
    if (!(mf.path = strdup(base))) { /* for messages */
        rc = err_set(e, ERR_NOMEM, "out of memory for %s", path);
        goto out;
    }
    TRY(model_export(&mf, f, path, x, r, e));
out:
    free(meta);
    model_file_close(&mf);
    model_as_file_close(hold);
    return rc;
}
