/* SentencePiece models: protobuf's wire format, and what every model must fulfil. */
#include "spm_model.h"

#include "map.h"
#include "unicode.h"
#include "vocab.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading the wire format ---------------------------------------------------------------- */

enum wire_type { WIRE_VARINT, WIRE_64, WIRE_BYTES, WIRE_START, WIRE_END, WIRE_32 };

/* A message that is being read. */
struct wire {
    const uint8_t *file, *at, *end;
    const char *name, *where; /* of the file; of the message */
    struct err *e;
};

struct field {
    uint32_t number;
    enum wire_type type;
    uint64_t value;   /* WIRE_VARINT, WIRE_64, WIRE_32 */
    const uint8_t *s; /* WIRE_BYTES */
    size_t n, offset; /* its bytes; where the field starts in the file */
};

static size_t offset(const struct wire *w) {
    return (size_t)(w->at - w->file);
}

static int read_varint(struct wire *w, const char *what, uint64_t *v) {
    const size_t start = offset(w);
    *v = 0;
    for (int i = 0; i < 10; i++) {
        if (w->at == w->end)
            return err_set(w->e, ERR_INPUT, "%s: %s: %s at offset %zu is cut off", w->name,
                           w->where, what, start);
        const uint8_t b = *w->at++;
        if (i == 9 && b > 1) break;
        *v |= (uint64_t)(b & 0x7f) << 7 * i;
        if (b < 0x80) return 0;
    }
    return err_set(w->e, ERR_INPUT, "%s: %s: %s at offset %zu is more than 64 bits", w->name,
                   w->where, what, start);
}

static int read_fixed(struct wire *w, struct field *f, size_t n) {
    if ((size_t)(w->end - w->at) < n)
        return err_set(w->e, ERR_INPUT, "%s: %s: field %u at offset %zu: %zu bytes left, needs %zu",
                       w->name, w->where, f->number, f->offset, (size_t)(w->end - w->at), n);
    f->value = 0;
    for (size_t i = 0; i < n; i++) f->value |= (uint64_t)w->at[i] << 8 * i;
    w->at += n;
    return 0;
}

static int read_field(struct wire *w, struct field *f) {
    int rc;
    uint64_t tag, n;
    *f = (struct field){.offset = offset(w)};
    TRY(read_varint(w, "a tag", &tag));
    f->number = (uint32_t)(tag >> 3);
    f->type = (enum wire_type)(tag & 7);
    if (tag > UINT32_MAX || f->number == 0)
        return err_set(w->e, ERR_INPUT, "%s: %s: no field has the tag at offset %zu", w->name,
                       w->where, f->offset);
    switch (f->type) {
    case WIRE_VARINT: return read_varint(w, "a number", &f->value);
    case WIRE_64: return read_fixed(w, f, 8);
    case WIRE_32: return read_fixed(w, f, 4);
    case WIRE_BYTES:
        TRY(read_varint(w, "a length", &n));
        if (n > (uint64_t)(w->end - w->at))
            return err_set(w->e, ERR_INPUT,
                           "%s: %s: field %u at offset %zu has %llu bytes, but %zu are left",
                           w->name, w->where, f->number, f->offset, (unsigned long long)n,
                           (size_t)(w->end - w->at));
        f->s = w->at;
        f->n = (size_t)n;
        w->at += n;
        return 0;
    default:
        return err_set(w->e, ERR_INPUT, "%s: %s: field %u at offset %zu has wire type %d: damaged?",
                       w->name, w->where, f->number, f->offset, (int)f->type);
    }
out:
    return rc;
}

/* A field that this code knows, and where its value goes: the last one counts, as in protobuf. */
struct known {
    uint32_t number;
    enum wire_type type;
    const char *name;
};

struct value {
    struct field f;
    bool given;
};

/* Reads the message in `outer`, a field of w. Fields that are not known say nothing that matters
 * here. */
