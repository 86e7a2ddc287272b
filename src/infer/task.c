#include "task.h"
#include "map.h"
#include "rng.h"
#include "textin.h"
#include "unicode.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

struct text {
    const char *s;
    size_t n;
};

enum { PARTS = 64, SHOWN = 48 };
#define TABLE_MAX ((size_t)4 << 30) /* bytes */

struct prompt_part {
    struct text text; /* a column's name, or what stands between columns */
    bool is_column;
    size_t column; /* number of the column in the table */
};

struct reader {
    struct task *t;
    const struct task_opts *o;
    const struct tokenizer *tok;
    char *table; /* the whole of it */
    size_t bytes;
    size_t at;    /* next byte of the table */
    int64_t line; /* that was read last; from 1 */
    bool csv;      /* columns are separated by commas and may be quoted */
    int64_t inner; /* line breaks inside the quotes of that line */
    char *cells;   /* of the line, without quotes */
    size_t cells_cap;
    struct prompt_part parts[PARTS];
    struct tok_range ranges[PARTS]; /* of the prompt: the template's own parts */
    int n_parts;
    struct text *fields; /* of the line, as many as the header has */
    struct text name[CHOICE_MAX]; /* of the label in the table; empty: it has only its number */
    bool named[CHOICE_MAX];       /* by name=word */
    size_t n_fields, label;
    char *prompt;
    size_t prompt_cap;
    struct tok_ids ids;
    size_t start_cap, label_cap;
};

/* For messages: at most SHOWN bytes of a text, whole characters, controls as '?'. */
static const char *show(struct text x, char out[SHOWN + 4]) {
    size_t n = x.n < SHOWN ? x.n : SHOWN;
    while (n < x.n && n > 0 && ((uint8_t)x.s[n] & 0xc0) == 0x80) n--;
    for (size_t i = 0; i < n; i++) out[i] = (uint8_t)x.s[i] < 0x20 || x.s[i] == 0x7f ? '?' : x.s[i];
    memcpy(out + n, n < x.n ? "..." : "", n < x.n ? 4 : 1);
    return out;
}

static int no_memory(struct err *e) {
    return err_set(e, ERR_NOMEM, "out of memory for the examples of a task");
}

/* ---- template -------------------------------------------------------------------------------- */

static int add_part(struct reader *r, struct text text, bool is_column, struct err *e) {
    if (!text.n && !is_column) return 0;
    if (r->n_parts == PARTS)
        return err_set(e, ERR_USAGE, "the template has more than %d columns and texts", PARTS);
    r->parts[r->n_parts++] = (struct prompt_part){.text = text, .is_column = is_column};
    return 0;
}

static int read_template(struct reader *r, struct err *e) {
    int rc = 0;
    bool any = false;
    const char *s = r->o->prompt;
    for (const char *open; (open = strchr(s, '{')); any = true) {
        const char *close = strchr(open, '}');
        if (!close) {
            rc = err_set(e, ERR_USAGE, "the template's \"%.40s\" has no closing brace", open);
            goto out;
        }
        TRY(add_part(r, (struct text){s, (size_t)(open - s)}, false, e));
        TRY(add_part(r, (struct text){open + 1, (size_t)(close - open - 1)}, true, e));
        s = close + 1;
    }
    TRY(add_part(r, (struct text){s, strlen(s)}, false, e));
    if (!any)
        rc = err_set(e, ERR_USAGE,
                     "the template \"%.80s\" names no column of the table; write it as {name}",
                     r->o->prompt);
out:
    return rc;
}

/* ---- label words ----------------------------------------------------------------------------- */

/* "a|b|c": the tokens of a text, for a message. */
static void show_tokens(const struct reader *r, const struct tok_ids *ids, char *out, size_t cap) {
    size_t used = 0;
    for (size_t i = 0; i < ids->n && used + SHOWN + 5 < cap; i++) {
        size_t n;
        char one[SHOWN + 4];
        const char *s = tokenizer_piece(r->tok, i ? (int64_t)ids->ids[i - 1] : -1, ids->ids[i], &n);
        const int k =
            snprintf(out + used, cap - used, "%s%s", i ? "|" : "", show((struct text){s, n}, one));
        used += (size_t)k;
    }
}

