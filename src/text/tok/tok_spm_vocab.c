/* The spm tokenizer to and from other forms: the vocabulary of a GGUF and llama2.c's tokenizer.bin.
 * tok_spm_json.c has Hugging Face's. */
#include "spm_model.h"
#include "tok.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int spm_to_vocab(const struct tokenizer *t, struct vocab *v, struct err *e) {
    const struct spm_model *m = tok_spm_model(t);
    v->model = VOCAB_SPM;
    v->n = (uint32_t)m->n;
    v->tokens = malloc(m->n * sizeof *v->tokens);
    v->types = malloc(m->n);
    v->scores = malloc(m->n * sizeof *v->scores);
    if (!v->tokens || !v->types || !v->scores)
        return err_set(e, ERR_NOMEM, "no memory for a vocabulary of %zu tokens", m->n);
    for (size_t i = 0; i < m->n; i++) {
        v->tokens[i] = (struct vocab_text){m->pieces[i].s, m->pieces[i].n};
        v->types[i] = m->pieces[i].type;
        v->scores[i] = m->pieces[i].score;
    }
    v->bos = t->bos;
    v->eos = t->eos;
    v->unk = m->unk;
    v->pad = m->pad;
    v->add_bos = t->bos >= 0;
    v->add_space_prefix = m->prefix;
    v->remove_extra_spaces = m->squeeze;
    return 0;
}

int spm_to_bin(const struct tokenizer *t, struct tok_bytes *out, struct err *e) {
    return spm_bin_write(tok_spm_model(t), out, e);
}

/* The unknown token: the one that the file names, or the first of that type; -1: none is. */
static int64_t find_unknown(const struct vocab *v) {
    if (v->unk >= 0 && v->unk < (int64_t)v->n && v->types[v->unk] == VOCAB_UNKNOWN) return v->unk;
    for (uint32_t i = 0; i < v->n; i++)
        if (v->types[i] == VOCAB_UNKNOWN) return i;
    return -1;
}

/* The start and the end of a text are control tokens, whatever else the file calls them; so are
 * further ones of the type unknown, which nothing becomes. */
static uint8_t type_of(const struct vocab *v, uint32_t id, int64_t unknown) {
    const bool ends = (v->add_bos && v->bos == id) || v->eos == id;
    const bool is_unknown = v->types[id] == VOCAB_UNKNOWN;
    return (ends && !is_unknown) || (is_unknown && id != unknown) ? VOCAB_CONTROL : v->types[id];
}

static int take_pieces(struct spm_model *m, const struct vocab *v, const char *name,
                       struct err *e) {
    if (v->n == 0) return err_set(e, ERR_INPUT, "%s: a vocabulary without tokens", name);
    const int64_t unknown = find_unknown(v);
    if (!(m->pieces = malloc(v->n * sizeof *m->pieces)))
        return err_set(e, ERR_NOMEM, "%s: no memory for %u tokens", name, v->n);
    for (uint32_t i = 0; i < v->n; i++) {
        const struct vocab_text x = v->tokens[i];
        if (x.n == 0 || x.n > SPM_MAX_PIECE)
            return err_set(e, ERR_INPUT, "%s: token %u has %u bytes, expected 1 to %d", name, i,
                           x.n, SPM_MAX_PIECE);
        if (v->types[i] < VOCAB_NORMAL || v->types[i] > VOCAB_BYTE)
            return err_set(e, ERR_INPUT, "%s: token %u has type %u, expected 1 to 6", name, i,
                           v->types[i]);
        if (!isfinite(v->scores[i]))
            return err_set(e, ERR_INPUT, "%s: the score of token %u is not a finite number", name,
                           i);
        m->pieces[m->n++] = (struct spm_piece){x.s, x.n, v->scores[i], type_of(v, i, unknown)};
        m->byte_fallback |= v->types[i] == VOCAB_BYTE;
    }
    return 0;
}

