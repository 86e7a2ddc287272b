#include "search_short.h"

#include "space.h"
#include "strategy.h"

#include <string.h>

bool search_short_given(const struct search_short *s) {
    return s->base || s->axes.n || s->time > 0 || s->flops > 0 || s->steps > 0 || s->tokens > 0;
}

static json_t *no_memory(struct err *e) {
    err_set(e, ERR_NOMEM, "no memory for a search");
    return NULL;
}

static json_t *budget(const struct search_short *s, struct err *e) {
    const int n = (s->time > 0) + (s->flops > 0) + (s->steps > 0) + (s->tokens > 0);
    if (n != 1) {
        err_set(e, ERR_USAGE,
                "%s, expected one of --time, --steps, --tokens, --flops: what a trial may use",
                n ? "more than one budget" : "no budget");
        return NULL;
    }
    json_t *b = s->time > 0    ? json_pack("{s:f}", "time", s->time)
                : s->flops > 0 ? json_pack("{s:f}", "flops", s->flops)
                : s->steps > 0 ? json_pack("{s:I}", "steps", (json_int_t)s->steps)
                               : json_pack("{s:I}", "tokens", (json_int_t)s->tokens);
    return b ? b : no_memory(e);
}

static json_t *space(const struct search_short *s, struct err *e) {
    json_t *all = json_object();
    if (!all) return no_memory(e);
    for (size_t i = 0; i < s->axes.n; i++) {
        json_t *axis = space_axis_text(s->axes.key[i], s->axes.value[i], e);
        if (axis && !json_object_set_new(all, s->axes.key[i], axis)) continue;
        if (axis) no_memory(e);
        json_decref(all);
        return NULL;
    }
    return all;
}

json_t *search_short(const struct search_short *s, struct err *e) {
    if (!s->base) {
        err_set(e, ERR_USAGE, "no --base, expected a file with options of duet train");
        return NULL;
    }
    const bool hand = !strcmp(s->strategy, SEARCH_HAND); /* no space is needed */
    if (!s->axes.n && !hand) {
        err_set(e, ERR_USAGE, "no --try, expected at least one KEY=LOW..HIGH or "
                              "KEY=VALUE,VALUE,...");
        return NULL;
    }
    json_t *b = budget(s, e), *axes = b ? space(s, e) : NULL, *file = NULL;
    if (axes) {
        file = json_pack("{s:s, s:O, s:I, s:s, s:O}", "base", s->base, "budget", b, "trials",
                         (json_int_t)s->trials, "strategy", s->strategy, "space", axes);
        if (!file) no_memory(e);
        if (hand && !s->axes.n) json_object_del(file, "space");
    }
    json_decref(b);
    json_decref(axes);
    return file;
}