/* The token that a word adds to the text in front of it. */
static int word_token(struct reader *r, struct text before, struct text word, uint32_t *id,
                      struct err *e) {
    int rc;
    struct tok_ids one = {0}, both = {0};
    char *text = malloc(before.n + word.n + 1), tokens[512] = "";
    if (!text) return no_memory(e);
    memcpy(text, before.s, before.n);
    memcpy(text + before.n, word.s, word.n);
    TRY(tokenizer_encode(r->tok, text, before.n, false, false, &one, e));
    TRY(tokenizer_encode(r->tok, text, before.n + word.n, false, false, &both, e));
    if (both.n == one.n + 1 && (!one.n || !memcmp(both.ids, one.ids, one.n * sizeof *one.ids))) {
        *id = both.ids[one.n];
        goto out;
    }
    show_tokens(r, &both, tokens, sizeof tokens);
    rc = err_set(e, ERR_USAGE,
                 "the label word \"%.*s\" must be one token behind \"%.*s\", but the tokenizer "
                 "makes \"%s\" of the two together",
                 (int)word.n, word.s, (int)before.n, before.s, tokens);
out:
    free(text);
    free(one.ids);
    free(both.ids);
    return rc;
}

static struct text trim(struct text x) {
    while (x.n && *x.s == ' ') x.s++, x.n--;
    while (x.n && x.s[x.n - 1] == ' ') x.n--;
    return x;
}

static bool same(struct text a, struct text b) {
    return a.n == b.n && !memcmp(a.s, b.s, a.n);
}

/* "name=word", or a word alone, whose label is then called like it. *word: what stands for the
 * label in a prompt. */
static int read_name(struct reader *r, char **word, struct err *e) {
    char *equals = **word ? strchr(*word + 1, '=') : NULL;
    const int k = r->t->n_labels;
    const struct text name =
        trim((struct text){*word, equals ? (size_t)(equals - *word) : strlen(*word)});
    if (equals) *word = equals + 1;
    r->name[k] = name;
    r->named[k] = equals != NULL;
    for (int i = 0; i < k; i++) {
        if (!same(r->name[i], name)) continue;
        if (r->named[i] && r->named[k])
            return err_set(e, ERR_USAGE, "--labels names the label \"%.*s\" twice", (int)name.n,
                           name.s);
        /* " no" and "no" are two words, and neither is a name. */
        if (!r->named[i]) r->name[i].n = 0;
        if (!r->named[k]) r->name[k].n = 0;
    }
    return 0;
}

static int add_word(struct reader *r, char *word, struct err *e) {
    struct task *t = r->t;
    int rc;
    const struct prompt_part *last = r->parts + r->n_parts - 1;
    /* Behind a column stands whatever the table has; a full stop is as good as anything. */
    const struct text before = last->is_column ? (struct text){".", 1} : last->text;
    if (!*word) return err_set(e, ERR_USAGE, "label word %d is empty", t->n_labels);
    if (t->n_labels == CHOICE_MAX)
        return err_set(e, ERR_USAGE, "there are more than %d label words", CHOICE_MAX);
    TRY(read_name(r, &word, e));
    if (!*word) return err_set(e, ERR_USAGE, "label word %d is empty", t->n_labels);
    uint32_t *id = t->answers + t->n_labels;
    TRY(word_token(r, before, (struct text){word, strlen(word)}, id, e));
    for (int k = 0; k < t->n_labels; k++)
        if (t->answers[k] == *id)
            return err_set(e, ERR_USAGE, "the label words \"%s\" and \"%s\" are the same token",
                           t->word[k], word);
    t->word[t->n_labels++] = word;
out:
    return rc;
}

