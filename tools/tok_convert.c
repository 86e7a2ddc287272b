#include "tok_convert.h"

#include "file.h"
#include "import.h"
#include "tokenizer.h"

#include <stdlib.h>
#include <string.h>

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

int tok_convert(const char *in, const char *out, const char *pre, struct log_progress *notes,
                struct err *e) {
    struct tokenizer *t = NULL;
    struct tok_bytes bytes = {0};
    struct file_out file = {0};
    const bool json = file_ends_with(out, ".json"), bin = file_ends_with(out, ".bin");
    int rc;
    if (!json && !bin && !file_ends_with(out, ".model"))
        return err_set(e, ERR_USAGE,
                       "--out %s does not say the form: it ends with .json (Hugging Face), .bin "
                       "(llama2.c) or .model (SentencePiece)",
                       out);
    if (pre && !file_is_dir(in))
        return err_set(e, ERR_USAGE,
                       "--pre is for a folder with vocab.json and merges.txt, which %s is not", in);
    TRY(pre ? tokenizer_open_merges(&t, in, pre, e) : model_open_tokenizer(&t, in, e));
    rc = (json ? tokenizer_to_json : bin ? tokenizer_to_bin : to_model)(t, &bytes, e);
    if (rc) {
        err_prefix(e, "%s", in);
        goto out;
    }
    TRY(file_out_open(&file, out, e));
    file_out_write(&file, bytes.data, bytes.n);
    TRY(file_out_commit(&file, e));
    if (notes && tokenizer_note(t)) log_note(notes, "note: %s", tokenizer_note(t));
    if (notes && !file_ends_with(out, ".model")) TRY(note_blanks(t, out, notes, e));
out:
    file_out_discard(&file);
    tokenizer_close(t);
    free(bytes.data);
    return rc;
}
