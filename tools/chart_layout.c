#include "chart_impl.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PAD 14.0           /* at the edges of the picture */
#define PANEL_TITLE 27.0   /* height of a panel's title, which is above it */
#define PANEL_GAP 12.0     /* between panels */
#define PANEL_HEIGHT 320.0 /* of weight 1, if no height is given */
#define GROWN_MOST 2400.0  /* height to which a long legend makes them grow */
#define COLUMN_SHARE 0.42  /* of the width that legends beside the panels may take */
#define ENTRY_GAP 20.0     /* between entries that are side by side */
#define LABEL_HEIGHT 15.0  /* from one label to the next */
#define GRID_GAP 18.0      /* between columns of a grid */
#define GRID_HEIGHT 150.0  /* of its frames, if no height is given */
#define GRID_TICKS 24.0    /* below each of them */

bool chart_drawable(double v, bool log) {
    return fabs(v) <= 1e30 && (!log || v > 0);
}

static void include(double *lo, double *hi, double v, bool log) {
    if (!chart_drawable(v, log)) return;
    *lo = fmin(*lo, v);
    *hi = fmax(*hi, v);
}

/* Some space around, and a range that is not empty. zero: a range near to zero begins there. */
static void widen(double *lo, double *hi, bool log, bool zero) {
    if (*lo > *hi) *lo = log ? 0.1 : 0, *hi = 1;
    if (log) {
        const double k = *hi > *lo ? pow(*hi / *lo, 0.03) : 1.5;
        *lo /= k, *hi *= k;
        return;
    }
    const bool from_zero = zero && *lo >= 0 && *lo <= 0.3 * *hi && *hi > 0;
    double d = *hi - *lo;
    if (d <= 1e-9 * fmax(fabs(*hi), fabs(*lo))) d = *hi == 0 ? 1 : fabs(*hi) * 0.5;
    *hi += (zero ? 0.02 : 0.05) * d;
    *lo = from_zero ? 0 : *lo - (zero ? 0.02 : 0.05) * d;
}

bool chart_log_x(const struct chart *c, size_t k) {
    return c->columns > 0 ? c->panels[k].log_x : c->log_x;
}

double chart_at(double v, double lo, double hi, bool log, double from, double to) {
    return from + (to - from) * (log ? log10(v / lo) / log10(hi / lo) : (v - lo) / (hi - lo));
}

void chart_range_x(const struct chart *c, size_t from, size_t to, double *lo, double *hi) {
    const struct chart_panel *first = &c->panels[from];
    const bool log = chart_log_x(c, from);
    *lo = HUGE_VAL, *hi = -HUGE_VAL;
    for (size_t p = from; p < to; p++)
        for (size_t s = 0; s < c->panels[p].n_series; s++) {
            const struct chart_series *v = &c->panels[p].series[s];
            for (size_t i = 0; i < v->n; i++)
                if (chart_drawable(v->y[i], c->panels[p].log_y)) include(lo, hi, v->x[i], log);
        }
    widen(lo, hi, log, c->columns <= 0);
    if (c->columns > 0 && first->words) *lo = -0.5, *hi = (double)first->n_words - 0.5;
    if (c->columns <= 0 && isfinite(c->x_min)) *lo = c->x_min;
    if (c->columns <= 0 && isfinite(c->x_max)) *hi = c->x_max;
}

/* Error bars widen the range of the values, but not to more than three times. */
void chart_range_y(const struct chart *c, size_t k, double *low, double *high) {
    const struct chart_panel *p = &c->panels[k];
    const bool log_x = chart_log_x(c, k);
    double lo = HUGE_VAL, hi = -HUGE_VAL, f_lo = HUGE_VAL, f_hi = -HUGE_VAL;
    for (size_t s = 0; s < p->n_series; s++) {
        const struct chart_series *v = &p->series[s];
        for (size_t i = 0; i < v->n; i++) {
            if (!chart_drawable(v->x[i], log_x) || !chart_drawable(v->y[i], p->log_y)) continue;
            include(&f_lo, &f_hi, v->y[i], p->log_y);
            if (!v->err || !(v->err[i] > 0)) continue;
            include(&lo, &hi, v->y[i] - v->err[i], p->log_y);
            include(&lo, &hi, v->y[i] + v->err[i], p->log_y);
        }
    }
    if (isfinite(p->max)) f_hi = fmax(fmin(f_hi, p->max), f_lo);
    const double most = p->log_y ? f_hi / f_lo : f_hi - f_lo;
    if (lo <= hi && f_hi > f_lo) {
        lo = fmax(lo, p->log_y ? f_lo / most : f_lo - most);
        hi = fmin(hi, p->log_y ? f_hi * most : f_hi + most);
    }
    if (lo <= hi) f_lo = fmin(f_lo, lo), f_hi = fmax(f_hi, hi);
    if (isfinite(p->min)) f_lo = fmin(p->min, f_hi);
    if (isfinite(p->max)) f_hi = fmax(p->max, f_lo);
    widen(&f_lo, &f_hi, p->log_y, false);
    if (isfinite(p->min) && p->min == 0 && !p->log_y) f_lo = 0;
    *low = f_lo, *high = f_hi;
}

