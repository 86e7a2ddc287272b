/* llama2.c's model .bin and tokenizer.bin, and the SentencePiece-BPE of its tokenizer, read
 * independently of src/ for golden values.
 *
 * Source: github.com/karpathy/llama2.c (export.py version 0, run.c). The file is little-endian and
 * so must this machine be. Functions that return bool print one line to stderr when they fail. */
#ifndef REF_LLAMA2C_H
#define REF_LLAMA2C_H

#include "ref_llama.h"

/* Header: 7 i32 (dim, hidden, layers, heads, kv_heads, vocab or -vocab if untied, seq_len); then
 * f32: embed, all input_layernorm, all q, k, v, o, all post_attention_layernorm, all gate, down,
 * up, norm, two tables of seq_len * head_dim / 2 that are not used, lm_head if untied. Rows of q
 * and k come as interleaved pairs; the model gets split halves. rope_theta 1e4, eps 1e-5. */
bool ref_llama2c_model(struct ref_model *m, int *seq_len, const char *path);

struct ref_spm {
    int vocab;
    char **piece; /* NUL-terminated; blanks are ' ' */
    float *score;
    int *order; /* ids by piece, of the ids that text can become (byte and control ids left out) */
    int n_order;
};

enum { REF_SPM_UNK = 0, REF_SPM_BOS = 1, REF_SPM_BYTE = 3, REF_SPM_TEXT = 259 };

/* i32 longest piece, then {f32 score, i32 length, bytes} for every id. */
bool ref_spm_open(struct ref_spm *s, const char *path, int vocab);
void ref_spm_close(struct ref_spm *s);

/* Ids of n bytes of text, no BOS: a blank in front (unless n is 0), split into UTF-8 characters,
 * the adjacent pair whose union has the highest score is joined until none is left (ties:
 * leftmost), characters without an id become byte ids. ids must hold n + 1; returns how many there
 * are. */
int ref_spm_encode(const struct ref_spm *s, const char *text, int n, int32_t *ids);

/* Text of ids as llama2.c prints it: BOS prints nothing and swallows one blank after it. Returns a
 * NUL-terminated string to free. */
char *ref_spm_decode(const struct ref_spm *s, const int32_t *ids, int n);

#endif