static int read_words(struct reader *r, struct err *e) {
    int rc = 0;
    struct task *t = r->t;
    if (!(t->words = strdup(r->o->labels))) return no_memory(e);
    for (char *w = t->words, *next; w; w = next) {
        if ((next = strchr(w, ','))) *next++ = '\0';
        TRY(add_word(r, w, e));
    }
    if (t->n_labels < 2)
        rc = err_set(e, ERR_USAGE,
                     "the label words are \"%s\"; give two or more, separated by commas",
                     r->o->labels);
out:
    return rc;
}

/* ---- table ----------------------------------------------------------------------------------- */

static int check_utf8(const struct reader *r, struct text line, struct err *e) {
    uint32_t cp;
    for (size_t at = 0, n; at < line.n; at += n)
        if (!(n = utf8_read(line.s + at, line.n - at, &cp)))
            return err_set(e, ERR_INPUT, "%s, line %lld: byte 0x%02x at offset %zu is not UTF-8",
                           r->o->path, (long long)r->line, (uint8_t)line.s[at], at);
    return 0;
}

/* The line break that ends a line of CSV: outside of quotes. */
static const char *csv_end(struct reader *r, const char *s, size_t left) {
    bool quoted = false;
    for (const char *end = s + left; s < end; s++) {
        if (*s == '"') quoted = !quoted;
        if (*s != '\n') continue;
        if (!quoted) return s;
        r->inner++;
    }
    return NULL;
}

static int next_line(struct reader *r, struct text *line, struct err *e) {
    const char *s = r->table + r->at;
    const size_t left = r->bytes - r->at;
    r->line += 1 + r->inner;
    r->inner = 0;
    const char *end = r->csv ? csv_end(r, s, left) : memchr(s, '\n', left);
    *line = (struct text){s, end ? (size_t)(end - s) : left};
    r->at += line->n + (end != NULL);
    if (line->n && s[line->n - 1] == '\r') line->n--;
    return check_utf8(r, *line, e);
}

/* Cuts a line at tabs: the first max fields. Returns how many there are. */
static size_t cut(struct text line, struct text *fields, size_t max) {
    size_t n = 0;
    for (const char *s = line.s, *end = line.s + line.n;; n++) {
        const char *tab = memchr(s, '\t', (size_t)(end - s));
        if (n < max) fields[n] = (struct text){s, (size_t)((tab ? tab : end) - s)};
        if (!tab) return n + 1;
        s = tab + 1;
    }
}

/* One field of CSV (RFC 4180), which begins at *s and ends before a comma or at end; its text goes
 * to out. The bytes of the text, or -1: something stands behind the closing quote, or there is
 * none. */
static int64_t csv_field(const char **s, const char *end, char *out) {
    const char *p = *s;
    int64_t n = 0;
    const bool quoted = p < end && *p == '"';
    bool open = quoted;
    for (p += quoted; p < end && (open || *p != ','); p++) {
        if (quoted && !open) return -1;
        if (quoted && *p == '"' && !(p + 1 < end && p[1] == '"')) {
            open = false;
            continue;
        }
        p += quoted && *p == '"'; /* of two the second */
        out[n++] = *p;
    }
    *s = p;
    return open ? -1 : n;
}

static int cut_csv(struct reader *r, struct text line, size_t max, size_t *found, struct err *e) {
    const char *s = line.s, *end = line.s + line.n;
    size_t used = 0;
    if (grow(&r->cells, &r->cells_cap, line.n + 1, 1)) return no_memory(e);
    for (*found = 0;; s++) {
        const int64_t n = csv_field(&s, end, r->cells + used);
        if (n < 0)
            return err_set(e, ERR_INPUT, "%s, line %lld: the quotes of column %zu do not match",
                           r->o->path, (long long)r->line, *found + 1);
        if (*found < max) r->fields[*found] = (struct text){r->cells + used, (size_t)n};
        used += (size_t)n;
        ++*found;
        if (s == end) return 0;
    }
}

