/* duet: small language models on CPUs. The only public header.
 *
 * Opaque handles, plain types. A function that can fail returns DUET_OK or a code and, if err is
 * not NULL, fills *err with one sentence. It never ends the program: no lack of memory and no
 * argument does (NULL where something is needed is DUET_ERR_USAGE). A duet_model may be used by one
 * thread at a time, different ones by different threads at once; computing inside uses
 * duet_set_threads() threads. Results do not depend on their number. A child of fork() may go on
 * using its parent's models: it computes on the thread that called.
 *
 * What belongs to the process: while the file of a model is mapped, its being cut short makes every
 * call that writes a file fail with DUET_ERR_IO and its name; jansson, if the host has given it no
 * allocator, gets one that keeps a few blocks for when there is no memory.
 *
 *   duet_model *m;
 *   if (duet_open(&m, "model.blzt", NULL, &err)) { fprintf(stderr, "%s\n", err.msg); ... }
 *   duet_generate(m, "Once upon a time", NULL, print, NULL, &err);
 *   duet_close(&m);
 */
#ifndef DUET_H
#define DUET_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DUET_API_VERSION 2

#if defined(__GNUC__)
#define DUET_API __attribute__((visibility("default")))
#else
#define DUET_API
#endif

typedef enum {
    DUET_OK = 0,
    DUET_ERR_INPUT = 1, /* a file or value is not what it should be */
    DUET_ERR_USAGE = 2, /* an argument makes no sense */
    DUET_ERR_IO = 3,
    DUET_ERR_NOMEM = 4,
    DUET_ERR_NUMERIC = 5 /* NaN or infinity came out; the message names the weight */
} duet_status;

typedef struct {
    int code;
    char msg[1024];
} duet_error;

typedef struct duet_model duet_model;

/* DUET_API_VERSION of the library that is loaded; compare with the header's. */
DUET_API int duet_api_version(void);

/* Threads for all computing that begins from now on; 0: one per processor. */
DUET_API void duet_set_threads(int threads);

/* Frees what this library allocated: ids of duet_encode, text of duet_decode. Accepts NULL. */
DUET_API void duet_free(void *p);

/* Opens a model file of any readable format, or the folder of a training run: its last model, of a
 * LoRA run its base with its last adapter (duet_open_adapter). tokenizer: "byte", a tokenizer file,
 * or NULL for the one in the model file; without either, functions that need it are DUET_ERR_INPUT,
 * and ids can be scored. Weights of types f32, bf16 and q8_0 are used where they stand in the file,
 * which must not change while it is open. On success *m belongs to the caller. */
DUET_API int duet_open(duet_model **m, const char *path, const char *tokenizer, duet_error *err);

/* Opens a base and a LoRA adapter made for it (adapter.blzt of a training run); they compute side
 * by side, and the base's weights are read-only. */
DUET_API int duet_open_adapter(duet_model **m, const char *base, const char *adapter,
                               const char *tokenizer, duet_error *err);

/* The adapter counts factor times what it was trained with: 1 at first, 0 is the base alone.
 * DUET_ERR_USAGE if the model has none, if it tuned norms, which have no scale, or if factor is not
 * finite. */
DUET_API int duet_adapter_scale(duet_model *m, double factor, duet_error *err);
/* Takes the adapter away: the model is its base again (norms stay as the adapter tuned them). */
DUET_API int duet_adapter_unload(duet_model *m, duet_error *err);

/* Frees the model and sets *m to NULL. Accepts NULL and a pointer to NULL. */
DUET_API void duet_close(duet_model **m);

DUET_API int64_t duet_vocab_size(const duet_model *m);
DUET_API int64_t duet_param_count(const duet_model *m);

/* What decides the function, is not in the file (BLZT v4, llama2.c) and was taken to be something:
 * a sentence that names keys and values, or NULL if the file says everything. The model's.
 * duet_convert_with and its set write a file that says other values. */
DUET_API const char *duet_assumed(const duet_model *m);

/* Most tokens of a generation (prompt and text) and of a score: all positions that the model has,
 * until duet_set_context says less. Memory is taken for what a call needs of it. */
