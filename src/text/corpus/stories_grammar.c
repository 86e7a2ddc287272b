#include "stories_grammar.h"

#include <assert.h>
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SEQ 160 /* ops in one sequence, nested choices not counted */

/* Where the parser stands, for messages and for what nested parts need. */
struct parser {
    struct story_grammar *g;
    const struct story_rule_src *const *rules;
    const char *where; /* rule or list */
    const char *start, *p;
    struct err *e;
};

static int bad(const struct parser *s, const char *what) {
    return err_set(s->e, ERR_INPUT, "story grammar: %s, offset %td: %s", s->where, s->p - s->start,
                   what);
}

static int parse_choice(struct parser *s, uint32_t id, const char *stop);

/* A name of letters, digits and _ at s->p; moves behind it. */
static size_t parse_name(struct parser *s, const char **name) {
    *name = s->p;
    while (isalnum((unsigned char)*s->p) || *s->p == '_') s->p++;
    return (size_t)(s->p - *name);
}

static bool same(const char *name, const char *word, size_t n) {
    return strncmp(name, word, n) == 0 && name[n] == 0;
}

static int find_attr(struct parser *s, const char *name, size_t n, bool add, uint16_t *id) {
    struct story_grammar *g = s->g;
    for (uint32_t i = 0; i < g->n_attrs; i++)
        if (same(g->attr[i], name, n)) return *id = (uint16_t)i, 0;
    if (!add) return bad(s, "no list has this attribute");
    if (n == 0 || n >= sizeof g->attr[0])
        return bad(s, "an attribute needs a name of 1 to 23 letters");
    if (g->n_attrs == STORY_MAX_ATTRS) return bad(s, "too many attributes");
    memcpy(g->attr[g->n_attrs], name, n);
    *id = (uint16_t)g->n_attrs++;
    return 0;
}

static int find_rule(struct parser *s, const char *name, size_t n, uint32_t *id) {
    uint32_t at = 0;
    for (size_t f = 0; s->rules[f]; f++)
        for (const struct story_rule_src *r = s->rules[f]; r->name; r++, at++)
            if (same(r->name, name, n)) return *id = at, 0;
    return bad(s, "no such rule");
}

static int parse_register(struct parser *s, int8_t *reg) {
    if (*s->p == '*')
        *reg = STORY_ARG;
    else if (*s->p >= 'A' && *s->p <= 'Z')
        *reg = (int8_t)(*s->p - 'A');
    else if (*s->p >= 'a' && *s->p <= 'z')
        *reg = (int8_t)(*s->p - 'a' + 26);
    else
        return bad(s, "a register is A to Z, a to z or *");
    s->p++;
    return 0;
}

/* [rule] or [rule R], after the bracket. */
static int parse_call(struct parser *s, struct story_op *op) {
    const char *name;
    size_t n = parse_name(s, &name);
    *op = (struct story_op){.kind = STORY_CHOICE, .reg = STORY_NONE};
    int rc = find_rule(s, name, n, &op->index);
    if (!rc && *s->p == ' ') {
        s->p++;
        rc = parse_register(s, &op->reg);
    }
    if (rc) return rc;
    if (*s->p++ != ']') return s->p--, bad(s, "expected ]");
    return 0;
}

/* {R.attr} or {R=list.attr}, after the brace: one or two ops. */
static int parse_slot(struct parser *s, struct story_op *op, uint32_t *n_ops) {
    const char *name;
    int8_t reg = STORY_NONE;
    uint16_t attr;
    int rc = parse_register(s, &reg);
    if (rc) return rc;
    if (*s->p == '=') {
        s->p++;
        size_t n = parse_name(s, &name);
        uint32_t l = 0;
        while (l < s->g->n_lists && !same(s->g->list[l].name, name, n)) l++;
        if (l == s->g->n_lists) return bad(s, "no such list");
        if (reg == STORY_ARG) return bad(s, "* cannot be drawn into");
        op[(*n_ops)++] = (struct story_op){.kind = STORY_BIND, .reg = reg, .index = l};
        s->g->bound[reg] |= UINT64_C(1) << l;
    }
    if (*s->p++ != '.') return s->p--, bad(s, "expected an attribute");
    size_t n = parse_name(s, &name);
    if ((rc = find_attr(s, name, n, false, &attr)) != 0) return rc;
    if (*s->p++ != '}') return s->p--, bad(s, "expected }");
    op[(*n_ops)++] = (struct story_op){.kind = STORY_ATTR, .reg = reg, .n = attr};
    return 0;
}