/* The fields of a line: the first max of them, and how many there are. */
static int cut_line(struct reader *r, struct text line, size_t max, size_t *found, struct err *e) {
    if (r->csv) return cut_csv(r, line, max, found, e);
    *found = cut(line, r->fields, max);
    return 0;
}

static int find_column(const struct reader *r, struct text line, struct text name, size_t *column,
                       struct err *e) {
    char a[SHOWN + 4], b[SHOWN + 4];
    for (size_t i = 0; i < r->n_fields; i++)
        if (r->fields[i].n == name.n && !memcmp(r->fields[i].s, name.s, name.n))
            return *column = i, 0;
    return err_set(e, ERR_INPUT, "%s, line 1: there is no column \"%s\"; the header is \"%s\"",
                   r->o->path, show(name, a), show(line, b));
}

static int read_header(struct reader *r, struct err *e) {
    int rc;
    struct text line;
    if (!r->bytes)
        return err_set(e, ERR_INPUT, "%s is empty; a table starts with a line of column names",
                       r->o->path);
    TRY(next_line(r, &line, e));
    r->csv = !memchr(line.s, '\t', line.n) && memchr(line.s, ',', line.n);
    TRY(cut_line(r, line, 0, &r->n_fields, e));
    if (!(r->fields = calloc(r->n_fields, sizeof *r->fields))) return no_memory(e);
    TRY(cut_line(r, line, r->n_fields, &r->n_fields, e));
    TRY(find_column(r, line, (struct text){"label", 5}, &r->label, e));
    for (int i = 0; i < r->n_parts; i++) {
        if (!r->parts[i].is_column) continue;
        TRY(find_column(r, line, r->parts[i].text, &r->parts[i].column, e));
        if (r->parts[i].column == r->label)
            return err_set(e, ERR_USAGE, "the template uses {label}, which is the answer");
    }
out:
    return rc;
}

/* The label called x, among those that have their name from name=word or among the others; -1. */
static int find_name(const struct reader *r, struct text x, bool named) {
    for (int k = 0; k < r->t->n_labels; k++)
        if (x.n && r->named[k] == named && same(r->name[k], x)) return k;
    return -1;
}

/* name=word goes before a number (the numbers of a table may stand for other labels there), a
 * number before a word. */
static int read_label(const struct reader *r, int32_t *label, struct err *e) {
    char shown[SHOWN + 4];
    const struct text x = trim(r->fields[r->label]);
    int32_t value = 0;
    if ((*label = find_name(r, x, true)) >= 0) return 0;
    for (size_t i = 0; i < x.n && value < CHOICE_MAX; i++)
        value = x.s[i] < '0' || x.s[i] > '9' ? CHOICE_MAX : value * 10 + x.s[i] - '0';
    *label = value;
    if (x.n && value < r->t->n_labels) return 0;
    if ((*label = find_name(r, x, false)) >= 0) return 0;
    return err_set(e, ERR_INPUT,
                   "%s, line %lld: label is \"%s\", expected a number from 0 to %d or a name that "
                   "--labels gives to a word: name=word,name=word",
                   r->o->path, (long long)r->line, show(x, shown), r->t->n_labels - 1);
}

/* ---- prompts --------------------------------------------------------------------------------- */

/* Where the parts of one prompt lie in its text. */
struct layout {
    size_t bytes;
    size_t head, tail; /* bytes before the first column; where the last one ends */
};

static int write_prompt(struct reader *r, struct layout *l, struct err *e) {
    bool seen = false;
    *l = (struct layout){0};
    for (int i = 0; i < r->n_parts; i++) {
        const struct prompt_part *p = r->parts + i;
        const struct text x = p->is_column ? trim(r->fields[p->column]) : p->text;
        if (p->is_column && !seen) l->head = l->bytes, seen = true;
        if (grow(&r->prompt, &r->prompt_cap, l->bytes + x.n + 1, 1)) return no_memory(e);
        memcpy(r->prompt + l->bytes, x.s, x.n);
        l->bytes += x.n;
        /* a special token is one where the template says so, never in what a column holds */
        r->ranges[i] = (struct tok_range){l->bytes - (p->is_column ? 0 : x.n), l->bytes};
        if (p->is_column) l->tail = l->bytes;
    }
    return 0;
}

