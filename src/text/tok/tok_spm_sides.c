/* A tokenizer.model with the tokens that lie beside it: fine-tuned models often add theirs in
 * added_tokens.json and tokenizer_config.json alone. They become pieces of the model, control
 * pieces or ones defined by the user, and then the end of a text is the one that is named there.
 * Ids between, of which nothing is said, become unused pieces as in a GGUF. */
#include "map.h"
#include "spm_model.h"
#include "tok_sides.h"
#include "vocab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOLES 4096 /* ids without a token, at most, that a list may leave */

struct join {
    struct spm_model m;
    struct strmap texts;    /* of the pieces: number = id, until there are holes */
    struct tok_bytes *kept; /* texts that are not in the file, one allocation each */
    size_t n_kept, cap_kept;
    size_t most; /* pieces that there may be */
    bool changed;
    const struct sides *s;
};

/* A text as pieces have it: U+2581 for blanks. */
static const char *keep(struct join *j, const char *text, bool blanks, size_t *n) {
    struct tok_bytes b = {0};
    if (grow(&j->kept, &j->cap_kept, j->n_kept + 1, sizeof *j->kept)) return NULL;
    int bad = grow(&b.data, &b.cap, strlen(text) * 3 + 1, 1);
    for (const char *p = text; *p && !bad; p++) {
        const bool blank = blanks && *p == ' ';
        memcpy(b.data + b.n, blank ? SPM_BLANK : p, blank ? strlen(SPM_BLANK) : 1);
        b.n += blank ? strlen(SPM_BLANK) : 1;
    }
    if (bad) return NULL;
    j->kept[j->n_kept++] = b;
    *n = b.n;
    return b.data;
}

static int add_piece(struct join *j, const char *text, bool blanks, uint8_t type) {
    size_t n;
    const char *s = keep(j, text, blanks, &n);
    if (!s || grow(&j->m.pieces, &j->m.cap, j->m.n + 1, sizeof *j->m.pieces))
        return err_set(j->s->e, ERR_NOMEM, "%s: no memory for added tokens", j->s->name);
    j->m.pieces[j->m.n++] = (struct spm_piece){s, (uint32_t)n, 0, type};
    j->changed = true;
    return 0;
}

static bool is_true(const json_t *how, const char *key) {
    return json_is_true(json_object_get(how, key));
}

static int wrong(const struct join *j, const struct sides_token *t, const char *why) {
    return err_set(j->s->e, ERR_INPUT, "%s: %s: added token \"%.60s\" with id %lld %s",
                   j->s->name, t->file, t->text, (long long)t->id, why);
}

static bool same_text(const struct spm_piece *p, const char *s) {
    return p->n == strlen(s) && !memcmp(p->s, s, p->n);
}

static int add_token(void *ctx, const struct sides_token *t) {
    struct join *j = ctx;
    const uint8_t type = t->special ? VOCAB_CONTROL : VOCAB_USER;
    if (!*t->text || strlen(t->text) > SPM_MAX_PIECE / 3 || t->id < 0)
        return wrong(j, t, "is empty or too long, or has no id");
    if (is_true(t->how, "lstrip") || is_true(t->how, "rstrip") || is_true(t->how, "single_word"))
        return wrong(j, t, "takes blanks beside it, or is a whole word (lstrip, rstrip, "
                           "single_word): not supported beside a tokenizer.model");
    if (t->id < (int64_t)j->m.n) {
        struct spm_piece *p = &j->m.pieces[t->id];
        const bool hole = p->type == VOCAB_UNUSED && t->id >= (int64_t)j->texts.n;
        if (!hole && !same_text(p, t->text)) return wrong(j, t, "is another piece in the model");
        const bool kept = p->type == VOCAB_CONTROL || p->type == VOCAB_UNKNOWN ||
                          p->type == VOCAB_BYTE || p->type == type;
        if (!hole && kept) return 0;
        size_t n;
        const char *s = keep(j, t->text, !t->special, &n);
        if (!s) return err_set(j->s->e, ERR_NOMEM, "%s: no memory for added tokens", j->s->name);
        *p = (struct spm_piece){s, (uint32_t)n, p->score, type};
        j->changed = true;
        return 0;
    }
    if (strmap_find(&j->texts, t->text, strlen(t->text)) != MAP_NONE)
        return wrong(j, t, "has another id in the model");
    if (t->id >= (int64_t)j->most) return wrong(j, t, "is far beyond the model's pieces");
    while ((int64_t)j->m.n < t->id) {
        char hole[24];
        snprintf(hole, sizeof hole, "[PAD%zu]", j->m.n);
        int rc = add_piece(j, hole, false, VOCAB_UNUSED);
        if (rc) return rc;
    }
    return add_piece(j, t->text, !t->special, type);
}

/* The ids that the files name; a special piece alone can be one. */
static void take_named(struct join *j) {
    const struct {
        const char *what;
        int64_t *id;
    } ids[] = {{"eos", &j->m.eos}, {"pad", &j->m.pad}};
    for (size_t k = 0; k < 2; k++) {
        const char *text = sides_named(j->s, ids[k].what);
        for (size_t i = 0; text && i < j->m.n; i++) {
            if (j->m.pieces[i].type != VOCAB_CONTROL || !same_text(&j->m.pieces[i], text)) continue;
            *ids[k].id = (int64_t)i;
        }
    }
}

/* The folder of a tokenizer.model, for messages about what lies beside it; else the name. */
static char *folder_of(const char *name) {
    char *folder = strdup(name), *slash = folder ? strrchr(folder, '/') : NULL;
    const size_t n = folder ? strlen(folder) : 0;
    if (slash && slash > folder && n > 6 && !strcmp(folder + n - 6, ".model")) *slash = 0;
    return folder;
}

int tokenizer_blob_from_model(const void *data, size_t bytes, const struct tok_sides *files,
                              const char *name, void **blob, size_t *n, struct err *e) {
    int rc;
    struct sides s;
    struct join j = {.s = &s};
    struct tok_bytes out = {0};
    char *folder = folder_of(name);
    *blob = NULL;
    *n = 0;
    if (!folder) return err_set(e, ERR_NOMEM, "%s: no memory", name);
    TRY(sides_read(&s, files, folder, e));
    if (!spm_proto_probe(data, bytes)) goto out;
    TRY(spm_proto_read(&j.m, data, bytes, name, e));
    for (size_t i = 0; i < j.m.n; i++)
        if (strmap_add(&j.texts, j.m.pieces[i].s, j.m.pieces[i].n) == MAP_NONE) {
            rc = err_set(e, ERR_NOMEM, "%s: no memory for %zu pieces", name, j.m.n);
            goto out;
        }
    j.most = j.m.n * 2 + HOLES;
    TRY(sides_each(&s, add_token, &j));
    if (!j.changed) goto out;
    take_named(&j);
    TRY(spm_model_check(&j.m, name, e));
    TRY(spm_proto_write(&j.m, &out, e));
    *blob = out.data;
    *n = out.n;
    out.data = NULL;
out:
    for (size_t i = 0; i < j.n_kept; i++) free(j.kept[i].data);
    free(j.kept);
    free(folder);
    free(out.data);
    strmap_release(&j.texts);
    spm_model_release(&j.m);
    sides_release(&s);
    return rc;
}