/* The legend above the panels: entries from left to right, in as many lines as it takes. Returns
 * where it ends. */
static double place_row(struct chart_layout *l, const struct chart *c, double y) {
    double x = PAD;
    if (!c->n_row) return y;
    for (size_t i = 0; i < c->n_row; i++) {
        const double most = l->width - 2 * PAD - CHART_SAMPLE - CHART_GAP;
        l->row[i].text = chart_text_fit(c->row[i].name, most / CHART_FONT);
        if (!l->row[i].text) return y;
        const double w = CHART_SAMPLE + CHART_GAP + chart_text_width(l->row[i].text) * CHART_FONT;
        if (x > PAD && x + w > l->width - PAD) x = PAD, y += CHART_LINE_HEIGHT + 2;
        l->row[i].x = x;
        l->row[i].y = y + CHART_LINE_HEIGHT / 2;
        x += w + ENTRY_GAP;
    }
    return y + CHART_LINE_HEIGHT + 4;
}

/* The legend beside the panels: how wide an entry is at most, and the texts. */
static double column_width(struct chart_layout *l, const struct chart *c) {
    const double most = COLUMN_SHARE * l->width - CHART_SAMPLE - CHART_GAP - ENTRY_GAP;
    double widest = 0;
    for (size_t i = 0; i < c->n_column; i++) {
        l->column[i].text = chart_text_fit(c->column[i].name, most / CHART_FONT);
        if (!l->column[i].text) return 0;
        widest = fmax(widest, chart_text_width(l->column[i].text));
    }
    return CHART_SAMPLE + CHART_GAP + ENTRY_GAP + widest * CHART_FONT;
}

/* In how many columns beside each other: as few as the height allows, and at most what the width
 * does. */
static size_t columns_of(const struct chart_layout *l, const struct chart *c, double width,
                         double height) {
    const size_t most = (size_t)fmax(1, COLUMN_SHARE * l->width / width);
    for (size_t k = 1; k < most; k++)
        if ((double)((c->n_column + k - 1) / k) * CHART_LINE_HEIGHT <= height) return k;
    return most;
}

static int place_column(struct chart_layout *l, const struct chart *c, double top, double bottom,
                        double width, size_t columns, struct err *e) {
    size_t rows = (c->n_column + columns - 1) / columns;
    const size_t room = (size_t)fmax(1, floor((bottom - top + 4) / CHART_LINE_HEIGHT));
    l->n_column = c->n_column;
    if (rows > room) {
        rows = room;
        l->n_column = rows * columns;
        char more[64];
        snprintf(more, sizeof more, "and %zu more", c->n_column - l->n_column + 1);
        free(l->column[l->n_column - 1].text);
        l->column[l->n_column - 1].text = chart_text_fit(more, 1e9);
        if (!l->column[l->n_column - 1].text)
            return err_set(e, ERR_NOMEM, "no memory for a legend");
    }
    for (size_t i = 0; i < l->n_column; i++) {
        l->column[i].x = l->right + ENTRY_GAP + width * (double)(i / rows);
        l->column[i].y = top + CHART_LINE_HEIGHT * ((double)(i % rows) + 0.5) - 4;
    }
    return 0;
}

/* Tops and bottoms of the frames between two heights, by weight. */
static void place_frames(struct chart_layout *l, const struct chart *c, double top, double bottom) {
    double weights = 0;
    for (size_t p = 0; p < c->n_panels; p++) weights += c->panels[p].weight;
    const double titles = PANEL_TITLE * (double)c->n_panels;
    const double all = bottom - top - titles - PANEL_GAP * (double)(c->n_panels - 1);
    for (size_t p = 0; p < c->n_panels; p++) {
        l->frame[p].top = top + PANEL_TITLE;
        l->frame[p].bottom = l->frame[p].top + all * c->panels[p].weight / weights;
        l->frame[p].title_x = PAD;
        top = l->frame[p].bottom + PANEL_GAP;
    }
}