/* Plain text up to the next special character, into the pool. */
static void parse_text(struct parser *s, const char *stop, struct story_op *op) {
    struct story_grammar *g = s->g;
    *op = (struct story_op){.kind = STORY_TEXT, .index = g->n_text};
    while (*s->p && !strchr("([{^%])}|", *s->p) && !strchr(stop, *s->p) && op->n < UINT16_MAX) {
        g->text[g->n_text++] = *s->p == '`' ? '"' : *s->p;
        s->p++, op->n++;
    }
}

/* One sequence up to a character of stop or the end of the source. */
static int parse_seq(struct parser *s, const char *stop, uint32_t *first) {
    struct story_grammar *g = s->g;
    struct story_op op[MAX_SEQ + 3];
    uint32_t n = 0;
    int rc = 0;
    while (*s->p && !strchr(stop, *s->p)) {
        if (n >= MAX_SEQ) return bad(s, "sequence too long");
        char c = *s->p++;
        if (c == '(') {
            uint32_t id = g->n_choices++;
            rc = parse_choice(s, id, "|)");
            if (!rc && *s->p++ != ')') return s->p--, bad(s, "expected )");
            op[n++] = (struct story_op){.kind = STORY_CHOICE, .reg = STORY_NONE, .index = id};
        } else if (c == '[')
            rc = parse_call(s, &op[n++]);
        else if (c == '{')
            rc = parse_slot(s, op, &n);
        else if (c == '^')
            op[n++] = (struct story_op){.kind = STORY_CAP};
        else if (c == '%')
            op[n++] = (struct story_op){.kind = STORY_ARTICLE};
        else if (strchr(")]}|", c))
            return s->p--, bad(s, "unexpected bracket or bar");
        else
            s->p--, parse_text(s, stop, &op[n++]);
        if (rc) return rc;
    }
    op[n++] = (struct story_op){.kind = STORY_END};
    *first = g->n_ops;
    memcpy(g->op + g->n_ops, op, n * sizeof *op);
    g->n_ops += n;
    return 0;
}

/* "N:" if there is one. */
static int parse_weight(struct parser *s, uint32_t *total, uint16_t *weight) {
    const char *q = s->p;
    uint32_t w = 0;
    while (isdigit((unsigned char)*q) && w <= STORY_MAX_TOTAL) w = w * 10 + (uint32_t)(*q++ - '0');
    if (q == s->p || *q != ':')
        w = 1;
    else
        s->p = q + 1;
    *total += w;
    *weight = (uint16_t)w;
    if (w == 0 || *total > STORY_MAX_TOTAL)
        return bad(s, "weight 0, or the sum of weights is too large");
    return 0;
}

/* Alternatives separated by bars, up to another character of stop or the end of the source. */
static int parse_choice(struct parser *s, uint32_t id, const char *stop) {
    struct story_grammar *g = s->g;
    uint16_t weight[256];
    uint32_t seq[256], n = 0, total = 0;
    bool words = true;
    for (;; s->p++) {
        if (n == 256) return bad(s, "too many alternatives");
        int rc = parse_weight(s, &total, &weight[n]);
        if (!rc) rc = parse_seq(s, stop, &seq[n]);
        if (rc) return rc;
        const struct story_op *op = g->op + seq[n++];
        words =
            words && (op->kind == STORY_END || (op->kind == STORY_TEXT && op[1].kind == STORY_END));
        if (*s->p != '|') break;
    }
    g->choice[id] = (struct story_choice){g->n_alts, n, total, words, s->where};
    memcpy(g->weight + g->n_alts, weight, n * sizeof *weight);
    memcpy(g->seq + g->n_alts, seq, n * sizeof *seq);
    g->n_alts += n;
    return 0;
}

static void skip_blanks(struct parser *s) {
    while (*s->p == ' ') s->p++;
}

/* Row 0 of a list: attribute names. The values of constants are parsed later, with the rows. */
static int parse_header(struct parser *s, struct story_list *l) {
    memset(l->col, -1, sizeof l->col);
    for (bool more = true; more; l->cols++) {
        const char *name;
        uint16_t attr;
        skip_blanks(s);
        size_t n = parse_name(s, &name);
        int rc = find_attr(s, name, n, true, &attr);
        if (rc) return rc;
        if (l->col[attr] >= 0) return bad(s, "attribute named twice");
        l->col[attr] = (int16_t)l->cols;
        s->p += strcspn(s->p, ",");
        more = *s->p == ',';
        if (more) s->p++;
    }
    return 0;
}

