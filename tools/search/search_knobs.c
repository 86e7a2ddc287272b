#include "search_knobs.h"

#include <stdbool.h>

const char *knob_move_name(enum knob_move m) {
    static const char *const names[] = {"absent", "stays", "up", "down", "other"};
    return names[m];
}

const char *knob_verdict_name(enum knob_verdict v) {
    static const char *const names[] = {"still", "together", "apart", "single"};
    return names[v];
}

static bool same(const json_t *a, const json_t *b) {
    if (!a || !b) return a == b;
    if (json_is_number(a) && json_is_number(b)) return json_number_value(a) == json_number_value(b);
    return json_equal(a, b);
}

enum knob_move knob_move(const json_t *was, const json_t *is) {
    if (!was && !is) return KNOB_ABSENT;
    if (same(was, is)) return KNOB_STAYS;
    if (!json_is_number(was) || !json_is_number(is)) return KNOB_OTHER;
    return json_number_value(is) > json_number_value(was) ? KNOB_UP : KNOB_DOWN;
}

struct knob knob_look(const enum knob_move *move, const json_t *const *is, size_t n) {
    struct knob k = {.way = KNOB_STAYS};
    size_t movers = 0;
    for (size_t i = 0; i < n; i++) {
        size_t alike = 0; /* the first of a way counts all of it */
        if (move[i] == KNOB_ABSENT) continue;
        k.of++;
        if (move[i] == KNOB_STAYS) continue;
        movers++;
        for (size_t j = 0; j < n; j++)
            alike += move[j] == move[i] && (move[i] != KNOB_OTHER || same(is[i], is[j]));
        if (alike <= k.moved) continue;
        k.moved = alike;
        k.way = move[i];
        k.value = move[i] == KNOB_OTHER ? is[i] : NULL;
    }
    if (!movers)
        k.verdict = KNOB_STILL;
    else if (k.moved >= 2 && 2 * k.moved > k.of)
        k.verdict = KNOB_TOGETHER;
    else
        k.verdict = k.moved < movers ? KNOB_APART : KNOB_SINGLE;
    return k;
}