static size_t grid_rows(const struct chart *c) {
    return (c->n_panels + (size_t)c->columns - 1) / (size_t)c->columns;
}

/* The frames of a grid: also from left to right, but for the room of ticks at the left. */
static void place_grid(struct chart_layout *l, const struct chart *c, double top, double bottom) {
    const size_t columns = (size_t)c->columns, rows = grid_rows(c);
    const double width = (l->width - 2 * PAD - GRID_GAP * (double)(columns - 1)) / (double)columns;
    const double height = (bottom - top - PANEL_GAP * (double)(rows - 1)) / (double)rows;
    for (size_t p = 0; p < c->n_panels; p++) {
        struct chart_frame *f = &l->frame[p];
        const double y = top + (double)(p / columns) * (height + PANEL_GAP);
        f->top = y + PANEL_TITLE;
        f->bottom = y + height - GRID_TICKS;
        f->title_x = f->left = PAD + (double)(p % columns) * (width + GRID_GAP);
        f->right = floor(f->left + width);
    }
}

/* The smallest step of 1, 2, 5, 10, ... whose texts stay apart. */
void chart_whole_ticks(struct chart_ticks *t, double lo, double hi, double pixels, double em) {
    static const double round_steps[] = {1, 2, 5};
    t->n = 0;
    for (int k = 0; k < 60 && !t->n && hi > lo; k++) {
        const double step = round_steps[k % 3] * pow(10, k / 3);
        const double first = ceil(lo / step), last = floor(hi / step);
        char text[24];
        chart_text_number(text, last * step, 0);
        if (last - first >= CHART_TICKS_MAX ||
            step * pixels / (hi - lo) < (chart_text_width(text) + 1) * em)
            continue;
        for (double i = first; i <= last; i++) {
            t->at[t->n] = i * step;
            chart_text_number(t->text[t->n++], i * step, 0);
        }
        if (!t->n) return;
    }
}

void chart_word_ticks(struct chart_ticks *t, const struct chart_panel *p, double pixels,
                      double em) {
    double widest = 0;
    for (size_t i = 0; i < p->n_words; i++) widest = fmax(widest, chart_text_width(p->words[i]));
    const double room = pixels / (double)p->n_words; /* of each */
    const size_t every = (size_t)fmax(1, ceil(fmin(widest * em + em, 12 * em) / fmax(1, room)));
    t->n = 0;
    for (size_t i = 0; i < p->n_words && t->n < CHART_TICKS_MAX; i += every) {
        char *text = chart_text_fit(p->words[i], fmin(11, (double)every * room / em));
        /* What is cut to fit may still be longer than a tick's text: of wide letters only. */
        if (text && strlen(text) < sizeof t->text[0]) {
            t->at[t->n] = (double)i;
            strcpy(t->text[t->n++], text);
        }
        free(text);
    }
}

static void whole_ticks(struct chart_ticks *t) {
    int n = 0;
    for (int i = 0; i < t->n; i++) {
        if (fabs(t->at[i] - round(t->at[i])) > 1e-9) continue;
        t->at[n] = t->at[i];
        chart_text_number(t->text[n++], t->at[i], 0);
    }
    t->n = n;
}

static double widest_tick(const struct chart_ticks *t) {
    double widest = 0;
    for (int i = 0; i < t->n; i++) widest = fmax(widest, chart_text_width(t->text[i]));
    return widest;
}

static void place_x(struct chart_layout *l, const struct chart *c, size_t k) {
    struct chart_frame *f = &l->frame[k];
    const struct chart_panel *p = &c->panels[k];
    const bool grid = c->columns > 0;
    chart_range_x(c, grid ? k : 0, grid ? k + 1 : c->n_panels, &f->x_lo, &f->x_hi);
    if (grid && p->words) {
        chart_word_ticks(&f->x_ticks, p, f->right - f->left, CHART_FONT);
        return;
    }
    if (grid && p->whole_x) {
        chart_whole_ticks(&f->x_ticks, f->x_lo, f->x_hi, f->right - f->left, CHART_FONT);
        return;
    }
    chart_ticks(&f->x_ticks, f->x_lo, f->x_hi, f->right - f->left, CHART_FONT, true,
                chart_log_x(c, k));
    if (!grid && c->whole_x) whole_ticks(&f->x_ticks);
}

