/* Proves that no two derivations of the grammar of stories write the same text, so that the bits of
 * a document are exactly its information.
 *
 * Two different derivations agree up to a first choice at which they take different alternatives.
 * For every choice (or draw of a row) in every place of the grammar and every two of its
 * alternatives, the test runs both continuations side by side, byte by byte, over everything that
 * may follow, to the end of the document. If no pair of continuations writes the same text, no
 * pair of derivations does. What registers held before the choice is unknown, but the same on both
 * sides; it is tried for all rows where it is asked for. Too many possibilities are tried (rows
 * that are never drawn together), never too few.
 *
 * What keeps this small: many parts are prefix-free, that is, no text of one derivation of the part
 * begins with the text of another (proved in the same way, with nothing behind the part). Inside
 * such a part nothing that follows matters; and where both sides come to the same such part, they
 * can only go through it in the same way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "stories_grammar.h"

#define MAX_DEPTH 48
#define MAX_COMMON 2000   /* bytes that two continuations may have in common */
#define MAX_STEPS 2000000 /* for one pair of alternatives; more counts as ambiguous */

struct frame {
    const struct story_op *op; /* next */
    int arg;
};

/* One continuation. */
struct side {
    struct frame stack[MAX_DEPTH];
    int depth;
    int16_t list[STORY_REGISTERS], row[STORY_REGISTERS]; /* list -1: as before the choice */
    bool cap, article;
    char head[4]; /* "a " or "an " in front of text */
    int n_head;
    const char *text;
    int n_text;
};

#define WAYS (STORY_REGISTERS + 1) /* arguments of a rule, or none */

enum known { UNKNOWN, YES, NO };

/* What was found out about a choice with an argument, or about an attribute of a register. */
struct fact {
    enum known prefix_free;
    bool scanned;
    uint64_t uses, binds; /* registers, by bit */
};

struct facts {
    struct fact *choice, *attr, *draw;
    uint64_t pairs, steps; /* statistics */
};

struct prover {
    const struct story_grammar *g;
    struct facts *facts; /* shared by nested provers */
    bool strict;         /* prove that a part is prefix-free */
    uint64_t steps;
    bool failed;
    char where[64], trace[MAX_COMMON + 1];
    int n_trace;
};

static void push(struct side *s, const struct story_op *op, int arg) {
    assert_true(s->depth < MAX_DEPTH);
    s->stack[s->depth++] = (struct frame){op, arg};
}

static const struct story_op *ops_of(const struct prover *p, uint32_t choice, uint32_t alt) {
    return p->g->op + p->g->seq[p->g->choice[choice].first + alt];
}

static const struct story_op *value_of(const struct prover *p, int list, int row, uint16_t attr) {
    const struct story_list *l = &p->g->list[list];
    return p->g->op + p->g->value[l->value + (uint32_t)row * l->cols + (uint32_t)l->col[attr]];
}

enum want { BYTE, BRANCH, DONE };

/* Moves to the next byte, to an op with several possibilities, or to the end. */
static enum want advance(const struct prover *p, struct side *s) {
    while (!s->n_head && !s->n_text) {
        if (s->depth == 0) return DONE;
        struct frame *f = &s->stack[s->depth - 1];
        int reg = f->op->reg < 0 ? f->arg : f->op->reg;
        switch ((enum story_op_kind)f->op->kind) {
        case STORY_END:
            s->depth--;
            continue;
        case STORY_CAP:
            s->cap = true;
            break;
        case STORY_ARTICLE:
            s->article = true;
            break;
        case STORY_CHOICE:
        case STORY_BIND:
            return BRANCH;
        case STORY_ATTR: {
            if (s->list[reg] < 0) return BRANCH;
            const struct story_op *value = value_of(p, s->list[reg], s->row[reg], f->op->n);
            f->op++;
            push(s, value, reg);
            continue;
        }
        case STORY_TEXT:
            s->text = p->g->text + f->op->index;
            s->n_text = f->op->n;
            if (s->article) {
                bool an = strchr("aeiouAEIOU", *s->text) != NULL;
                s->n_head = snprintf(s->head, sizeof s->head, an ? "an " : "a ");
                s->article = false;
            }
            break;
        }
        f->op++;
    }
    return BYTE;
}

static char take(struct side *s) {
    char c;
    if (s->n_head) {
        c = s->head[0];
        memmove(s->head, s->head + 1, (size_t)--s->n_head);
    } else {
        c = *s->text++;
        s->n_text--;
    }
    if (s->cap && c >= 'a' && c <= 'z') c = (char)(c - 'a' + 'A');
    s->cap = false;
    return c;
}

