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

static void range_x(struct chart_layout *l, const struct chart *c) {
    l->lo = HUGE_VAL, l->hi = -HUGE_VAL;
    for (size_t p = 0; p < c->n_panels; p++)
        for (size_t s = 0; s < c->panels[p].n_series; s++) {
            const struct chart_series *v = &c->panels[p].series[s];
            for (size_t i = 0; i < v->n; i++)
                if (chart_drawable(v->y[i], c->panels[p].log_y))
                    include(&l->lo, &l->hi, v->x[i], c->log_x);
        }
    widen(&l->lo, &l->hi, c->log_x, true);
    if (isfinite(c->x_min)) l->lo = c->x_min;
    if (isfinite(c->x_max)) l->hi = c->x_max;
}

/* Error bars widen the range of the values, but not to more than three times. */
static void range_y(struct chart_frame *f, const struct chart_panel *p, bool log_x) {
    double lo = HUGE_VAL, hi = -HUGE_VAL;
    f->lo = HUGE_VAL, f->hi = -HUGE_VAL;
    for (size_t s = 0; s < p->n_series; s++) {
        const struct chart_series *v = &p->series[s];
        for (size_t i = 0; i < v->n; i++) {
            if (!chart_drawable(v->x[i], log_x) || !chart_drawable(v->y[i], p->log_y)) continue;
            include(&f->lo, &f->hi, v->y[i], p->log_y);
            if (!v->err || !(v->err[i] > 0)) continue;
            include(&lo, &hi, v->y[i] - v->err[i], p->log_y);
            include(&lo, &hi, v->y[i] + v->err[i], p->log_y);
        }
    }
    if (isfinite(p->max)) f->hi = fmax(fmin(f->hi, p->max), f->lo);
    const double most = p->log_y ? f->hi / f->lo : f->hi - f->lo;
    if (lo <= hi && f->hi > f->lo) {
        lo = fmax(lo, p->log_y ? f->lo / most : f->lo - most);
        hi = fmin(hi, p->log_y ? f->hi * most : f->hi + most);
    }
    if (lo <= hi) f->lo = fmin(f->lo, lo), f->hi = fmax(f->hi, hi);
    if (isfinite(p->min)) f->lo = fmin(p->min, f->hi);
    if (isfinite(p->max)) f->hi = fmax(p->max, f->lo);
    widen(&f->lo, &f->hi, p->log_y, false);
    if (isfinite(p->min) && p->min == 0 && !p->log_y) f->lo = 0;
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
        top = l->frame[p].bottom + PANEL_GAP;
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

static void place_ticks(struct chart_layout *l, const struct chart *c, double column) {
    double widest = 0;
    for (size_t p = 0; p < c->n_panels; p++) {
        struct chart_frame *f = &l->frame[p];
        range_y(f, &c->panels[p], c->log_x);
        chart_ticks(&f->ticks, f->lo, f->hi, f->bottom - f->top, CHART_FONT, false,
                    c->panels[p].log_y);
        for (int i = 0; i < f->ticks.n; i++)
            widest = fmax(widest, chart_text_width(f->ticks.text[i]));
    }
    l->left = ceil(PAD + 8 + widest * CHART_FONT);
    l->right = floor(l->width - (column > 0 ? column + PAD : 2 * PAD));
    range_x(l, c);
    chart_ticks(&l->ticks, l->lo, l->hi, l->right - l->left, CHART_FONT, true, c->log_x);
    if (c->whole_x) whole_ticks(&l->ticks);
}

static double auto_height(const struct chart *c) {
    double h = 0;
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
    TRY(fit(&l->x_title, c->x_title, l->right - l->left, CHART_FONT_AXIS, e));
    for (size_t p = 0; p < c->n_panels; p++)
        TRY(fit(&l->panel_title[p], c->panels[p].title, l->right - PAD, CHART_FONT_AXIS, e));
out:
    return rc;
}

int chart_layout(struct chart_layout *l, const struct chart *c, struct err *e) {
    assert(c->n_panels >= 1 && c->n_panels <= CHART_MAX_PANELS);
    int rc = 0;
    *l = (struct chart_layout){.width = c->width, .height = c->height};
    l->row = calloc(c->n_row + 1, sizeof *l->row);
    l->column = calloc(c->n_column + 1, sizeof *l->column);
    if (!l->row || !l->column) return err_set(e, ERR_NOMEM, "no memory for a legend");
    double top = PAD;
    if (c->title) l->title_y = top + CHART_FONT_TITLE / 2, top += CHART_FONT_TITLE + 12;
    top = place_row(l, c, top);
    const double below = 42 + (c->note ? CHART_LINE_HEIGHT : 0) + 8;
    const double width = c->n_column ? column_width(l, c) : 0;
    for (size_t i = 0; i < c->n_row + c->n_column; i++)
        if (!(i < c->n_row ? l->row[i].text : l->column[i - c->n_row].text))
            return err_set(e, ERR_NOMEM, "no memory for a legend");
    double inner = c->height ? c->height - top - below : auto_height(c);
    size_t columns = 0;
    if (c->n_column) {
        columns = columns_of(l, c, width, inner - PANEL_TITLE);
        const size_t rows = (c->n_column + columns - 1) / columns;
        const double wanted = PANEL_TITLE + (double)rows * CHART_LINE_HEIGHT;
        if (!c->height) inner = fmax(inner, fmin(wanted, GROWN_MOST));
    }
    l->height = ceil(top + inner + below);
    if (c->height) l->height = c->height;
    place_frames(l, c, top, top + inner);
    place_ticks(l, c, width * (double)columns);
    const double bottom = top + inner;
    l->x_ticks_y = bottom + 16;
    l->x_title_y = bottom + 35;
    l->note_y = bottom + 36 + CHART_LINE_HEIGHT;
    if (columns) TRY(place_column(l, c, l->frame[0].top, bottom, width, columns, e));
    TRY(place_texts(l, c, e));
out:
    return rc;
}

void chart_layout_release(struct chart_layout *l, const struct chart *c) {
    for (size_t i = 0; l->row && i < c->n_row; i++) free(l->row[i].text);
    for (size_t i = 0; l->column && i < c->n_column; i++) free(l->column[i].text);
    for (size_t p = 0; p < CHART_MAX_PANELS; p++) free(l->panel_title[p]);
    free(l->row);
    free(l->column);
    free(l->title);
    free(l->x_title);
    free(l->note);
}