/* Takes tokens out of the prompt that starts at ids[first], down to the limit. */
static int shorten(struct reader *r, size_t first, const struct layout *l, struct err *e) {
    uint32_t *ids = r->ids.ids + first;
    const size_t n = r->ids.n - first, limit = (size_t)r->o->seq;
    const int64_t bos = tokenizer_bos(r->tok);
    const size_t begin = bos >= 0 && ids[0] == (uint32_t)bos;
    size_t head = begin, tail = 0;
    for (size_t i = begin, at = 0, bytes; i < n; i++, at += bytes) {
        tokenizer_piece(r->tok, i ? (int64_t)ids[i - 1] : -1, ids[i], &bytes);
        if (l->head && head == i && at + bytes <= l->head) head++;
        if (at >= l->tail) tail++;
    }
    if (head + tail >= limit)
        return err_set(e, ERR_USAGE,
                       "a sequence of %zu tokens is too short for the template, which alone takes "
                       "%zu",
                       limit, head + tail);
    memmove(ids + head, ids + n - (limit - head), (limit - head) * sizeof *ids);
    r->ids.n = first + limit;
    r->t->shortened++;
    return 0;
}

static int add_example(struct reader *r, struct text line, struct err *e) {
    int rc;
    struct task *t = r->t;
    struct layout l;
    const size_t first = r->ids.n;
    size_t found;
    TRY(cut_line(r, line, r->n_fields, &found, e));
    if (found != r->n_fields)
        return err_set(e, ERR_INPUT, "%s, line %lld: found %zu columns, the header has %zu",
                       r->o->path, (long long)r->line, found, r->n_fields);
    if (grow(&t->label, &r->label_cap, (size_t)t->n + 1, sizeof *t->label) ||
        grow(&t->start, &r->start_cap, (size_t)t->n + 2, sizeof *t->start))
        return no_memory(e);
    TRY(read_label(r, t->label + t->n, e));
    TRY(write_prompt(r, &l, e));
    rc = tokenizer_encode_ranges(r->tok, r->prompt, l.bytes, r->ranges, (size_t)r->n_parts, true,
                                 &r->ids, e);
    if (rc) return err_prefix(e, "%s, line %lld", r->o->path, (long long)r->line);
    const int64_t n = (int64_t)(r->ids.n - first);
    if (n < 1 || n > INT32_MAX)
        return err_set(e, ERR_INPUT, "%s, line %lld: the prompt has %lld tokens", r->o->path,
                       (long long)r->line, (long long)n);
    if (n > t->max_len) t->max_len = n;
    if (r->o->seq && n > r->o->seq) TRY(shorten(r, first, &l, e));
    t->start[t->n++] = (int64_t)first;
    t->start[t->n] = (int64_t)r->ids.n;
out:
    return rc;
}

/* Nothing but line breaks follows, as at the end of many files. */
static bool rest_is_blank(const struct reader *r) {
    for (size_t i = r->at; i < r->bytes; i++)
        if (r->table[i] != '\n' && r->table[i] != '\r') return false;
    return true;
}

static int read_table(struct reader *r, struct err *e) {
    int rc;
    struct text line;
    TRY(read_header(r, e));
    while (r->at < r->bytes) {
        TRY(next_line(r, &line, e));
        if (line.n || !rest_is_blank(r)) TRY(add_example(r, line, e));
    }
    if (!r->t->n)
        rc = err_set(e, ERR_INPUT, "%s has a line of column names, but no examples", r->o->path);
out:
    return rc;
}