static bool same_side(const struct side *a, const struct side *b) {
    if (a->depth != b->depth || a->n_head != b->n_head || a->n_text != b->n_text) return false;
    if (a->cap != b->cap || a->article != b->article || (a->n_text && a->text != b->text))
        return false;
    for (int i = 0; i < a->depth; i++)
        if (a->stack[i].op != b->stack[i].op || a->stack[i].arg != b->stack[i].arg) return false;
    return memcmp(a->list, b->list, sizeof a->list) == 0 &&
           memcmp(a->row, b->row, sizeof a->row) == 0;
}

static void conflict(struct prover *p, const char *what) {
    if (!p->failed)
        snprintf(p->where + strlen(p->where), sizeof p->where - strlen(p->where), " %s", what);
    p->failed = true;
}

static void compare(struct prover *p, const struct side *sa, const struct side *sb);
static void prove_seq(struct prover *p, struct side *at);

static void set_row(struct side *s, int reg, int list, int row) {
    s->list[reg] = (int16_t)list;
    s->row[reg] = (int16_t)row;
}

static int register_of(const struct frame *f) {
    return f->op->reg < 0 ? f->arg : f->op->reg;
}

/* The part that begins with this op: a choice, an attribute, or a draw with its attribute. */
static struct fact *fact_of(const struct prover *p, const struct frame *f) {
    int reg = register_of(f);
    size_t way = reg < 0 ? STORY_REGISTERS : (size_t)reg;
    if (f->op->kind == STORY_CHOICE) return &p->facts->choice[f->op->index * WAYS + way];
    if (f->op->kind == STORY_ATTR) return &p->facts->attr[f->op->n * WAYS + way];
    return &p->facts->draw[(f->op->index * STORY_MAX_ATTRS + f->op[1].n) * WAYS + way];
}

/* Registers that the part uses and draws into, at any depth. */
static void scan(const struct prover *p, const struct frame *part, uint64_t *uses, uint64_t *binds);

static void scan_seq(const struct prover *p, const struct story_op *op, int arg, struct fact *sum) {
    for (; op->kind != STORY_END; op++)
        if (op->kind == STORY_CHOICE || op->kind == STORY_ATTR || op->kind == STORY_BIND)
            scan(p, &(struct frame){op, arg}, &sum->uses, &sum->binds);
}

static void scan(const struct prover *p, const struct frame *part, uint64_t *uses,
                 uint64_t *binds) {
    struct fact *fact = fact_of(p, part);
    int reg = register_of(part);
    if (!fact->scanned) {
        fact->scanned = true;
        if (part->op->kind == STORY_CHOICE) {
            for (uint32_t i = 0; i < p->g->choice[part->op->index].n; i++)
                scan_seq(p, ops_of(p, part->op->index, i), reg, fact);
        } else {
            uint64_t *set = part->op->kind == STORY_BIND ? &fact->binds : &fact->uses;
            *set |= UINT64_C(1) << reg;
        }
        if (part->op->kind == STORY_ATTR) {
            for (uint32_t l = 0; l < p->g->n_lists; l++)
                for (uint32_t r = 0; r < p->g->list[l].n && p->g->bound[reg] >> l & 1; r++)
                    scan_seq(p, value_of(p, (int)l, (int)r, part->op->n), reg, fact);
        }
    }
    *uses |= fact->uses;
    *binds |= fact->binds;
}

static bool prefix_free(const struct prover *p, const struct frame *part) {
    struct fact *fact = fact_of(p, part);
    if (fact->prefix_free == UNKNOWN) {
        struct prover inner = {.g = p->g, .facts = p->facts, .strict = true};
        struct story_op ops[3] = {*part->op, {.kind = STORY_END}, {.kind = STORY_END}};
        struct side at;
        if (part->op->kind == STORY_BIND) ops[1] = part->op[1];
        memset(&at, 0, sizeof at);
        memset(at.list, -1, sizeof at.list);
        memset(at.row, -1, sizeof at.row);
        push(&at, ops, register_of(part));
        prove_seq(&inner, &at);
        fact->prefix_free = inner.failed ? NO : YES;
    }
    return fact->prefix_free == YES;
}

/* If both sides stand before the same prefix-free part with the same registers, moves both behind
 * it: their texts can only agree if they go through it in the same way. */
