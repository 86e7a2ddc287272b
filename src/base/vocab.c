#include "vocab.h"

#include <stdlib.h>
#include <string.h>

/* n elements of size bytes, malloc()ed; NULL stays NULL. */
static void *copy(const void *p, size_t n, size_t size) {
    void *to = p ? malloc(n * size + 1) : NULL;
    return to ? memcpy(to, p, n * size) : NULL;
}

static void copy_texts(struct vocab *to, struct vocab_text *list, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (list[i].n) memcpy(to->text + to->text_n, list[i].s, list[i].n);
        list[i].s = to->text + to->text_n;
        to->text_n += list[i].n;
    }
}

int vocab_copy(struct vocab *to, const struct vocab *from, struct err *e) {
    size_t bytes = 0;
    for (size_t i = 0; i < from->n; i++) bytes += from->tokens[i].n;
    for (size_t i = 0; i < from->n_merges; i++) bytes += from->merges[i].n;
    *to = *from;
    to->tokens = copy(from->tokens, from->n, sizeof *from->tokens);
    to->types = copy(from->types, from->n, sizeof *from->types);
    to->scores = copy(from->scores, from->n, sizeof *from->scores);
    to->merges = copy(from->merges, from->n_merges, sizeof *from->merges);
    to->text = malloc(bytes + 1);
    to->text_n = 0;
    to->text_cap = bytes + 1;
    if ((from->tokens && !to->tokens) || (from->types && !to->types) ||
        (from->scores && !to->scores) || (from->merges && !to->merges) || !to->text) {
        vocab_release(to);
        return err_set(e, ERR_NOMEM, "no memory for a vocabulary of %u tokens", from->n);
    }
    copy_texts(to, to->tokens, to->n);
    copy_texts(to, to->merges, to->n_merges);
    return 0;
}

int vocab_check_size(uint32_t tokens, int64_t rows, const char *model, struct err *e) {
    if (tokens <= rows) return 0;
    return err_set(e, ERR_INPUT,
                   "%s: the tokenizer has %u tokens, but the model's vocabulary only %lld: they do "
                   "not belong together",
                   model, (unsigned)tokens, (long long)rows);
}

static bool same_texts(const struct vocab_text *a, const struct vocab_text *b, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (a[i].n != b[i].n || (a[i].n && memcmp(a[i].s, b[i].s, a[i].n))) return false;
    return true;
}

bool vocab_equal(const struct vocab *a, const struct vocab *b) {
    return a->model == b->model && !strcmp(a->pre, b->pre) && a->n == b->n &&
           a->n_merges == b->n_merges && !a->scores == !b->scores && a->bos == b->bos &&
           a->eos == b->eos && a->unk == b->unk && a->pad == b->pad && a->add_bos == b->add_bos &&
           a->add_eos == b->add_eos && a->add_space_prefix == b->add_space_prefix &&
           a->remove_extra_spaces == b->remove_extra_spaces &&
           (!a->n || !memcmp(a->types, b->types, a->n)) &&
           (!a->scores || !memcmp(a->scores, b->scores, a->n * sizeof *a->scores)) &&
           same_texts(a->tokens, b->tokens, a->n) && same_texts(a->merges, b->merges, a->n_merges);
}

void vocab_release(struct vocab *v) {
    free(v->tokens);
    free(v->types);
    free(v->scores);
    free(v->merges);
    free(v->text);
    *v = (struct vocab){0};
}