/* The vocabulary that tok_byte.c gives; the blank may be a byte like the others. */
static bool is_byte_kind(const struct vocab *v) {
    static const char end[] = "<|endoftext|>";
    if (v->n != 257 || v->types[256] != VOCAB_CONTROL || v->eos != 256 || v->add_space_prefix ||
        v->remove_extra_spaces || (v->add_bos && v->bos >= 0) || v->tokens[256].n != strlen(end) ||
        memcmp(v->tokens[256].s, end, strlen(end)) != 0)
        return false;
    for (uint32_t b = 0; b < 256; b++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", b);
        if (b == ' ' && v->types[b] == VOCAB_NORMAL) strcpy(text, SPM_BLANK);
        const bool same =
            v->tokens[b].n == strlen(text) && memcmp(v->tokens[b].s, text, strlen(text)) == 0;
        if (!same || (v->types[b] != VOCAB_BYTE && b != ' ')) return false;
    }
    return true;
}

static int check_ids(const struct vocab *v, const char *name, struct err *e) {
    const int64_t ids[] = {v->bos, v->eos, v->pad};
    static const char *const names[] = {"bos", "eos", "padding"};
    for (size_t i = 0; i < 3; i++)
        if (ids[i] < -1 || ids[i] >= (int64_t)v->n)
            return err_set(e, ERR_INPUT, "%s: the %s token is %lld, but there are %u tokens", name,
                           names[i], (long long)ids[i], v->n);
    if (v->add_eos)
        return err_set(e, ERR_INPUT,
                       "%s: an end token behind every text (add_eos_token) is not supported", name);
    return 0;
}

/* Tokens without those at the end that only fill the vocabulary up to the model's: [PAD7]. */
static uint32_t without_padding(const struct vocab *v) {
    uint32_t n = v->n;
    for (; n > 0 && v->types[n - 1] == VOCAB_UNUSED; n--) {
        char name[20];
        snprintf(name, sizeof name, "[PAD%u]", n - 1);
        if (v->tokens[n - 1].n != strlen(name) || memcmp(v->tokens[n - 1].s, name, strlen(name)))
            break;
    }
    return n;
}

/* Pieces and ids; texts point into v. */
static int take(struct spm_model *m, const struct vocab *v, const char *name, struct err *e) {
    int rc;
    m->prefix = v->add_space_prefix;
    m->squeeze = v->remove_extra_spaces;
    TRY(check_ids(v, name, e));
    m->bos = v->add_bos ? v->bos : -1;
    m->eos = v->eos;
    m->pad = v->pad;
    TRY(take_pieces(m, v, name, e));
out:
    return rc;
}

int spm_model_of_vocab(struct spm_model *m, const struct vocab *v, const char *name,
                       struct err *e) {
    struct vocab fewer = *v; /* the same texts */
    fewer.n = without_padding(v);
    const int rc = take(m, &fewer, name, e);
    return rc ? rc : spm_model_check(m, name, e);
}

int spm_is_bytes(const struct vocab *v, const char *name, bool *yes, struct err *e) {
    struct spm_model m = {0};
    struct vocab fewer = *v;
    *yes = false;
    if (v->model != VOCAB_SPM) return 0;
    fewer.n = without_padding(v);
    if (!(*yes = is_byte_kind(&fewer))) return 0;
    const int rc = take(&m, &fewer, name, e);
    spm_model_release(&m);
    return rc;
}

int spm_blob_from_vocab(const struct vocab *v, const char *name, void **blob, size_t *bytes,
                        struct err *e) {
    int rc;
    bool is_bytes;
    struct spm_model m = {0};
    struct tok_bytes out = {0};
    TRY(spm_is_bytes(v, name, &is_bytes, e));
    if (is_bytes) {
        TRY(spm_append(&out, "byte", 4, e));
    } else {
        TRY(spm_model_of_vocab(&m, v, name, e));
        TRY(spm_proto_write(&m, &out, e));
    }
    *blob = out.data;
    *bytes = out.n;
    out.data = NULL;
out:
    free(out.data);
    spm_model_release(&m);
    return rc;
}