/* Compiles the value of one column and stores it for the row. */
static int parse_value(struct parser *s, uint32_t at) {
    skip_blanks(s);
    int rc = parse_seq(s, ",", &s->g->value[at]);
    if (!rc && *s->p == ',') s->p++;
    return rc;
}

static int parse_list(struct parser *s, struct story_list *l, const char *const *rows) {
    struct story_grammar *g = s->g;
    int rc = 0;
    l->first = g->n_alts;
    l->value = g->n_values;
    for (const char *const *row = rows + 1; *row;
         row++) { /* all weights, before choices in values */
        s->start = s->p = *row;
        if ((rc = parse_weight(s, &l->total, &g->weight[g->n_alts++])) != 0) return rc;
    }
    for (const char *const *row = rows + 1; *row; row++, l->n++) {
        uint32_t total = 0;
        uint16_t weight;
        s->start = s->p = *row;
        if ((rc = parse_weight(s, &total, &weight)) != 0) return rc;
        const char *head = rows[0];
        for (uint32_t c = 0; c < l->cols; c++) {
            size_t len = strcspn(head, ",");
            const char *constant = memchr(head, '=', len);
            if (constant && l->n) { /* all rows share the sequence of the first */
                g->value[g->n_values++] = g->value[l->value + c];
            } else if (constant) {
                struct parser k = *s;
                k.start = rows[0], k.p = constant + 1;
                rc = parse_value(&k, g->n_values++);
            } else if (*s->p == 0)
                return bad(s, "too few values");
            else
                rc = parse_value(s, g->n_values++);
            if (rc) return rc;
            head += len + (head[len] == ',');
        }
        if (*s->p) return bad(s, "too many values");
    }
    return l->n ? 0 : bad(s, "a list needs rows");
}

static int register_name(int reg) {
    return reg < 26 ? 'A' + reg : 'a' + reg - 26;
}

/* What the check of a finished grammar remembers. */
struct check {
    const struct story_grammar *g;
    uint8_t *state; /* by choice and argument: 0 new, 1 being walked, 2 done */
    bool attr_used[STORY_MAX_ATTRS];
    struct err *e;
};

static int check_choice(struct check *c, uint32_t id, int arg);

static int check_attr(struct check *c, const char *where, int reg, uint16_t attr);

static int check_seq(struct check *c, const char *where, uint32_t first, int arg) {
    int rc = 0;
    for (const struct story_op *op = c->g->op + first; op->kind != STORY_END && !rc; op++) {
        int reg = op->reg == STORY_ARG || op->reg == STORY_NONE ? arg : op->reg;
        if (op->kind == STORY_CHOICE)
            rc = check_choice(c, op->index, reg);
        else if (op->kind == STORY_ATTR)
            rc = check_attr(c, where, reg, op->n);
    }
    return rc;
}

static int check_attr(struct check *c, const char *where, int reg, uint16_t attr) {
    const struct story_grammar *g = c->g;
    if (reg < 0)
        return err_set(c->e, ERR_INPUT, "story grammar: %s: * has no register here", where);
    if (!g->bound[reg])
        return err_set(c->e, ERR_INPUT, "story grammar: %s: nothing is drawn into register %c",
                       where, register_name(reg));
    c->attr_used[attr] = true;
    for (uint32_t l = 0; l < g->n_lists; l++) {
        const struct story_list *list = &g->list[l];
        if (!(g->bound[reg] >> l & 1)) continue;
        if (list->col[attr] < 0)
            return err_set(c->e, ERR_INPUT,
                           "story grammar: %s: register %c may hold a row of %s, which has no "
                           "attribute %s",
                           where, register_name(reg), list->name, g->attr[attr]);
        for (uint32_t r = 0; r < list->n; r++) {
            uint32_t at = list->value + r * list->cols + (uint32_t)list->col[attr];
            int rc = check_seq(c, list->name, g->value[at], reg);
            if (rc) return rc;
        }
    }
    return 0;
}

static int check_choice(struct check *c, uint32_t id, int arg) {
    const struct story_choice *ch = &c->g->choice[id];
    uint8_t *state =
        &c->state[id * (STORY_REGISTERS + 1) + (uint32_t)(arg < 0 ? STORY_REGISTERS : arg)];
    if (*state == 2) return 0;
    if (*state == 1)
        return err_set(c->e, ERR_INPUT, "story grammar: rule %s expands itself", ch->name);
    *state = 1;
    int rc = 0;
    for (uint32_t i = 0; i < ch->n && !rc; i++)
        rc = check_seq(c, ch->name, c->g->seq[ch->first + i], arg);
    *state = 2;
    return rc;
}

