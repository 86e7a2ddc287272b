#include "tok_convert.h"

#include "file.h"
#include "tokenizer.h"

#include <stdlib.h>
#include <string.h>

#define LIMIT ((size_t)512 << 20) /* bytes of a file */

/* Reads the first of two names that the folder has. */
static int read_either(const char *dir, const char *a, const char *b, char **text, size_t *bytes,
                       struct err *e) {
    char *first = file_join(dir, a), *second = file_join(dir, b);
    int rc;
    if (!first || !second)
        rc = err_set(e, ERR_NOMEM, "no memory");
    else if (!file_exists(first) && !file_exists(second))
        rc = err_set(e, ERR_INPUT, "%s: a folder with neither %s nor %s", dir, a, b);
    else
        rc = file_read_text(file_exists(first) ? first : second, LIMIT, text, bytes, e);
    free(first);
    free(second);
    return rc;
}

static int open_merges(struct tokenizer **t, const char *dir, const char *pre, struct err *e) {
    char *vocab = NULL, *merges = NULL;
    size_t vocab_n, merges_n, n;
    void *blob = NULL;
    int rc;
    TRY(read_either(dir, "vocab.json", "encoder.json", &vocab, &vocab_n, e));
    TRY(read_either(dir, "merges.txt", "vocab.bpe", &merges, &merges_n, e));
    TRY(tokenizer_blob_from_merges(vocab, vocab_n, merges, merges_n, pre, dir, &blob, &n, e));
    TRY(tokenizer_open_blob(t, blob, n, dir, e));
out:
    free(vocab);
    free(merges);
    free(blob);
    return rc;
}

/* A tokenizer.model of the kind spm, by way of the vocabulary. */
static int to_model(const struct tokenizer *t, struct tok_bytes *out, struct err *e) {
    struct vocab v = {0};
    void *blob;
    int rc;
    if (strcmp(tokenizer_kind(t), "spm") != 0)
        return err_set(e, ERR_INPUT,
                       "a tokenizer.model holds a tokenizer of the kind spm, this one is %s",
                       tokenizer_kind(t));
    TRY(tokenizer_to_vocab(t, &v, e));
    TRY(tokenizer_blob_from_vocab(&v, "the tokenizer", &blob, &out->n, e));
    out->data = blob;
out:
    vocab_release(&v);
    return rc;
}

/* llama2.c's form and Hugging Face's keep every blank of a text. */
static int note_blanks(const struct tokenizer *t, const char *out, struct log_progress *notes,
                       struct err *e) {
    struct vocab v = {0};
    int rc;
    if (strcmp(tokenizer_kind(t), "spm") != 0) return 0;
    TRY(tokenizer_to_vocab(t, &v, e));
    if (v.remove_extra_spaces)
        log_note(notes,
                 "%s keeps all blanks of a text; the original removes those at its ends and "
                 "repeated ones",
                 out);
out:
    vocab_release(&v);
    return rc;
}

static bool ends_with(const char *s, const char *end) {
    const size_t n = strlen(s), k = strlen(end);
    return n > k && strcmp(s + n - k, end) == 0;
}

int tok_convert(const char *in, const char *out, const char *pre, struct log_progress *notes,
                struct err *e) {
    struct tokenizer *t = NULL;
    struct tok_bytes bytes = {0};
    struct file_out file = {0};
    const bool json = ends_with(out, ".json"), bin = ends_with(out, ".bin");
    int rc;
    if (!json && !bin && !ends_with(out, ".model"))
        return err_set(e, ERR_USAGE,
                       "--out %s does not say the form: it ends with .json (Hugging Face), .bin "
                       "(llama2.c) or .model (SentencePiece)",
                       out);
    if (pre && !file_is_dir(in))
        return err_set(e, ERR_USAGE,
                       "--pre is for a folder with vocab.json and merges.txt, which %s is not", in);
    TRY(pre ? open_merges(&t, in, pre, e) : tokenizer_open(&t, in, e));
    rc = (json ? tokenizer_to_json : bin ? tokenizer_to_bin : to_model)(t, &bytes, e);
    if (rc) {
        err_prefix(e, "%s", in);
        goto out;
    }
    TRY(file_out_open(&file, out, e));
    file_out_write(&file, bytes.data, bytes.n);
    TRY(file_out_commit(&file, e));
    if (notes && !ends_with(out, ".model")) TRY(note_blanks(t, out, notes, e));
out:
    file_out_discard(&file);
    tokenizer_close(t);
    free(bytes.data);
    return rc;
}