static int read_message(const struct wire *w, const char *where, const struct field *outer,
                        const struct known *known, size_t n, struct value *values) {
    struct wire in = *w;
    in.at = outer->s;
    in.end = outer->s + outer->n;
    in.where = where;
    while (in.at < in.end) {
        struct field f;
        int rc = read_field(&in, &f);
        if (rc) return rc;
        for (size_t i = 0; i < n; i++) {
            if (known[i].number != f.number) continue;
            if (known[i].type != f.type)
                return err_set(w->e, ERR_INPUT,
                               "%s: %s.%s at offset %zu has wire type %d, expected %d", w->name,
                               where, known[i].name, f.offset, (int)f.type, (int)known[i].type);
            values[i] = (struct value){f, true};
        }
    }
    return 0;
}

static bool flag(const struct value *v, bool def) {
    return v->given ? v->f.value != 0 : def;
}

static int read_piece(struct spm_model *m, const struct wire *w, const struct field *outer) {
    static const struct known known[] = {
        {1, WIRE_BYTES, "piece"}, {2, WIRE_32, "score"}, {3, WIRE_VARINT, "type"}};
    struct value v[3] = {0};
    char where[32];
    snprintf(where, sizeof where, "pieces[%zu]", m->n);
    int rc = read_message(w, where, outer, known, 3, v);
    if (rc) return rc;
    const uint64_t type = v[2].given ? v[2].f.value : VOCAB_NORMAL;
    if (v[0].f.n == 0 || v[0].f.n > SPM_MAX_PIECE)
        return err_set(w->e, ERR_INPUT,
                       "%s: %s at offset %zu has a text of %zu bytes, expected 1 "
                       "to %d",
                       w->name, where, outer->offset, v[0].f.n, SPM_MAX_PIECE);
    if (type < VOCAB_NORMAL || type > VOCAB_BYTE)
        return err_set(w->e, ERR_INPUT, "%s: %s at offset %zu has type %llu, expected 1 to 6",
                       w->name, where, outer->offset, (unsigned long long)type);
    struct spm_piece p = {(const char *)v[0].f.s, (uint32_t)v[0].f.n, 0, (uint8_t)type};
    const uint32_t bits = (uint32_t)v[1].f.value;
    memcpy(&p.score, &bits, sizeof bits);
    if (!isfinite(p.score))
        return err_set(w->e, ERR_INPUT, "%s: %s.score at offset %zu is not a finite number",
                       w->name, where, outer->offset);
    if (grow(&m->pieces, &m->cap, m->n + 1, sizeof *m->pieces))
        return err_set(w->e, ERR_NOMEM, "%s: no memory for %zu pieces", w->name, m->n);
    m->pieces[m->n++] = p;
    return 0;
}

static int refuse(const struct wire *w, const char *where, const struct value *v, const char *why) {
    return err_set(w->e, ERR_INPUT, "%s: %s at offset %zu: %s", w->name, where, v->f.offset, why);
}

enum { MODEL_TYPE, SUFFIX, FALLBACK, BOS, EOS, PAD, N_TRAINER };
static const struct known trainer[N_TRAINER] = {
    {3, WIRE_VARINT, "model_type"},     {24, WIRE_VARINT, "treat_whitespace_as_suffix"},
    {35, WIRE_VARINT, "byte_fallback"}, {41, WIRE_VARINT, "bos_id"},
    {42, WIRE_VARINT, "eos_id"},        {43, WIRE_VARINT, "pad_id"},
};

/* An id of the trainer: -1 for none; where the file is silent, def if that is a control piece. */
static int take_id(const struct spm_model *m, const struct wire *w, const struct value *v,
                   const char *key, int64_t def, int64_t *id) {
    if (!v->given) {
        const bool there = def >= 0 && def < (int64_t)m->n && m->pieces[def].type == VOCAB_CONTROL;
        *id = there ? def : -1;
        return 0;
    }
    *id = (int32_t)(uint32_t)v->f.value;
    if (*id < -1 || *id >= (int64_t)m->n)
        return err_set(w->e, ERR_INPUT,
                       "%s: trainer_spec.%s at offset %zu is %lld; expected -1 or the number of "
                       "one of the %zu pieces",
                       w->name, key, v->f.offset, (long long)*id, m->n);
    return 0;
}

