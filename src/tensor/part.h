/* Parts: what the tensors of an architecture are. One table an architecture, in its file
 * (model/arch_*.c), is read by everything that knows tensors by name or kind: building and
 * counting, initialisation, LoRA, audit's groups, every model file. No other file names a tensor
 * (tests/cli/names.sh).
 *
 * It stands here because model has the tables and format is handed them: format may not include
 * model. */
#ifndef DUET_PART_H
#define DUET_PART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a parameter is, for learning-rate factors, decay and the choice of an optimizer. */
#define ROLES(X) X(embed) X(matrix) X(norm) X(bias) X(lora)
enum role {
#define X(name) ROLE_##name,
    ROLES(X)
#undef X
        ROLE_COUNT
};

/* What code asks for by kind instead of by name. Every architecture has embedding and classifier;
 * fixed layouts (BLZT v4, llama2.c) hold exactly the kinds of a plain llama. */
enum part_kind {
    PART_OTHER,
    PART_EMBED, /* the table of input tokens */
    PART_HEAD,  /* the classifier of an untied model, of the same shape */
    PART_ATT_NORM,
    PART_Q,
    PART_Q_BIAS,
    PART_K,
    PART_V,
    PART_O,
    PART_FFN_NORM,
    PART_GATE,
    PART_UP,
    PART_DOWN,
    PART_NORM, /* the final one */
    PART_KINDS
};

/* When a model has it. */
enum part_if {
    IF_ALWAYS,
    IF_UNTIED,      /* tie_word_embeddings is false */
    IF_BIAS,        /* attention_bias */
    IF_QK_NORM,     /* duet.qk_norm */
    IF_VALUE_EMBED, /* duet.value_embeds */
    IF_COUNT
};

/* Sides of shapes, by the config's numbers. */
enum part_side {
    SIDE_NONE,
    SIDE_VOCAB,
    SIDE_DIM,    /* hidden_size */
    SIDE_Q,      /* num_attention_heads head_dim */
    SIDE_KV,     /* num_key_value_heads head_dim */
    SIDE_HIDDEN, /* intermediate_size */
    SIDE_HEAD,   /* head_dim */
    SIDE_COUNT
};

/* First values (model.h says which std they have with duet.init). */
enum part_init {
    INIT_MATRIX,   /* normal */
    INIT_RESIDUAL, /* the same, smaller with depth: it writes into the residual stream (GPT-2), and
                    * a residual scale that a format has no place for is folded into it */
    INIT_EMBED,    /* normal, std initializer_range */
    INIT_ONES,
    INIT_ZEROS
};

/* Whose heads' rows turn: formats with interleaved pairs permute these rows. */
enum part_rotary { ROTARY_NONE, ROTARY_Q, ROTARY_K };

struct part {
    const char *hf;   /* Hugging Face's name; '*' stands for the number of the layer */
    const char *gguf; /* GGUF's, the same way; NULL: it has none */
    enum part_kind kind;
    enum role role;
    enum part_side rows, cols; /* rows SIDE_NONE: one dimension, of cols */
    enum part_init init;
    enum part_rotary rotary;
    enum part_if when;
    const char *lora;  /* its word in --lora-targets, or NULL: no target */
    const char *group; /* of duet audit's table: "MLP matrices" */
};

/* A default of a config key (JSON text; a word as it is) where it is not the one of config.c. */
struct part_default {
    const char *key, *value;
};

enum { PART_VALUES = 4 };

/* A key of config.json and the values of it that are computed: true, false, numbers, texts as they
 * are, up to a NULL. The first is what is written; any other value is refused. */
struct part_computes {
    const char *key, *values[PART_VALUES];
};

/* An architecture as formats know it. */
struct part_table {
    const char *name;     /* model_type of config.json */
    const char *hf_class; /* what transformers calls it: "LlamaForCausalLM" */
    const char *gguf;     /* general.architecture, and what its keys begin with; NULL: GGUF has it
                           * not. Of several with one name the first is read */
    bool gguf_pairs;      /* GGUF has rotary rows as interleaved pairs */
    bool gguf_bias;       /* GGUF takes biases on query, key and value though they are not usual */
    bool hf_own_bias;     /* transformers goes by the default of attention_bias, not by the key */
    int64_t hf_window;    /* the sliding_window that transformers takes where no key says one; 0:
                           * none. Folders of Hugging Face are read so; elsewhere no key means no
                           * window */
    const struct part_default *defaults; /* up to one without a key; or NULL */
    /* Of keys of config_refuse.c, in the place of the values that stand there: at least hidden_act.
     * Up to one without a key. */
    const struct part_computes *computes;
    const struct part *part; /* in the order in which a GGUF is written: parts of layers together */
    int n;
};

/* All architectures, as formats are handed them. */
struct part_tables {
    const struct part_table *const *all;
    int n;
};

/* The row called name, or NULL; the first whose name in GGUF that is, or NULL. */
const struct part_table *parts_find(const struct part_tables *l, const char *name);
const struct part_table *parts_find_gguf(const struct part_tables *l, const char *name);
/* "llama, mistral and qwen2": the names of all; or those of GGUF, each once. last: what stands
 * before the last one. */
const char *parts_names(const struct part_tables *l, bool gguf, const char *last, char *text,
                        size_t size);
/* Is the default of a boolean key true? */
bool parts_default_true(const struct part_table *t, const char *key);
/* The default of a key that the architecture has for itself, or NULL. */
const char *parts_default(const struct part_table *t, const char *key);
/* What it computes of this key, or NULL: what everyone does. */
const struct part_computes *parts_computes(const struct part_table *t, const char *key);
/* Its hidden_act, as it is written. */
const char *parts_act(const struct part_table *t);

/* ---- names ---------------------------------------------------------------------------------- */

enum part_names { NAMES_HF, NAMES_GGUF };
enum { PART_NAME = 96 }; /* room for a name */

/* Is there one in every layer? */
bool part_in_layers(const struct part *p);

/* The part of this name, and its layer (0 of what is in none); NULL: there is none. */
const struct part *part_find(const struct part_table *t, enum part_names in, const char *name,
                             uint32_t *layer);
/* The same of a tensor of LoRA, "....lora_A.weight" or "....lora_B.weight" (*b), under PEFT's
 * names: of the weight that it corrects. */
const struct part *part_find_lora(const struct part_table *t, const char *name, uint32_t *layer,
                                  bool *b);
/* The first of this kind, or NULL. */
const struct part *part_of(const struct part_table *t, enum part_kind kind);

/* buf, filled. The part must have a name there. */
const char *part_name(char buf[PART_NAME], const struct part *p, enum part_names in,
                      uint32_t layer);
const char *part_lora_name(char buf[PART_NAME], const struct part *p, uint32_t layer, bool b);
/* PEFT calls a module by its name of Hugging Face's without ".weight", and in lists by the last
 * word of that: where it begins, and its length. */
const char *part_module(const struct part *p, size_t *n);

/* "q, k, v, o": the words of LoRA's targets. */
const char *part_words(const struct part_table *t, char *buf, size_t size);

/* ---- shapes --------------------------------------------------------------------------------- */

/* What a config says of them. */
struct part_sizes {
    uint64_t side[SIDE_COUNT];
    int heads, kv_heads;
    bool has[IF_COUNT]; /* has[IF_ALWAYS] is true */
};

/* Fills shape, row-major, and returns the number of dimensions. */
int part_shape(const struct part *p, const struct part_sizes *s, uint64_t shape[2]);
/* Heads whose rows turn: q of ROTARY_Q, k of ROTARY_K, else 0. */
int part_heads(const struct part *p, int q, int k);

#endif