static void place_ticks(struct chart_layout *l, const struct chart *c, double column) {
    double widest = 0;
    for (size_t p = 0; p < c->n_panels; p++) {
        struct chart_frame *f = &l->frame[p];
        chart_range_y(c, p, &f->lo, &f->hi);
        chart_ticks(&f->ticks, f->lo, f->hi, f->bottom - f->top, CHART_FONT, false,
                    c->panels[p].log_y);
        widest = fmax(widest, widest_tick(&f->ticks));
    }
    l->left = ceil(PAD + 8 + widest * CHART_FONT);
    l->right = floor(l->width - (column > 0 ? column + PAD : 2 * PAD));
    for (size_t p = 0; p < c->n_panels; p++) {
        struct chart_frame *f = &l->frame[p];
        if (c->columns > 0)
            f->left = ceil(f->left + 8 + widest * CHART_FONT);
        else
            f->left = l->left, f->right = l->right;
        place_x(l, c, p);
    }
}

/* The labels beside the panels ----------------------------------------------------------------- */

/* How wide they are, and their texts. */
static double label_width(struct chart_layout *l, const struct chart *c) {
    const double most = COLUMN_SHARE * l->width - CHART_LEADER;
    double widest = 0;
    for (size_t i = 0; i < c->n_labels; i++) {
        l->label[i].text = chart_text_fit(c->labels[i].text, most / CHART_FONT);
        if (!l->label[i].text) return 0;
        widest = fmax(widest, chart_text_width(l->label[i].text));
    }
    return c->n_labels ? CHART_LEADER + widest * CHART_FONT : 0;
}

/* Numbers of the labels from the top to the bottom of their points. */
static void order_labels(const struct chart_layout *l, size_t *order, size_t n) {
    for (size_t i = 1; i < n; i++)
        for (size_t k = i; k && l->label_y[order[k]] < l->label_y[order[k - 1]]; k--) {
            const size_t t = order[k];
            order[k] = order[k - 1], order[k - 1] = t;
        }
}

/* Each as near to the height of its point as those above and below allow. */
static int place_labels(struct chart_layout *l, const struct chart *c, struct err *e) {
    const struct chart_frame *f = &l->frame[0];
    const double top = f->top + LABEL_HEIGHT / 2, bottom = f->bottom;
    const size_t room = (size_t)fmax(1, 1 + floor((bottom - top) / LABEL_HEIGHT));
    const size_t out = c->n_labels > room ? c->n_labels - room : 0, n = c->n_labels - out;
    size_t *order = malloc((n + 1) * sizeof *order);
    if (!order) return err_set(e, ERR_NOMEM, "no memory for the labels of a picture");
    for (size_t i = 0; i < c->n_labels; i++) {
        l->label_y[i] =
            fmin(fmax(chart_at(c->labels[i].y, f->lo, f->hi, c->panels[0].log_y, f->bottom, f->top),
                      f->top),
                 f->bottom);
        l->label[i].x = f->right + CHART_LEADER;
        if (i >= out)
            order[i - out] = i;
        else
            free(l->label[i].text), l->label[i].text = NULL;
    }
    order_labels(l, order, n);
    double last = top - LABEL_HEIGHT;
    for (size_t i = 0; i < n; i++)
        l->label[order[i]].y = last = fmax(l->label_y[order[i]], last + LABEL_HEIGHT);
    last = bottom + LABEL_HEIGHT;
    for (size_t i = n; i--;)
        l->label[order[i]].y = last = fmin(l->label[order[i]].y, last - LABEL_HEIGHT);
    free(order);
    return 0;
}

/* The whole ------------------------------------------------------------------------------------ */

static double auto_height(const struct chart *c) {
    double h = 0;
    if (c->columns > 0)
        return (double)grid_rows(c) * (GRID_HEIGHT + PANEL_TITLE + GRID_TICKS + PANEL_GAP) -
               PANEL_GAP;
    for (size_t p = 0; p < c->n_panels; p++) h += PANEL_HEIGHT * c->panels[p].weight + PANEL_TITLE;
    return h + PANEL_GAP * (double)(c->n_panels - 1);
}

static int fit(char **to, const char *text, double pixels, double font, struct err *e) {
    if (!text) return 0;
    *to = chart_text_fit(text, pixels / font);
    return *to ? 0 : err_set(e, ERR_NOMEM, "no memory for the texts of a picture");
}