static int take_trainer(struct spm_model *m, const struct wire *w, const struct value *v) {
    static const char *const types[] = {NULL, "unigram", "BPE", "word", "char"};
    int rc;
    const uint64_t type = v[MODEL_TYPE].given ? v[MODEL_TYPE].f.value : 1;
    if (type != 2)
        return err_set(
            w->e, ERR_INPUT, "%s: trainer_spec.model_type is %llu (%s): only BPE (2) is supported",
            w->name, (unsigned long long)type, type >= 1 && type <= 4 ? types[type] : "not known");
    if (flag(&v[SUFFIX], false))
        return refuse(w, "trainer_spec.treat_whitespace_as_suffix", &v[SUFFIX],
                      "true is not supported");
    m->byte_fallback = flag(&v[FALLBACK], false);
    TRY(take_id(m, w, &v[BOS], "bos_id", 1, &m->bos));
    TRY(take_id(m, w, &v[EOS], "eos_id", 2, &m->eos));
    TRY(take_id(m, w, &v[PAD], "pad_id", -1, &m->pad));
out:
    return rc;
}

enum { NAME, CHARSMAP, PREFIX, SQUEEZE, ESCAPE, N_NORMALIZER };
static const struct known normalizer[N_NORMALIZER] = {
    {1, WIRE_BYTES, "name"},
    {2, WIRE_BYTES, "precompiled_charsmap"},
    {3, WIRE_VARINT, "add_dummy_prefix"},
    {4, WIRE_VARINT, "remove_extra_whitespaces"},
    {5, WIRE_VARINT, "escape_whitespaces"},
};

static int take_normalizer(struct spm_model *m, const struct wire *w, const struct value *v) {
    if (v[CHARSMAP].f.n)
        return err_set(w->e, ERR_INPUT,
                       "%s: normalizer_spec.precompiled_charsmap at offset %zu: normalisation "
                       "\"%.*s\" with a table of %zu bytes is not supported; only \"identity\" is",
                       w->name, v[CHARSMAP].f.offset, (int)(v[NAME].f.n < 60 ? v[NAME].f.n : 60),
                       v[NAME].f.n ? (const char *)v[NAME].f.s : "", v[CHARSMAP].f.n);
    if (!flag(&v[ESCAPE], true))
        return refuse(w, "normalizer_spec.escape_whitespaces", &v[ESCAPE],
                      "false is not supported");
    m->prefix = flag(&v[PREFIX], true);
    m->squeeze = flag(&v[SQUEEZE], true);
    return 0;
}

int spm_proto_read(struct spm_model *m, const void *data, size_t bytes, const char *name,
                   struct err *e) {
    int rc;
    struct wire w = {data, data, (const uint8_t *)data + bytes, name, "ModelProto", e};
    struct value spec[N_TRAINER] = {0}, norm[N_NORMALIZER] = {0}, denorm[N_NORMALIZER] = {0};
    unsigned specs = 0;
    while (w.at < w.end) {
        struct field f;
        TRY(read_field(&w, &f));
        const bool message = f.number == 1 || f.number == 2 || f.number == 3 || f.number == 5;
        if (message && f.type != WIRE_BYTES)
            return err_set(e, ERR_INPUT,
                           "%s: ModelProto: field %u at offset %zu has wire type %d, expected 2",
                           name, f.number, f.offset, (int)f.type);
        if (f.number == 1) TRY(read_piece(m, &w, &f));
        if (f.number == 2) TRY(read_message(&w, "trainer_spec", &f, trainer, N_TRAINER, spec));
        if (f.number == 3)
            TRY(read_message(&w, "normalizer_spec", &f, normalizer, N_NORMALIZER, norm));
        specs |= f.number == 2 ? 1u : f.number == 3 ? 2u : 0u;
        if (f.number == 5)
            TRY(read_message(&w, "denormalizer_spec", &f, normalizer, N_NORMALIZER, denorm));
    }
    if (m->n == 0 || specs != 3)
        return err_set(e, ERR_INPUT, "%s: ModelProto has no %s: cut off?", name,
                       m->n == 0      ? "pieces"
                       : !(specs & 1) ? "trainer_spec"
                                      : "normalizer_spec");
    if (denorm[CHARSMAP].f.n)
        return refuse(&w, "denormalizer_spec.precompiled_charsmap", &denorm[CHARSMAP],
                      "not supported");
    TRY(take_trainer(m, &w, spec));
    TRY(take_normalizer(m, &w, norm));
    TRY(spm_model_check(m, name, e));
out:
    return rc;
}