static bool skip_same(struct prover *p, struct side *a, struct side *b) {
    struct frame *fa = &a->stack[a->depth - 1], *fb = &b->stack[b->depth - 1];
    if (fa->op->kind != fb->op->kind || fa->op->index != fb->op->index || fa->op->n != fb->op->n ||
        register_of(fa) != register_of(fb) || a->cap != b->cap || a->article != b->article)
        return false;
    int n = 1 + (fa->op->kind == STORY_BIND);
    if (n == 2 && (fa->op[1].n != fb->op[1].n || fa->op[1].reg != fb->op[1].reg)) return false;
    uint64_t uses = 0, binds = 0;
    for (int i = 0; i < n; i++) scan(p, &(struct frame){fa->op + i, fa->arg}, &uses, &binds);
    for (int r = 0; r < STORY_REGISTERS; r++)
        if (((uses | binds) >> r & 1) && (a->list[r] != b->list[r] || a->row[r] != b->row[r]))
            return false;
    if (!prefix_free(p, fa)) return false;
    for (int r = 0; r < STORY_REGISTERS; r++)
        if (binds >> r & 1) a->list[r] = a->row[r] = b->list[r] = b->row[r] = -1;
    fa->op += n, fb->op += n;
    a->cap = b->cap = a->article = b->article = false;
    return true;
}

/* Registers never hold the same row of a list: every draw leaves out what the others hold. */
static bool held(const struct side *s, int reg, int list, int row) {
    for (int r = 0; r < STORY_REGISTERS; r++)
        if (r != reg && s->list[r] == list && s->row[r] == row) return true;
    return false;
}

/* Goes on with every possibility of side a, which stands at an op with several. */
static void branch(struct prover *p, const struct side *a, const struct side *b) {
    const struct frame *f = &a->stack[a->depth - 1];
    const struct story_op *op = f->op;
    int reg = op->reg < 0 ? f->arg : op->reg;
    struct side next;
    if (op->kind == STORY_CHOICE) {
        for (uint32_t i = 0; i < p->g->choice[op->index].n && !p->failed; i++) {
            next = *a;
            next.stack[next.depth - 1].op++;
            push(&next, ops_of(p, op->index, i), reg);
            compare(p, &next, b);
        }
        return;
    }
    for (uint32_t l = 0; l < p->g->n_lists; l++) {
        if (op->kind == STORY_BIND ? l != op->index : !(p->g->bound[reg] >> l & 1)) continue;
        for (uint32_t r = 0; r < p->g->list[l].n && !p->failed; r++) {
            if (held(a, reg, (int)l, (int)r)) continue;
            next = *a;
            set_row(&next, reg, (int)l, (int)r);
            if (op->kind == STORY_BIND) {
                next.stack[next.depth - 1].op++;
                compare(p, &next, b);
            } else { /* what was there before the choice: the same on both sides */
                struct side other = *b;
                if (other.list[reg] < 0) set_row(&other, reg, (int)l, (int)r);
                compare(p, &next, &other);
            }
        }
    }
}

/* Fails the prover if the two continuations can write the same text. */
static void compare(struct prover *p, const struct side *sa, const struct side *sb) {
    struct side a = *sa, b = *sb;
    const int mark = p->n_trace;
    while (!p->failed) {
        enum want wa = advance(p, &a), wb = advance(p, &b);
        p->facts->steps++;
        if (p->steps++ == MAX_STEPS)
            conflict(p, "too many possibilities");
        else if (same_side(&a, &b))
            conflict(p, "same text");
        else if (wa == BRANCH && wb == BRANCH && skip_same(p, &a, &b))
            continue;
        else if (wa == BRANCH)
            branch(p, &a, &b);
        else if (wb == BRANCH)
            branch(p, &b, &a);
        else if (wa == DONE && wb == DONE)
            conflict(p, "same document");
        else if (p->strict && wa != wb)
            conflict(p, "not prefix-free");
        else if (wa == BYTE && wb == BYTE) {
            char ca = take(&a), cb = take(&b);
            if (ca == cb && p->n_trace < MAX_COMMON) {
                p->trace[p->n_trace++] = ca;
                continue;
            }
            if (ca == cb) conflict(p, "too long in common");
        }
        break;
    }
    if (!p->failed) p->n_trace = mark;
}

/* Plain texts that differ in a letter: no need to run them. */
static bool differ_at_once(const struct prover *p, const struct story_op *a,
                           const struct story_op *b) {
    if (a->kind != STORY_TEXT || b->kind != STORY_TEXT) return false;
    size_t n = a->n < b->n ? a->n : b->n;
    return strncasecmp(p->g->text + a->index, p->g->text + b->index, n) != 0;
}

static void compare_pair(struct prover *p, const struct side *a, const struct side *b) {
    p->facts->pairs++;
    p->steps = 0;
    p->n_trace = 0;
    compare(p, a, b);
}

