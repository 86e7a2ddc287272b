/* llama2.c's tokenizer.bin to and from a SentencePiece model. */
#include "map.h"
#include "spm_model.h"
#include "vocab.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BYTE 3
#define FIRST_TEXT (FIRST_BYTE + 256)
#define MAX_TOKEN (SPM_MAX_PIECE / 3) /* bytes; each may be a blank, which has 3 in a model */

/* The control pieces, and how the file writes them. */
static const char *const control[FIRST_BYTE] = {"<unk>", "<s>", "</s>"};
static const char *const in_file[FIRST_BYTE] = {"<unk>", "\n<s>\n", "\n</s>\n"};

static uint32_t read_u32(const uint8_t *u) {
    return u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 24;
}

bool spm_bin_probe(const uint8_t *data, size_t bytes) {
    return bytes >= 4 && read_u32(data) >= 1 && read_u32(data) <= MAX_TOKEN;
}

/* Reads the entries with the texts of the file, checking each. */
static int read_entries(struct spm_model *m, const uint8_t *data, size_t size, const char *name,
                        struct err *e) {
    size_t at = 4;
    uint32_t max = read_u32(data), longest = 0;
    while (at < size) {
        if (size - at < 8)
            return err_set(e, ERR_INPUT,
                           "%s: token %zu at offset %zu: %zu bytes left, expected "
                           "a score and a length",
                           name, m->n, at, size - at);
        uint32_t bits = read_u32(data + at), len = read_u32(data + at + 4);
        struct spm_piece p = {(const char *)data + at + 8, len, 0, VOCAB_NORMAL};
        memcpy(&p.score, &bits, sizeof bits);
        if (len == 0 || len > max || len > size - at - 8)
            return err_set(
                e, ERR_INPUT,
                "%s: token %zu at offset %zu has length %d; expected 1 to %u and at most "
                "the %zu bytes left",
                name, m->n, at, (int)len, max, size - at - 8);
        if (!isfinite(p.score))
            return err_set(e, ERR_INPUT, "%s: token %zu at offset %zu: the score is not a number",
                           name, m->n, at);
        if (grow(&m->pieces, &m->cap, m->n + 1, sizeof *m->pieces))
            return err_set(e, ERR_NOMEM, "%s: no memory for %zu tokens", name, m->n);
        m->pieces[m->n++] = p;
        if (len > longest) longest = len;
        at += 8 + len;
    }
    if (longest != max)
        return err_set(e, ERR_INPUT,
                       "%s: the longest token has %u bytes, but max_token_length at "
                       "offset 0 is %u: truncated?",
                       name, longest, max);
    return 0;
}

static int set_types(struct spm_model *m, const char *name, struct err *e) {
    if (m->n < FIRST_TEXT)
        return err_set(e, ERR_INPUT,
                       "%s: %zu tokens; expected at least %d: 3 special tokens and "
                       "256 bytes",
                       name, m->n, FIRST_TEXT);
    for (uint32_t b = 0; b < 256; b++) {
        char want[8];
        struct spm_piece *p = &m->pieces[FIRST_BYTE + b];
        snprintf(want, sizeof want, "<0x%02X>", b);
        if (p->n != 6 || memcmp(p->s, want, 6))
            return err_set(e, ERR_INPUT,
                           "%s: token %u is \"%.*s\", expected \"%s\" (byte fallback)", name,
                           FIRST_BYTE + b, (int)(p->n < 60 ? p->n : 60), p->s, want);
        p->type = VOCAB_BYTE;
    }
    for (int i = 0; i < FIRST_BYTE; i++) {
        m->pieces[i].s = control[i];
        m->pieces[i].n = (uint32_t)strlen(control[i]);
        m->pieces[i].type = i ? VOCAB_CONTROL : VOCAB_UNKNOWN;
    }
    return 0;
}

/* Writes the blanks of the texts as U+2581, into memory of the model. */
static int escape_blanks(struct spm_model *m, const char *name, struct err *e) {
    size_t total = 0;
    for (size_t i = FIRST_TEXT; i < m->n; i++) {
        if (memmem(m->pieces[i].s, m->pieces[i].n, SPM_BLANK, strlen(SPM_BLANK)))
            return err_set(e, ERR_INPUT, "%s: token %zu holds U+2581, where this file has a blank",
                           name, i);
        for (uint32_t k = 0; k < m->pieces[i].n; k++)
            total += m->pieces[i].s[k] == ' ' ? strlen(SPM_BLANK) : 1;
    }
    if (!(m->text = malloc(total + 1)))
        return err_set(e, ERR_NOMEM, "%s: no memory for %zu tokens", name, m->n);
    char *to = m->text;
    for (size_t i = FIRST_TEXT; i < m->n; i++) {
        struct spm_piece *p = &m->pieces[i];
        char *start = to;
        for (uint32_t k = 0; k < p->n; k++) {
            const bool blank = p->s[k] == ' ';
            memcpy(to, blank ? SPM_BLANK : p->s + k, blank ? strlen(SPM_BLANK) : 1);
            to += blank ? strlen(SPM_BLANK) : 1;
        }
        p->s = start;
        p->n = (uint32_t)(to - start);
    }
    return 0;
}