bool spm_proto_probe(const uint8_t *data, size_t bytes) {
    /* field 1, a length of one or two bytes, and in it field 1 again */
    return bytes > 3 && data[0] == 0x0a && data[data[1] < 0x80 ? 2 : 3] == 0x0a;
}

/* ---- checks --------------------------------------------------------------------------------- */

static bool is_utf8(const char *s, size_t n) {
    uint32_t cp;
    size_t len;
    for (size_t i = 0; i < n; i += len)
        if ((len = utf8_read(s + i, n - i, &cp)) == 0) return false;
    return true;
}

/* The byte of "<0x0A>", or -1. */
static int byte_of(const struct spm_piece *p) {
    static const char digits[] = "0123456789ABCDEF";
    if (p->n != 6 || memcmp(p->s, "<0x", 3) || p->s[5] != '>' || !p->s[3] || !p->s[4]) return -1;
    const char *high = strchr(digits, p->s[3]), *low = strchr(digits, p->s[4]);
    return high && low ? (int)((high - digits) * 16 + (low - digits)) : -1;
}

static int check_piece(struct spm_model *m, size_t id, size_t *bytes, const char *name,
                       struct err *e) {
    const struct spm_piece *p = &m->pieces[id];
    const int shown = (int)(p->n < 60 ? p->n : 60);
    if (!is_utf8(p->s, p->n)) return err_set(e, ERR_INPUT, "%s: piece %zu is not UTF-8", name, id);
    if (p->type == VOCAB_UNKNOWN) {
        if (m->unk >= 0)
            return err_set(e, ERR_INPUT,
                           "%s: pieces %lld and %zu are both of the type UNKNOWN; expected one",
                           name, (long long)m->unk, id);
        m->unk = (int64_t)id;
    }
    if (p->type == VOCAB_BYTE) {
        const int b = byte_of(p);
        if (b < 0)
            return err_set(e, ERR_INPUT,
                           "%s: piece %zu is of the type BYTE, but \"%.*s\" is not like \"<0x0A>\"",
                           name, id, shown, p->s);
        m->byte_id[b] = (uint32_t)id;
        ++*bytes;
    }
    return 0;
}

int spm_model_check(struct spm_model *m, const char *name, struct err *e) {
    int rc = 0;
    size_t bytes = 0;
    struct strmap seen = {0};
    m->unk = -1;
    for (size_t id = 0; id < m->n; id++) {
        const struct spm_piece *p = &m->pieces[id];
        TRY(check_piece(m, id, &bytes, name, e));
        const uint32_t first = strmap_add(&seen, p->s, p->n);
        if (first == MAP_NONE) {
            rc = err_set(e, ERR_NOMEM, "%s: no memory for %zu pieces", name, m->n);
            goto out;
        }
        if (first == id) continue;
        rc = err_set(e, ERR_INPUT, "%s: pieces %u and %zu have the same text \"%.*s\"", name, first,
                     id, (int)(p->n < 60 ? p->n : 60), p->s);
        goto out;
    }
    if (bytes != (m->byte_fallback ? 256u : 0u))
        rc = err_set(e, ERR_INPUT,
                     "%s: %zu pieces are of the type BYTE, expected %d (byte_fallback is %s)", name,
                     bytes, m->byte_fallback ? 256 : 0, m->byte_fallback ? "true" : "false");
    else if (!m->byte_fallback && m->unk < 0)
        rc = err_set(e, ERR_INPUT, "%s: there is no piece of the type UNKNOWN, and none for bytes",
                     name);
out:
    strmap_release(&seen);
    return rc;
}

