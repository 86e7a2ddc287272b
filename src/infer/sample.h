/* Text generation: prompt, key/value cache, sampling. */
#ifndef DUET_SAMPLE_H
#define DUET_SAMPLE_H

#include "machine.h"
#include "model.h"
#include "rng.h"
#include "tokenizer.h"

enum { SAMPLE_STOPS = 16 };

struct sample_opts {
    double temperature; /* finite, not negative; 0: the most likely token (lowest id on ties) */
    int64_t top_k;      /* 0: off */
    double top_p;       /* 0 to 1; 1: off */
    double min_p;       /* 0 to 1, relative to the most likely token; 0: off */
    double penalty;     /* sample_penalise; 0 or 1: off */
    int64_t penalty_last; /* the last so many tokens of prompt and text are repeated; 0: all */
    uint64_t seed;      /* of sample_pick and sample_run */
    int64_t tokens;  /* at most so many new ones */
    int64_t context; /* positions used at most; 0: all that the model has. More is ERR_USAGE */
    bool shift; /* when they are used up: forget the older half, read the rest again and go on */
    int n_stops;
    uint32_t stop[SAMPLE_STOPS]; /* end at any of these tokens */
};

/* Why it ended. */
enum sample_end {
    SAMPLE_STOP,    /* at a stop token */
    SAMPLE_TOKENS,  /* so many were wanted */
    SAMPLE_CONTEXT, /* the context is full */
    SAMPLE_EMIT,    /* emit said so */
};

struct sample_stats {
    int64_t prompt_tokens, tokens;
    double prompt_seconds, seconds;
    int64_t shifts; /* how often the older half was forgotten */
    enum sample_end end;
};

/* Picks a token from n logits; scratch: sample_scratch(n) bytes. position: which draw of
 * the seed. pool, or NULL: exponentials are computed on its threads. */
size_t sample_scratch(int64_t n);
uint32_t sample_pick(const struct sample_opts *o, const float *logits, int64_t n, uint64_t position,
                     struct pool *pool, void *scratch);

/* out[i] = logits[i] (n of them), but of every token that is among the n_ids, once or often,
 * divided by penalty, or times it where it is not positive: the repetition penalty of CTRL (Keskar
 * et al. 2019), as transformers and llama.cpp apply it. */
void sample_penalise(double penalty, const float *logits, int64_t n, const uint32_t *ids,
                     int64_t n_ids, float *out);

/* Fills stop: the tokenizer's end of text and start of the next, and whatever else ends a text by
 * the model's description, eos_token_id of the config and of duet.hf.generation_config, each an id
 * or a list (a chat model ends its turns with another token than its documents). Ids outside the
 * vocabulary never come up and are left out, and so is what is beyond SAMPLE_STOPS. */
void sample_stops(const struct model *m, const struct tokenizer *t, struct sample_opts *o);

/* Appends the ids of a prompt. A tokenizer with a start token puts it first; without one, an empty
 * prompt is the end of the document before. specials: names of special tokens are these tokens; a
 * prompt with the text of somebody else should not be read so. */
int sample_prompt(const struct tokenizer *t, const char *prompt, size_t bytes, bool specials,
                  struct tok_ids *ids, struct err *e);

/* A prompt (n ids below the vocabulary; at least one) that was read, for any number of texts that
 * go on from it, each a function of its seed. Memory is reserved for prompt and tokens, at most for
 * the context. A prompt that does not fit into it is ERR_INPUT; ERR_USAGE: sampling that is outside
 * of what sample_opts says; ERR_NUMERIC: logits that are not finite. o is copied. */
struct sampler;
int sampler_open(struct sampler **s, struct model *m, const struct machine *machine,
                 const struct sample_opts *o, const uint32_t *prompt, int64_t n, struct err *e);
/* The text of a seed. emit is called for every new token, a stop token not included; it returns
 * false to stop. *stats is valid on failure too. */
int sampler_run(struct sampler *s, uint64_t seed,
                bool (*emit)(void *ctx, uint32_t prev, uint32_t id), void *ctx,
                struct sample_stats *stats, struct err *e);
void sampler_close(struct sampler *s); /* accepts NULL */

/* Both: one text, of o's seed. */
int sample_run(struct model *m, const struct machine *machine, const struct sample_opts *o,
               const uint32_t *prompt, int64_t n,
               bool (*emit)(void *ctx, uint32_t prev, uint32_t id), void *ctx,
               struct sample_stats *stats, struct err *e);

#endif