DUET_API int64_t duet_context(const duet_model *m);
/* 0: all that the model has; more than that is DUET_ERR_USAGE. */
DUET_API int duet_set_context(duet_model *m, int64_t tokens, duet_error *err);

/* Whether names of special tokens in a text, such as <|im_start|>, are these tokens (on) or text
 * like any other, for duet_encode and the prompt of duet_generate. Off at first: a text that comes
 * from somebody else cannot end its turn or begin another. */
DUET_API void duet_read_specials(duet_model *m, int on);

/* Ids of a text (duet_free them); *n is their number. */
DUET_API int duet_encode(const duet_model *m, const char *text, size_t bytes, uint32_t **ids,
                         size_t *n, duet_error *err);
/* Text of ids (duet_free it), NUL-terminated; *bytes without the NUL. */
DUET_API int duet_decode(const duet_model *m, const uint32_t *ids, size_t n, char **text,
                         size_t *bytes, duet_error *err);

/* -log p, in nats, of each of ids[1..n-1] given the ids before it: nll has n-1 floats. n is 2 to
 * duet_context + 1. */
DUET_API int duet_score(duet_model *m, const uint32_t *ids, size_t n, float *nll, duet_error *err);

/* Others than these are DUET_ERR_USAGE. */
typedef struct {
    double temperature; /* finite, 0 or more; 0: greedy */
    int64_t top_k;      /* 0 or more; 0: off */
    double top_p;       /* 0 to 1; 1: off */
    double min_p;       /* 0 to 1; 0: off */
    uint64_t seed;
    int64_t max_tokens; /* 0 or more; 0: no text */
} duet_sampling;

/* temperature 0.8, nothing cut off, seed 1, 256 tokens. */
DUET_API duet_sampling duet_default_sampling(void);

/* Continues a prompt until the end of the text, max_tokens, or the context is full. A prompt longer
 * than the context is DUET_ERR_INPUT. piece is called with every new token's text (not
 * NUL-terminated) in whole UTF-8 characters: one that a token leaves incomplete comes with the
 * next, or as U+FFFD at the end, and so do bytes that are no UTF-8. It returns 0 to go on, and may
 * call the library. s: NULL for the defaults. */
DUET_API int duet_generate(duet_model *m, const char *prompt, const duet_sampling *s,
                           int (*piece)(void *ctx, const char *bytes, size_t n), void *ctx,
                           duet_error *err);

/* Why the last duet_generate of this model ended. */
typedef enum {
    DUET_END_NONE = 0,    /* there was none, or it failed */
    DUET_END_TEXT = 1,    /* an end-of-text token */
    DUET_END_TOKENS = 2,  /* max_tokens */
    DUET_END_CONTEXT = 3, /* the context is full */
    DUET_END_PIECE = 4    /* piece said so */
} duet_end;
DUET_API duet_end duet_end_reason(const duet_model *m);

/* Writes the model at `in`, a file or folder of any readable format, to `out`. format: "gguf", "hf"
 * (a folder of Hugging Face), "blzt5", "llama2c", ...; dtype: "f32", "f16", "bf16", "q8_0", "q4_0",
 * or NULL for the types that the weights have. What the format cannot hold is an error, and nothing
 * is written then. A file or model that is there is written over; a README.md of a folder is
 * not. */
DUET_API int duet_convert(const char *in, const char *out, const char *format, const char *dtype,
                          duet_error *err);

/* What else `duet convert` can be told; all zeros: duet_convert with dtype NULL. */
typedef struct {
    const char *dtype;
    const char *tokenizer;  /* of a model that has none, or its own from another file; "none": write
                             * none; NULL: the model's */
    const char *const *set; /* "key=value" of the config to change first, then NULL; or NULL */
} duet_conversion;

/* duet_convert that also tells what `duet convert` says on the way: what was assumed because `in`
 * does not say it (duet_assumed), what was left out, what reads the model in another way. *notes:
 * sentences, each with a line break, "" if there are none; duet_free it. NULL after an error. o and
 * notes may be NULL. */
DUET_API int duet_convert_with(const char *in, const char *out, const char *format,
                               const duet_conversion *o, char **notes, duet_error *err);

#ifdef __cplusplus
}
#endif

#endif