static uint64_t hash_of(const struct task *t) {
    const struct {
        const void *data;
        size_t bytes;
    } parts[] = {{t->answers, (size_t)t->n_labels * sizeof *t->answers},
                 {t->start, (size_t)(t->n + 1) * sizeof *t->start},
                 {t->label, (size_t)t->n * sizeof *t->label},
                 {t->ids, (size_t)t->start[t->n] * sizeof *t->ids}};
    uint64_t h = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        h = XXH3_64bits_withSeed(parts[i].data, parts[i].bytes, h);
    return h;
}

int task_open(struct task *t, const struct task_opts *o, const struct tokenizer *tok,
              struct err *e) {
    int rc;
    struct reader r = {.t = t, .o = o, .tok = tok};
    *t = (struct task){0};
    TRY(read_template(&r, e));
    TRY(read_words(&r, e));
    TRY(textin_read_all(o->path, TABLE_MAX, &r.table, &r.bytes, e));
    TRY(read_table(&r, e));
    t->ids = r.ids.ids;
    r.ids.ids = NULL;
    t->T = o->seq && o->seq < t->max_len ? o->seq : t->max_len;
    t->hash = hash_of(t);
    if (!(t->order = malloc((size_t)t->n * sizeof *t->order))) rc = no_memory(e);
out:
    free(r.table);
    free(r.fields);
    free(r.prompt);
    free(r.cells);
    free(r.ids.ids);
    if (rc) task_close(t);
    return rc;
}

void task_close(struct task *t) {
    free(t->words);
    free(t->start);
    free(t->label);
    free(t->ids);
    free(t->order);
    *t = (struct task){0};
}

int task_map(struct task *t, const struct model *m, struct err *e) {
    const int rc = model_map_ids(m, t->answers, t->n_labels, e);
    return rc ? rc : model_map_ids(m, t->ids, t->start[t->n], e);
}

/* ---- batches --------------------------------------------------------------------------------- */

/* Fisher and Yates' shuffle (Knuth, TAOCP vol. 2, algorithm 3.4.2P). */
static void shuffle(struct task *t, uint64_t seed, uint64_t epoch) {
    struct rng rng = rng_make(seed, RNG_SHUFFLE, epoch, 0, 0);
    for (int64_t i = 0; i < t->n; i++) {
        const int64_t k = (int64_t)rng_below(&rng, (uint64_t)i + 1);
        t->order[i] = t->order[k];
        t->order[k] = i;
    }
    t->order_seed = seed;
    t->order_epoch = epoch;
    t->ordered = true;
}

int64_t task_example(struct task *t, uint64_t seed, uint64_t row) {
    const uint64_t n = (uint64_t)t->n, epoch = row / n;
    if (!t->ordered || t->order_seed != seed || t->order_epoch != epoch) shuffle(t, seed, epoch);
    return t->order[row % n];
}

int64_t task_batch_len(struct task *t, uint64_t seed, uint64_t row, int64_t B) {
    int64_t longest = 0;
    for (int64_t b = 0; b < B; b++) {
        const int64_t n = task_len(t, task_example(t, seed, row + (uint64_t)b));
        if (n > longest) longest = n;
    }
    return longest;
}

void task_put(const struct task *t, int64_t example, int64_t T, uint32_t *input, int32_t *pos,
              int32_t *label) {
    const int64_t n = task_len(t, example);
    assert(n <= T);
    memcpy(input, t->ids + t->start[example], (size_t)n * sizeof *input);
    memset(input + n, 0, (size_t)(T - n) * sizeof *input);
    *pos = (int32_t)n - 1;
    *label = t->label[example];
}

void task_fill(struct task *t, uint64_t seed, uint64_t row, int64_t B, int64_t T, uint32_t *input,
               int32_t *pos, int32_t *label) {
    for (int64_t b = 0; b < B; b++)
        task_put(t, task_example(t, seed, row + (uint64_t)b), T, input + b * T, pos + b, label + b);
}