static int check_grammar(const struct story_grammar *g, struct err *e) {
    struct check c = {.g = g, .e = e};
    const uint32_t ways = STORY_REGISTERS + 1;
    c.state = calloc((size_t)g->n_choices * ways, 1);
    if (!c.state) return err_set(e, ERR_NOMEM, "story grammar: out of memory");
    int rc = check_choice(&c, g->root, STORY_NONE);
    for (uint32_t r = 0; r < g->n_rules && !rc; r++)
        if (!memchr(c.state + (size_t)r * ways, 2, ways))
            rc = err_set(e, ERR_INPUT, "story grammar: rule %s is never used", g->choice[r].name);
    for (uint32_t a = 0; a < g->n_attrs && !rc; a++)
        if (!c.attr_used[a])
            rc = err_set(e, ERR_INPUT, "story grammar: attribute %s is never used", g->attr[a]);
    free(c.state);
    return rc;
}

/* Every op, choice, alternative and byte of text comes from at least one byte of source, or from
 * the end of a piece of it: so the source bounds what must be reserved. */
static int reserve(struct story_grammar *g, const struct story_list_src *lists,
                   const struct story_rule_src *const *rules, struct err *e) {
    size_t bytes = 64, n_lists = 0;
    for (; lists[n_lists].name; n_lists++) {
        size_t head = strlen(lists[n_lists].rows[0]);
        for (const char *const *row = lists[n_lists].rows; *row; row++)
            bytes += 2 * strlen(*row) + 2 * head + 8;
    }
    for (size_t f = 0; rules[f]; f++)
        for (const struct story_rule_src *r = rules[f]; r->name; r++, g->n_rules++)
            bytes += 2 * strlen(r->body) + 8;
    if (n_lists > 64 || bytes > UINT32_MAX)
        return err_set(e, ERR_INPUT, "story grammar: more than 64 lists, or too large");
    g->op = calloc(bytes, sizeof *g->op);
    g->choice = calloc(bytes, sizeof *g->choice);
    g->weight = calloc(bytes, sizeof *g->weight);
    g->seq = calloc(bytes, sizeof *g->seq);
    g->value = calloc(bytes, sizeof *g->value);
    g->text = calloc(bytes, 1);
    g->list = calloc(n_lists + 1, sizeof *g->list);
    g->attr = calloc(STORY_MAX_ATTRS, sizeof *g->attr);
    if (!g->op || !g->choice || !g->weight || !g->seq || !g->value || !g->text || !g->list ||
        !g->attr)
        return err_set(e, ERR_NOMEM, "story grammar: out of memory");
    g->n_choices = g->n_rules;
    return 0;
}

int story_grammar_compile(struct story_grammar *g, const struct story_list_src *lists,
                          const struct story_rule_src *const *rules, struct err *e) {
    struct parser s = {.g = g, .rules = rules, .e = e};
    int rc;
    memset(g, 0, sizeof *g);
    for (int i = 1; i <= STORY_MAX_TOTAL; i++) g->log2_of[i] = log2(i);
    TRY(reserve(g, lists, rules, e));
    for (size_t l = 0; lists[l].name; l++, g->n_lists++) {
        s.where = g->list[l].name = lists[l].name;
        s.start = s.p = lists[l].rows[0];
        TRY(parse_header(&s, &g->list[l]));
    }
    for (size_t l = 0; lists[l].name; l++) {
        s.where = lists[l].name;
        TRY(parse_list(&s, &g->list[l], lists[l].rows));
    }
    uint32_t id = 0;
    for (size_t f = 0; rules[f]; f++)
        for (const struct story_rule_src *r = rules[f]; r->name; r++, id++) {
            uint32_t first = 0;
            s.where = r->name;
            s.start = s.p = r->body;
            TRY(find_rule(&s, r->name, strlen(r->name), &first));
            if (first != id) TRY(bad(&s, "two rules have this name"));
            TRY(parse_choice(&s, id, "|"));
        }
    s.where = "the whole grammar", s.start = s.p = "";
    TRY(find_rule(&s, "story", 5, &g->root));
    rc = check_grammar(g, e);
out:
    if (rc) story_grammar_release(g);
    return rc;
}

void story_grammar_release(struct story_grammar *g) {
    free(g->op);
    free(g->choice);
    free(g->weight);
    free(g->seq);
    free(g->value);
    free(g->text);
    free(g->list);
    free(g->attr);
    memset(g, 0, sizeof *g);
}
