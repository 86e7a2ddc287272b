/* BLZT v4, the checkpoint of AutoANE: a header of 96 bytes, then f32 weights with their Adam
 * moments; and versions 2 and 3, which its relatives write. Layout: docs/formats.md. It stores
 * neither rotary base nor eps nor residual scale: llama_assume says so.
 *
 * AutoANE's LoRA sidecar ("LORA") is recognised here to be refused by name. */
#include "json_text.h"
#include "layout.h"

#include <math.h>
#include <string.h>

extern const struct format format_blzt4;

#define MAGIC 0x424c5a54u
#define LORA_MAGIC 0x4c4f5241u
#define MAX_COUNTER 10000000 /* what the predecessors' own loader accepts */

/* All fields on their natural alignment: the bytes of the file are this struct. */
struct header {
    uint32_t magic;
    int32_t version, step, total_steps;
    int32_t n_layers, vocab, dim, hidden, n_heads, seq_len;
    float lr, loss;
    double compile_ms, train_ms, wall_ms;
    int32_t cum_steps, cum_batches, adam_t, n_kv_heads, head_dim, q_dim;
};
_Static_assert(sizeof(struct header) == 96, "layout of BLZT v4");

static const enum part_kind layer_parts[] = {
    PART_Q,    PART_K,  PART_V,        PART_O,        PART_GATE,
    PART_DOWN, PART_UP, PART_ATT_NORM, PART_FFN_NORM,
};
#define N_LAYER_PARTS (sizeof layer_parts / sizeof *layer_parts)

/* Any version but 5, so that a wrong one gets a sentence of its own. */
static bool probe(const uint8_t *data, size_t size) {
    uint32_t w[2];
    if (size < sizeof w) return false;
    memcpy(w, data, sizeof w);
    return (w[0] == MAGIC && w[1] != 5) || w[0] == LORA_MAGIC;
}

/* i32 magic, rank, layers, updates of Adam, then A and B of query, key, value and output of each
 * layer. It names neither widths nor base, and its base holds W + B A already. */
static int refuse_sidecar(const struct model_file *mf, struct err *e) {
    int32_t w[4] = {0};
    memcpy(w, mf->map.data, mf->map.size < sizeof w ? mf->map.size : sizeof w);
    return err_set(e, ERR_INPUT,
                   "%s: a LoRA sidecar of AutoANE (rank %d, %d layers), which duet does not read: "
                   "the checkpoint beside it has these adapters merged in already; open that one",
                   mf->path, w[1], w[2]);
}

/* Before version 4 the last fields were padding: every head had its own keys and values if
 * n_kv_heads is 0, and a head's size was dim / n_heads. */
static int old_header(struct header *h, const char *path, struct err *e) {
    if (h->n_heads < 1 || h->dim % h->n_heads != 0)
        return err_set(e, ERR_INPUT, "%s: dim %d at offset 24 is not a multiple of n_heads %d",
                       path, h->dim, h->n_heads);
    if (!h->n_kv_heads) h->n_kv_heads = h->n_heads;
    h->head_dim = h->dim / h->n_heads;
    h->q_dim = h->dim;
    return 0;
}

static int check_header(const struct header *h, const struct llama_dims *d, const char *path,
                        struct err *e) {
    int rc = llama_dims_check(d, path, e);
    if (rc) return rc;
    if ((int64_t)(d->heads * d->head_dim) != h->q_dim)
        return err_set(e, ERR_INPUT,
                       "%s: q_dim at offset 92 is %d, expected n_heads %d times head_dim %d", path,
                       h->q_dim, h->n_heads, h->head_dim);
    const struct {
        const char *name;
        int32_t value, offset;
    } counters[] = {{"step", h->step, 8},
                    {"total_steps", h->total_steps, 12},
                    {"cum_steps", h->cum_steps, 72},
                    {"cum_batches", h->cum_batches, 76},
                    {"adam_t", h->adam_t, 80}};
    for (size_t i = 0; i < sizeof counters / sizeof *counters; i++)
        if (counters[i].value < 0)
            return err_set(e, ERR_INPUT, "%s: %s at offset %d is %d, expected 0 or more", path,
                           counters[i].name, counters[i].offset, counters[i].value);
    return 0;
}

/* JSON has no NaN and no infinity: such a value is left out. */
static int put_real(json_t *o, const char *key, double v) {
    return isfinite(v) ? json_object_set_new(o, key, json_real(v)) : 0;
}