int spm_bin_read(struct spm_model *m, const void *data, size_t bytes, const char *name,
                 struct err *e) {
    int rc;
    TRY(read_entries(m, data, bytes, name, e));
    TRY(set_types(m, name, e));
    TRY(escape_blanks(m, name, e));
    m->byte_fallback = m->prefix = true;
    m->bos = 1;
    m->eos = 2;
    m->pad = -1;
    TRY(spm_model_check(m, name, e));
out:
    return rc;
}

/* The first piece that is not what the form has at its place gives the message. */
static int check_layout(const struct spm_model *m, struct err *e) {
    static const char form[] = "llama2.c's tokenizer.bin cannot hold this tokenizer";
    if (m->n < FIRST_TEXT)
        return err_set(e, ERR_INPUT, "%s: it has %zu pieces, not at least %d", form, m->n,
                       FIRST_TEXT);
    if (!m->prefix || m->bos != 1 || m->eos != 2)
        return err_set(e, ERR_INPUT,
                       "%s: %s; the file means bos 1, eos 2 and a blank in front of a text", form,
                       !m->prefix    ? "it puts no blank in front of a text"
                       : m->bos != 1 ? "bos is not id 1"
                                     : "eos is not id 2");
    for (uint32_t i = 0; i < m->n; i++) {
        const struct spm_piece *p = &m->pieces[i];
        const int type = i == 0           ? VOCAB_UNKNOWN
                         : i < FIRST_BYTE ? VOCAB_CONTROL
                         : i < FIRST_TEXT ? VOCAB_BYTE
                                          : VOCAB_NORMAL;
        const bool placed = type != VOCAB_BYTE || m->byte_id[i - FIRST_BYTE] == i;
        const bool named =
            i >= FIRST_BYTE || (p->n == strlen(control[i]) && memcmp(p->s, control[i], p->n) == 0);
        if (p->type != type || !placed || !named || memchr(p->s, ' ', p->n))
            return err_set(e, ERR_INPUT,
                           "%s: piece %u is \"%.*s\" of type %d; the file has <unk>, <s>, </s>, "
                           "the bytes and then ordinary pieces",
                           form, i, (int)(p->n < 60 ? p->n : 60), p->s, p->type);
    }
    return 0;
}

/* The text of a piece as the file has it, at most as long as its own but for the control pieces. */
static size_t file_text(const struct spm_model *m, size_t id, char out[SPM_MAX_PIECE]) {
    const struct spm_piece *p = &m->pieces[id];
    size_t n = 0;
    if (id < FIRST_BYTE) {
        n = strlen(in_file[id]);
        memcpy(out, in_file[id], n);
        return n;
    }
    for (uint32_t i = 0; i < p->n; i++)
        if (p->n - i >= 3 && memcmp(p->s + i, SPM_BLANK, 3) == 0) {
            out[n++] = ' ';
            i += 2;
        } else {
            out[n++] = p->s[i];
        }
    return n;
}

static void write_u32(uint32_t v, uint8_t out[4]) {
    for (int i = 0; i < 4; i++) out[i] = (uint8_t)(v >> 8 * i);
}

int spm_bin_write(const struct spm_model *m, struct tok_bytes *out, struct err *e) {
    int rc;
    char text[SPM_MAX_PIECE];
    uint8_t head[8] = {0};
    size_t longest = 0;
    const size_t start = out->n;
    TRY(check_layout(m, e));
    TRY(spm_append(out, head, 4, e));
    for (size_t i = 0; i < m->n; i++) {
        uint32_t bits;
        const size_t n = file_text(m, i, text);
        memcpy(&bits, &m->pieces[i].score, sizeof bits);
        write_u32(bits, head);
        write_u32((uint32_t)n, head + 4);
        TRY(spm_append(out, head, sizeof head, e));
        TRY(spm_append(out, text, n, e));
        if (n > longest) longest = n;
    }
    write_u32((uint32_t)longest, head);
    memcpy(out->data + start, head, 4);
out:
    return rc;
}