/* All pairs of alternatives of the choice at which `at` stands; then what is inside each. */
static void prove_choice(struct prover *p, const struct side *at) {
    const struct frame *f = &at->stack[at->depth - 1];
    const struct story_choice *c = &p->g->choice[f->op->index];
    int reg = f->op->reg < 0 ? f->arg : f->op->reg;
    snprintf(p->where, sizeof p->where, "%s", c->name);
    for (uint32_t i = 0; i < c->n && !p->failed; i++) {
        for (uint32_t j = i + 1; j < c->n && !p->failed; j++) {
            const struct story_op *oi = ops_of(p, f->op->index, i),
                                  *oj = ops_of(p, f->op->index, j);
            if (differ_at_once(p, oi, oj)) continue;
            struct side a = *at, b = *at;
            a.stack[a.depth - 1].op++;
            b.stack[b.depth - 1].op++;
            push(&a, oi, reg);
            push(&b, oj, reg);
            compare_pair(p, &a, &b);
        }
    }
    for (uint32_t i = 0; i < c->n && !p->failed; i++) {
        struct side in = *at;
        in.stack[in.depth - 1].op++;
        push(&in, ops_of(p, f->op->index, i), reg);
        prove_seq(p, &in);
    }
}

static void prove_draw(struct prover *p, const struct side *at) {
    const struct story_op *op = at->stack[at->depth - 1].op;
    const struct story_list *l = &p->g->list[op->index];
    snprintf(p->where, sizeof p->where, "list %s", l->name);
    for (uint32_t i = 0; i < l->n && !p->failed; i++) {
        for (uint32_t j = i + 1; j < l->n && !p->failed; j++) {
            if (differ_at_once(p, value_of(p, (int)op->index, (int)i, op[1].n),
                               value_of(p, (int)op->index, (int)j, op[1].n)))
                continue;
            struct side a = *at, b = *at;
            a.stack[a.depth - 1].op++;
            b.stack[b.depth - 1].op++;
            set_row(&a, op->reg, (int)op->index, (int)i);
            set_row(&b, op->reg, (int)op->index, (int)j);
            compare_pair(p, &a, &b);
        }
    }
}

/* The values that an attribute can have here, each different one once. */
static void prove_values(struct prover *p, const struct side *at) {
    const struct frame *f = &at->stack[at->depth - 1];
    int reg = f->op->reg < 0 ? f->arg : f->op->reg;
    const struct story_op *last = NULL;
    for (uint32_t l = 0; l < p->g->n_lists; l++) {
        if (!(p->g->bound[reg] >> l & 1)) continue;
        for (uint32_t r = 0; r < p->g->list[l].n && !p->failed; r++) {
            const struct story_op *value = value_of(p, (int)l, (int)r, f->op->n);
            if (value == last) continue;
            last = value;
            struct side in = *at;
            in.stack[in.depth - 1].op++;
            push(&in, value, reg);
            prove_seq(p, &in);
        }
    }
}

/* Every choice in the sequence on top of the stack, with all that can follow it. */
static void prove_seq(struct prover *p, struct side *at) {
    const int depth = at->depth;
    const bool whole = p->strict && depth == 1; /* the part in question itself */
    for (; !p->failed && at->stack[depth - 1].op->kind != STORY_END; at->stack[depth - 1].op++) {
        const struct frame *f = &at->stack[depth - 1];
        enum story_op_kind kind = (enum story_op_kind)f->op->kind;
        bool part = kind == STORY_CHOICE || kind == STORY_ATTR || kind == STORY_BIND;
        if (!part || (!whole && prefix_free(p, f))) continue;
        if (kind == STORY_CHOICE)
            prove_choice(p, at);
        else if (kind == STORY_BIND)
            prove_draw(p, at);
        else
            prove_values(p, at);
    }
}

/* True if the grammar is unambiguous; otherwise p->where and p->trace say where it is not. */
static bool prove(struct prover *p, struct facts *facts, const struct story_grammar *g) {
    const struct story_op root[2] = {{.kind = STORY_CHOICE, .reg = STORY_NONE, .index = g->root},
                                     {.kind = STORY_END}};
    struct side at;
    memset(&at, 0, sizeof at);
    memset(at.list, -1, sizeof at.list);
    memset(at.row, -1, sizeof at.row);
    *facts = (struct facts){
        .choice = calloc((size_t)g->n_choices * WAYS, sizeof *facts->choice),
        .attr = calloc((size_t)STORY_MAX_ATTRS * WAYS, sizeof *facts->attr),
        .draw = calloc((size_t)(g->n_lists + 1) * STORY_MAX_ATTRS * WAYS, sizeof *facts->draw)};
    assert_true(facts->choice && facts->attr && facts->draw);
    *p = (struct prover){.g = g, .facts = facts};
    push(&at, root, STORY_NONE);
    prove_seq(p, &at);
    free(facts->choice);
    free(facts->attr);
    free(facts->draw);
    p->trace[p->n_trace] = 0;
    return !p->failed;
}

