/* Which kind of file or folder something is. */
#include "describe.h"
#include "cpu.h"
#include "exact.h"
#include "facts.h"
#include "file.h"
#include "import.h"
#include "magic.h"
#include "model.h"
#include "run_folder.h"
#include "shard.h"

#include <stdlib.h>
#include <string.h>

static int describe_shard(json_t *o, const char *path, const struct describe_opts *opt,
                          struct err *e) {
    struct shard s = {0};
    struct pool *pool = NULL;
    int rc = opt->verify ? pool_open(&pool, cpu_count(), e) : 0;
    if (!rc) rc = shard_open(&s, path, SHARD_DUET, 0, opt->verify, pool, e);
    pool_close(pool);
    if (rc) return rc;
    facts_text(o, "kind", "shard");
    facts_whole(o, "bytes", s.map.size);
    facts_whole(o, "token_bytes", (uint64_t)s.width);
    facts_whole(o, "vocab_size", s.vocab);
    facts_hex(o, "tokenizer_hash", s.tok_hash);
    facts_whole(o, "tokens", s.n_tokens);
    facts_whole(o, "text_bytes", s.n_bytes);
    facts_whole(o, "documents", s.n_docs);
    facts_put(o, "entropy_known", json_boolean(s.doc_bits != NULL));
    if (opt->verify) facts_text(o, "verified", "checksums, all tokens in range");
    shard_close(&s);
    return 0;
}

static int describe_tokenizer_file(json_t *o, const char *path, struct err *e) {
    struct tokenizer *t;
    int rc = model_open_tokenizer(&t, path, e);
    if (rc) return rc;
    json_t *tok = json_object();
    facts_text(o, "kind", "tokenizer");
    describe_tokenizer(tok, t);
    facts_put(o, "tokenizer", tok);
    tokenizer_close(t);
    return 0;
}

/* ---- folders --------------------------------------------------------------------------------- */

/* Weights that cannot be read are an error, and no folder of a tokenizer. */
static bool has_weights(const char *dir) {
    static const char *const names[] = {"model.safetensors", "model.safetensors.index.json",
                                        "adapter_model.safetensors"};
    bool found = false;
    for (size_t i = 0; i < sizeof names / sizeof *names && !found; i++) {
        char *path = file_join(dir, names[i]);
        found = path && file_exists(path);
        free(path);
    }
    return found;
}

/* One of the checkpoints that a run keeps has its state beside its weights. */
static void add_state(json_t *o, const char *dir) {
    struct err ignored;
    char *state = file_join(dir, "state");
    json_t *s = json_object();
    if (state && file_exists(state) && !describe_state(s, state, &ignored))
        facts_put(o, "state", json_incref(s));
    json_decref(s);
    free(state);
}

static int describe_folder(json_t *o, const char *path, const struct describe_opts *opt,
                           struct err *e) {
    int rc;
    struct model_file mf;
    struct err ignored;
    if (run_folder_is(path)) return describe_run(o, path, opt, e);
    if (run_folder_is_kept(path)) return describe_kept(o, path, e);
    if (model_file_open(&mf, path, opt->verify, e)) {
        rc = e->code;
        return has_weights(path) || describe_tokenizer_file(o, path, &ignored) ? rc : 0;
    }
    TRY(describe_model(o, &mf, opt, e));
    add_state(o, path);
out:
    return rc;
}

/* ---- files ----------------------------------------------------------------------------------- */

/* A description alone: what a model of it would have. */
static int describe_description(json_t *o, const char *path, struct err *e) {
    int rc;
    struct model_config c;
    struct model m = {0};
    TRY(model_config_read(&c, path, NULL, e));
    TRY(model_create(&m, &c, e)); /* takes c over */
    describe_config(o, m.config.json, (uint64_t)model_param_count(&m));
out:
    model_close(&m);
    return rc;
}

static bool begins(const struct file_map *m, const char *with) {
    return m->size >= strlen(with) && !memcmp(m->data, with, strlen(with));
}

/* What a run writes about itself. *done: it was. */
static int describe_own(json_t *o, const struct file_map *m, const struct magic *known,
                        bool *done, struct err *e) {
    const char *path = m->path;
    *done = true;
    if (exact_probe(m->data, m->size)) return describe_exact(o, path, e);
    if (begins(m, "DUETSTAT")) return describe_state(o, path, e);
    if (begins(m, "DUETZO\r\n")) return describe_trajectory(o, path, e);
    if (begins(m, "DUETCLCK")) return describe_clock(o, path, e);
    if (begins(m, "{\"event\":")) return describe_log(o, path, e);
    if (known && known->kind == MAGIC_OPTIONS)
        return describe_record(o, "options of a run", path, e);
    if (begins(m, "{\n \"val_loss\": ")) return describe_record(o, "summary of a run", path, e);
    if (known && strstr(known->is, "is a record of a run"))
        return describe_record(o, "losses of a run's first validation", path, e);
    *done = false;
    return 0;
}

/* Texts are what is left: anything that is no other kind, by its name neither, and has no control
 * characters. */
static bool may_be_text(const struct file_map *m, const struct magic *known) {
    static const char *const others[] = {".json", ".gguf", ".blzt", ".safetensors", ".bin", ".zo",
                                         ".model", ".shard"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (file_ends_with(m->path, others[i])) return false;
    if (known) return known->kind == MAGIC_GZIP || known->kind == MAGIC_ZSTD;
    const size_t n = m->size < MAGIC_BYTES ? m->size : MAGIC_BYTES;
    for (size_t i = 0; i < n; i++)
        if (m->data[i] < 32 && (m->data[i] < '\t' || m->data[i] > '\r')) return false;
    return n > 0;
}

static int describe_file(json_t *o, const char *path, const struct describe_opts *opt,
                         struct err *e) {
    struct file_map map;
    struct model_file mf;
    struct err why = {0};
    bool done = false;
    int rc = file_map_open(&map, path, e);
    if (rc) return rc;
    const bool model = format_probe(map.data, map.size);
    const struct magic *known = magic_find(map.data, map.size);
    if (model && (!known || known->kind == MAGIC_MODEL)) {
        TRY(model_file_open_map(&mf, &map, opt->verify, e));
        rc = describe_model(o, &mf, opt, e);
        goto out;
    }
    TRY(describe_own(o, &map, known, &done, e));
    if (done) goto out;
    if (known && known->kind == MAGIC_DESCRIPTION)
        rc = describe_description(o, path, e);
    else if (known && known->kind == MAGIC_TOKENIZER)
        rc = describe_tokenizer_file(o, path, e);
    else if (!describe_tokenizer_file(o, path, &why))
        rc = 0;
    else if (may_be_text(&map, known))
        rc = describe_text(o, path, e);
    else if (!known && map.size && map.data[0] == '{')
        rc = err_set(e, why.code, "%s", why.msg); /* no tokenizer, and why */
    else
        rc = model_file_open_map(&mf, &map, opt->verify, e); /* says what could have been */
out:
    file_map_close(&map);
    return rc;
}

int describe(json_t *o, const char *path, const struct describe_opts *opt, struct err *e) {
    if (file_is_dir(path)) return describe_folder(o, path, opt, e);
    return shard_probe(path) ? describe_shard(o, path, opt, e) : describe_file(o, path, opt, e);
}