/* Training begins with new moments. */
static bool put_left_out(json_t *duet, const struct header *h) {
    if (!h->adam_t) return true;
    json_t *text = json_sprintf("Adam's moments of %d updates", h->adam_t);
    return json_object_set_new(duet, "left_out", text) == 0;
}

static int make_json(struct model_file *mf, const struct header *h, const struct llama_dims *d,
                     struct err *e) {
    json_t *config = llama_config(d);
    json_t *duet = json_pack("{s:i}", "seq_len", h->seq_len);
    json_t *meta =
        json_pack("{s:i, s:i, s:i, s:i, s:i}", "step", h->step, "total_steps", h->total_steps,
                  "cum_steps", h->cum_steps, "cum_batches", h->cum_batches, "adam_t", h->adam_t);
    bool ok = config && duet && meta && !json_object_set(config, "duet", duet) &&
              !put_real(meta, "lr", h->lr) && !put_real(meta, "loss", h->loss) &&
              !put_real(meta, "compile_ms", h->compile_ms) &&
              !put_real(meta, "train_ms", h->train_ms) && !put_real(meta, "wall_ms", h->wall_ms) &&
              llama_assume(config, true, h->version < 4) && put_left_out(duet, h) &&
              (mf->config = json_text(config)) && (mf->meta = json_text(meta));
    json_decref(config);
    json_decref(duet);
    json_decref(meta);
    return ok ? 0 : err_set(e, ERR_NOMEM, "%s: no memory", mf->path);
}

static int read_blzt4(struct model_file *mf, bool verify, struct err *e) {
    (void)verify;
    struct header h;
    uint32_t magic;
    memcpy(&magic, mf->map.data, sizeof magic);
    if (magic == LORA_MAGIC) return refuse_sidecar(mf, e);
    if (mf->map.size < sizeof h)
        return err_set(e, ERR_INPUT, "%s: BLZT header is cut off: %zu bytes, expected 96", mf->path,
                       mf->map.size);
    memcpy(&h, mf->map.data, sizeof h);
    if (h.version < 2 || h.version > 4)
        return err_set(e, ERR_INPUT, "%s: BLZT version at offset 4 is %d, expected 2 to 5",
                       mf->path, h.version);
    int rc;
    if (h.version < 4) TRY(old_header(&h, mf->path, e));
    struct llama_dims d = {(uint64_t)h.dim,     (uint64_t)h.hidden,     (uint64_t)h.n_layers,
                           (uint64_t)h.n_heads, (uint64_t)h.n_kv_heads, (uint64_t)h.head_dim,
                           (uint64_t)h.vocab,   (uint64_t)h.seq_len,    true,
                           llama_parts(mf)};
    TRY(check_header(&h, &d, mf->path, e));
    uint64_t expected = sizeof h + 12 * llama_total(&d), offset = sizeof h;
    if (mf->map.size != expected) {
        rc = err_set(e, ERR_INPUT, "%s: file has %zu bytes, but its header asks for %llu", mf->path,
                     mf->map.size, (unsigned long long)expected);
        goto out;
    }
    for (uint64_t l = 0; l < d.layers; l++) {
        uint64_t begin = offset;
        for (size_t i = 0; i < N_LAYER_PARTS; i++)
            TRY(llama_add(mf, &d, layer_parts[i], l, &offset, e));
        offset += 2 * (offset - begin); /* the Adam moments of the whole layer */
    }
    TRY(llama_add(mf, &d, PART_NORM, 0, &offset, e));
    offset += 8 * llama_count(&d, PART_NORM);
    TRY(llama_add(mf, &d, PART_EMBED, 0, &offset, e));
    TRY(make_json(mf, &h, &d, e));
out:
    return rc;
}

/* An integer of meta, 0 if absent. Beyond MAX_COUNTER the predecessors would reject the file. */
static int counter(const json_t *meta, const char *key, int32_t *value, struct err *e) {
    json_int_t v = json_integer_value(json_object_get(meta, key));
    if (v < 0 || v > MAX_COUNTER)
        return err_set(e, ERR_INPUT, "meta: \"%s\" is %lld, BLZT v4 holds 0 to %d", key,
                       (long long)v, MAX_COUNTER);
    *value = (int32_t)v;
    return 0;
}