static bool prove_source(const struct story_list_src *lists, const struct story_rule_src *rules) {
    const struct story_rule_src *const files[] = {rules, NULL};
    struct story_grammar g;
    struct prover p;
    struct facts facts;
    struct err e = {0};
    if (story_grammar_compile(&g, lists, files, &e)) fail_msg("%s", e.msg);
    bool unique = prove(&p, &facts, &g);
    story_grammar_release(&g);
    return unique;
}

#define RULES(...)                                                                                 \
    (const struct story_rule_src[]) {                                                              \
        __VA_ARGS__, {                                                                             \
            NULL, NULL                                                                             \
        }                                                                                          \
    }

/* The prover itself: it must find what is ambiguous and accept what is not. */
static void test_prover(void **state) {
    (void)state;
    static const char *const rows[] = {"name, kind, call=(|dear ){*.name}", "Ann, girl",
                                       "Anna, girl", "Bob, boy", NULL};
    static const struct story_list_src none[] = {{NULL, NULL}},
                                       kid[] = {{"kid", rows}, {NULL, NULL}};

    assert_true(prove_source(none, RULES({"story", "a|b"})));
    assert_false(prove_source(none, RULES({"story", "a|2:a"})));
    assert_false(prove_source(none, RULES({"story", "(a|ab)(bc|c)"})));
    assert_true(prove_source(none, RULES({"story", "(a|ab)(xc|c)"})));
    assert_false(prove_source(none, RULES({"story", "(|very )(|very )good"})));
    assert_true(prove_source(none, RULES({"story", "(|very )(|so )good"})));
    assert_true(prove_source(none, RULES({"story", "a|ab"}))); /* the end of a document counts */
    assert_false(prove_source(
        none, RULES({"story", "[x].|[y]."}, {"x", "one (two|three)"}, {"y", "one (six|two)"})));
    assert_true(prove_source(none, RULES({"story", "[x] a|[x] b"}, {"x", "one|two"})));
    assert_false(prove_source(none, RULES({"story", "[x]b|[x]"}, {"x", "a|ab"})));
    assert_false(prove_source(none, RULES({"story", "^[x]|A b"}, {"x", "a b|c"})));
    assert_false(prove_source(none, RULES({"story", "%[x]|an egg"}, {"x", "egg|ball"})));
    assert_true(prove_source(none, RULES({"story", "%[x]|an ear"}, {"x", "egg|ball"})));
    /* registers: what was drawn shows later, or never, or differs from other registers */
    assert_true(prove_source(kid, RULES({"story", "{A=kid.kind} {A.call}."})));
    assert_false(
        prove_source(kid, RULES({"story", "{A=kid.kind}: {A.call}, {A.name}|girl: Ann, Ann"})));
    assert_false(prove_source(kid, RULES({"story", "{A=kid.kind}(: {A.call}|)."})));
    assert_true(prove_source(kid, RULES({"story", "{A=kid.call} {A.kind} ({A.name}|who)."})));
    assert_false(prove_source(kid, RULES({"story", "{A=kid.call} {A.kind} ({A.name}|Bob)."})));
    assert_true(
        prove_source(kid, RULES({"story", "{A=kid.kind} {A.call} {B=kid.name} ([n A]|[n B])."},
                                {"n", "{*.name}"})));
    assert_false(
        prove_source(kid, RULES({"story", "{A=kid.kind} {A.call} {B=kid.name} ([n A]|[n B])."},
                                {"n", "{*.kind}"})));
}

static void test_builtin_is_unique(void **state) {
    (void)state;
    const struct story_grammar *g;
    struct prover p;
    struct facts facts;
    struct err e = {0};
    if (story_grammar_builtin(&g, &e)) fail_msg("%s", e.msg);
    bool unique = prove(&p, &facts, g);
    print_message("compared %llu pairs of alternatives in %llu steps\n",
                  (unsigned long long)facts.pairs, (unsigned long long)facts.steps);
    if (!unique) fail_msg("%s: two derivations both write \"%s\"", p.where, p.trace);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prover),
        cmocka_unit_test(test_builtin_is_unique),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