void spm_model_release(struct spm_model *m) {
    free(m->pieces);
    free(m->text);
    *m = (struct spm_model){0};
}

/* ---- writing -------------------------------------------------------------------------------- */

int spm_append(struct tok_bytes *out, const void *s, size_t n, struct err *e) {
    if (n > SIZE_MAX - out->n || grow(&out->data, &out->cap, out->n + n, 1))
        return err_set(e, ERR_NOMEM, "no memory for %zu more bytes of a tokenizer", n);
    if (n) memcpy(out->data + out->n, s, n);
    out->n += n;
    return 0;
}

static int put_varint(struct tok_bytes *out, uint64_t v, struct err *e) {
    uint8_t b[10];
    size_t n = 0;
    for (; v >= 0x80; v >>= 7) b[n++] = (uint8_t)(v | 0x80);
    b[n++] = (uint8_t)v;
    return spm_append(out, b, n, e);
}

static int put_number(struct tok_bytes *out, uint32_t number, int64_t v, struct err *e) {
    int rc = put_varint(out, number << 3 | WIRE_VARINT, e);
    return rc ? rc : put_varint(out, (uint64_t)v, e);
}

static int put_bytes(struct tok_bytes *out, uint32_t number, const void *s, size_t n,
                     struct err *e) {
    int rc = put_varint(out, number << 3 | WIRE_BYTES, e);
    if (rc == 0) rc = put_varint(out, n, e);
    return rc ? rc : spm_append(out, s, n, e);
}

static int put_piece(struct tok_bytes *out, struct tok_bytes *part, const struct spm_piece *p,
                     struct err *e) {
    int rc;
    uint32_t bits;
    memcpy(&bits, &p->score, sizeof bits);
    const uint8_t score[5] = {2 << 3 | WIRE_32, (uint8_t)bits, (uint8_t)(bits >> 8),
                              (uint8_t)(bits >> 16), (uint8_t)(bits >> 24)};
    part->n = 0;
    TRY(put_bytes(part, 1, p->s, p->n, e));
    TRY(spm_append(part, score, sizeof score, e));
    if (p->type != VOCAB_NORMAL) TRY(put_number(part, 3, p->type, e));
    TRY(put_bytes(out, 1, part->data, part->n, e));
out:
    return rc;
}

static int put_trainer(struct tok_bytes *part, const struct spm_model *m, struct err *e) {
    int rc;
    const int64_t ids[] = {m->unk, m->bos, m->eos, m->pad};
    TRY(put_number(part, 3, 2, e));
    TRY(put_number(part, 4, (int64_t)m->n, e));
    TRY(put_number(part, 35, m->byte_fallback, e));
    for (uint32_t i = 0; i < 4; i++) TRY(put_number(part, 40 + i, ids[i], e));
    for (uint32_t i = 0; i < 4; i++) /* SentencePiece itself finds them by their texts */
        if (ids[i] >= 0) TRY(put_bytes(part, 45 + i, m->pieces[ids[i]].s, m->pieces[ids[i]].n, e));
out:
    return rc;
}

int spm_proto_write(const struct spm_model *m, struct tok_bytes *out, struct err *e) {
    int rc = 0;
    struct tok_bytes part = {0};
    for (size_t i = 0; i < m->n; i++) TRY(put_piece(out, &part, &m->pieces[i], e));
    part.n = 0;
    TRY(put_trainer(&part, m, e));
    TRY(put_bytes(out, 2, part.data, part.n, e));
    part.n = 0;
    TRY(put_bytes(&part, 1, "identity", 8, e));
    TRY(put_number(&part, 3, m->prefix, e));
    TRY(put_number(&part, 4, m->squeeze, e));
    TRY(put_number(&part, 5, 1, e));
    TRY(put_bytes(out, 3, part.data, part.n, e));
out:
    free(part.data);
    return rc;
}