/* The length of the training windows, which the predecessors' loader compares with its own. */
static int sequence(const json_t *config, const struct llama_dims *d, int32_t *seq, struct err *e) {
    const json_t *j = json_object_get(json_object_get(config, "duet"), "seq_len");
    json_int_t v = json_is_integer(j) ? json_integer_value(j) : (json_int_t)d->seq;
    if (v < 1 || v > (json_int_t)d->seq)
        return err_set(e, ERR_INPUT, "config: duet.seq_len is %lld, expected 1 to %llu",
                       (long long)v, (unsigned long long)d->seq);
    *seq = (int32_t)v;
    return 0;
}

static int header_from(struct header *h, const struct model_file *mf, const struct llama_dims *d,
                       const json_t *config, struct err *e) {
    *h = (struct header){
        .magic = MAGIC,
        .version = 4,
        .n_layers = (int32_t)d->layers,
        .vocab = (int32_t)d->vocab,
        .dim = (int32_t)d->dim,
        .hidden = (int32_t)d->hidden,
        .n_heads = (int32_t)d->heads,
        .n_kv_heads = (int32_t)d->kv_heads,
        .head_dim = (int32_t)d->head_dim,
        .q_dim = (int32_t)(d->heads * d->head_dim),
    };
    int rc;
    json_error_t je;
    json_t *meta = json_loads(mf->meta ? mf->meta : "{}", 0, &je);
    TRY(sequence(config, d, &h->seq_len, e));
    TRY(counter(meta, "step", &h->step, e));
    TRY(counter(meta, "total_steps", &h->total_steps, e));
    TRY(counter(meta, "cum_steps", &h->cum_steps, e));
    TRY(counter(meta, "cum_batches", &h->cum_batches, e));
    h->adam_t = 0; /* of moments that are zeros */
    h->lr = (float)json_number_value(json_object_get(meta, "lr"));
    h->loss = (float)json_number_value(json_object_get(meta, "loss"));
    h->compile_ms = json_number_value(json_object_get(meta, "compile_ms"));
    h->train_ms = json_number_value(json_object_get(meta, "train_ms"));
    h->wall_ms = json_number_value(json_object_get(meta, "wall_ms"));
out:
    json_decref(meta);
    return rc;
}

/* Two Adam moments of zeros for n weights, as the predecessors' MeZO writes them. */
static void write_moments(struct file_out *o, uint64_t n) {
    static const float zeros[4096];
    for (uint64_t left = 2 * n; left > 0;) {
        uint64_t k = left < 4096 ? left : 4096;
        file_out_write(o, zeros, (size_t)k * sizeof *zeros);
        left -= k;
    }
}

static int write_blzt4(const struct model_file *mf, const char *path, struct err *e) {
    struct llama_dims d;
    struct header h;
    struct file_out o = {0};
    json_t *config = NULL;
    int rc;
    TRY(llama_dims_from(&d, &config, mf, "BLZT v4", e));
    if (!d.tied) {
        rc = err_set(e, ERR_INPUT,
                     "%s: cannot be written as BLZT v4: it has no place for the %s of an untied "
                     "model",
                     path, part_of(d.parts, PART_HEAD)->hf);
        goto out;
    }
    TRY(header_from(&h, mf, &d, config, e));
    TRY(file_out_open(&o, path, e));
    file_out_write(&o, &h, sizeof h);
    for (uint64_t l = 0; l < d.layers; l++) {
        uint64_t n = 0;
        for (size_t i = 0; i < N_LAYER_PARTS; i++) {
            TRY(llama_write(&o, mf, &d, layer_parts[i], l, e));
            n += llama_count(&d, layer_parts[i]);
        }
        write_moments(&o, n);
    }
    TRY(llama_write(&o, mf, &d, PART_NORM, 0, e));
    write_moments(&o, llama_count(&d, PART_NORM));
    TRY(llama_write(&o, mf, &d, PART_EMBED, 0, e));
    write_moments(&o, llama_count(&d, PART_EMBED));
    TRY(model_file_commit(mf, &o, e));
out:
    file_out_discard(&o);
    json_decref(config);
    return rc;
}

const struct format format_blzt4 = {
    .name = "blzt4",
    .help = "BLZT v4, the checkpoint of AutoANE, and 2 and 3 for reading (f32; no Adam moments)",
    .suffix = ".blzt4",
    .types = MF_TYPE(DT_F32),
    .vector_types = MF_TYPE(DT_F32),
    .models = true,
    .probe = probe,
    .read = read_blzt4,
    .write = write_blzt4,
};