static int place_texts(struct chart_layout *l, const struct chart *c, struct err *e) {
    const double all = l->width - 2 * PAD;
    int rc = 0;
    TRY(fit(&l->title, c->title, all, CHART_FONT_TITLE, e));
    TRY(fit(&l->note, c->note, all, CHART_FONT, e));
    if (c->columns <= 0) TRY(fit(&l->x_title, c->x_title, l->right - l->left, CHART_FONT_AXIS, e));
    for (size_t p = 0; p < c->n_panels; p++)
        TRY(fit(&l->panel_title[p], c->panels[p].title, l->frame[p].right - l->frame[p].title_x,
                CHART_FONT_AXIS, e));
out:
    return rc;
}

static bool texts_are_there(const struct chart_layout *l, const struct chart *c) {
    for (size_t i = 0; i < c->n_row; i++)
        if (!l->row[i].text) return false;
    for (size_t i = 0; i < c->n_column; i++)
        if (!l->column[i].text) return false;
    for (size_t i = 0; i < c->n_labels; i++)
        if (!l->label[i].text) return false;
    return true;
}

/* The height of all panels, where none is given: grown for what stands beside them. */
static double inner_height(const struct chart *c, size_t columns) {
    double inner = auto_height(c);
    if (columns) {
        const size_t rows = (c->n_column + columns - 1) / columns;
        const double wanted = PANEL_TITLE + (double)rows * CHART_LINE_HEIGHT;
        inner = fmax(inner, fmin(wanted, GROWN_MOST));
    }
    if (c->n_labels)
        inner = fmax(inner, fmin(PANEL_TITLE + (double)c->n_labels * LABEL_HEIGHT, GROWN_MOST));
    return inner;
}

int chart_layout(struct chart_layout *l, const struct chart *c, struct err *e) {
    assert(c->n_panels >= 1 && c->n_panels <= CHART_MAX_PANELS);
    assert(!c->n_labels || (!c->n_column && c->columns <= 0));
    int rc = 0;
    *l = (struct chart_layout){.width = c->width, .height = c->height};
    l->row = calloc(c->n_row + 1, sizeof *l->row);
    l->column = calloc(c->n_column + 1, sizeof *l->column);
    l->label = calloc(c->n_labels + 1, sizeof *l->label);
    l->label_y = calloc(c->n_labels + 1, sizeof *l->label_y);
    if (!l->row || !l->column || !l->label || !l->label_y)
        return err_set(e, ERR_NOMEM, "no memory for a legend");
    double top = PAD;
    if (c->title) l->title_y = top + CHART_FONT_TITLE / 2, top += CHART_FONT_TITLE + 12;
    top = place_row(l, c, top);
    const double below = (c->columns > 0 ? 0 : 42) + (c->note ? CHART_LINE_HEIGHT : 0) + 8;
    const double width = c->n_column ? column_width(l, c) : label_width(l, c);
    if (!texts_are_there(l, c)) return err_set(e, ERR_NOMEM, "no memory for a legend");
    const double given = c->height ? c->height - top - below : auto_height(c);
    const size_t columns = c->n_column ? columns_of(l, c, width, given - PANEL_TITLE) : 0;
    const double inner = c->height ? given : inner_height(c, columns);
    l->height = ceil(top + inner + below);
    if (c->height) l->height = c->height;
    if (c->columns > 0)
        place_grid(l, c, top, top + inner);
    else
        place_frames(l, c, top, top + inner);
    place_ticks(l, c, width * (double)(c->n_column ? columns : 1));
    const double bottom = top + inner;
    l->x_title_y = bottom + 35;
    l->note_y = bottom + (c->columns > 0 ? 0 : 36) + (c->columns > 0 ? 10 : CHART_LINE_HEIGHT);
    if (columns) TRY(place_column(l, c, l->frame[0].top, bottom, width, columns, e));
    if (c->n_labels) TRY(place_labels(l, c, e));
    TRY(place_texts(l, c, e));
out:
    return rc;
}

void chart_layout_release(struct chart_layout *l, const struct chart *c) {
    for (size_t i = 0; l->row && i < c->n_row; i++) free(l->row[i].text);
    for (size_t i = 0; l->column && i < c->n_column; i++) free(l->column[i].text);
    for (size_t i = 0; l->label && i < c->n_labels; i++) free(l->label[i].text);
    for (size_t p = 0; p < CHART_MAX_PANELS; p++) free(l->panel_title[p]);
    free(l->row);
    free(l->column);
    free(l->label);
    free(l->label_y);
    free(l->title);
    free(l->x_title);
    free(l->note);
}
