/* The drawing calls: a laid-out chart as a script of gnuplot. */
#include "chart.h"
#include "chart_impl.h"
#include "file.h"
#include "gnuplot.h"

#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* ---- colours ----------------------------------------------------------------------------------
 * Those of series are Okabe and Ito's (jfly.uni-koeln.de/color), without yellow, the light ones a
 * little darker on white and the dark ones lighter on black. All of one list differ, so that the
 * colours of an SVG can be exchanged. */
#define HUES 7
enum {
    BACK,
    INK,
    MUTED,
    AXIS,
    GRID,
    SERIES,
    GREY = SERIES + HUES,
    PALE,
    BANDS = PALE + HUES + 1,
    N_COLORS = BANDS + HUES + 1
};

static const uint32_t light[PALE] = {0xffffff, 0x1f2328, 0x57606a, 0x8c959f, 0xe7e9ec,
                                     0x0072b2, 0xd55e00, 0x009e73, 0xb5579a, 0xcf8f00,
                                     0x3fa3dd, 0x2b2b2b, 0x6e7781};
static const uint32_t dark[PALE] = {0x0d1117, 0xe6edf3, 0x9ea7b3, 0x6e7681, 0x262c34,
                                    0x4a9de0, 0xff7f2a, 0x2ec69b, 0xe08cc6, 0xf0b43c,
                                    0x9bd8ff, 0xdcdcdc, 0x8b949e};

/* So many hundredths of a colour, the rest of the background. */
static uint32_t mix(uint32_t color, uint32_t back, uint32_t share) {
    uint32_t c = 0;
    for (int shift = 0; shift < 24; shift += 8)
        c |= ((color >> shift & 255) * share + (back >> shift & 255) * (100 - share)) / 100
             << shift;
    return c;
}

/* Training curves are about halfway to the background, bands nearer to it. */
static void theme_colors(uint32_t color[N_COLORS], bool is_dark) {
    memcpy(color, is_dark ? dark : light, sizeof light);
    for (int i = 0; i <= HUES; i++) {
        const uint32_t c = color[SERIES + i], back = color[BACK];
        color[PALE + i] = mix(c, back, is_dark ? 62 : 48);
        color[BANDS + i] = mix(c, back, is_dark ? 30 : 18);
    }
}

struct pen {
    FILE *out;
    const struct chart *c;
    struct chart_layout l;
    uint32_t color[N_COLORS];
    bool svg;
    double font_scale; /* of the kind of picture */
    int blocks;        /* of data so far */
};

static int hue(int style) {
    return style < 0 ? HUES : style % HUES;
}

/* Filled marks first; 11 and 7 have no common factor, so colour and mark together repeat late. */
static int mark(int style) {
    static const int marks[] = {7, 5, 9, 13, 11, 15, 6, 4, 8, 12, 10};
    return style < 0 ? 7 : marks[(size_t)style % (sizeof marks / sizeof *marks)];
}

static const char *dashes(const struct chart_series *s) {
    static const char *const kinds[] = {"1", "(8,4)", "(2,3)", "(9,3,2,3)"};
    return s->style < 0 ? "1" : kinds[s->style / HUES % 4];
}

/* ---- texts and lines at places of the picture ---------------------------------------------- */

static double sx(const struct pen *p, double x) {
    return x / p->l.width;
}
static double sy(const struct pen *p, double y) {
    return 1 - y / p->l.height;
}

static void text(struct pen *p, double x, double y, const char *align, double size, int color,
                 const char *s) {
    if (!s || !*s) return;
    char *common = p->svg ? NULL : strdup(s);
    if (common) chart_text_common(common);
    fputs("set label ", p->out);
    chart_text_quote(p->out, common ? common : s, p->svg);
    free(common);
    fprintf(p->out,
            " at screen %.6f,%.6f %s noenhanced front font \",%.2f\" tc rgb \"#%06" PRIx32 "\"\n",
            sx(p, x), sy(p, y), align, size * p->font_scale, p->color[color]);
}

static void segment(struct pen *p, double x0, double y0, double x1, double y1, int color,
                    double width, const char *dash) {
    fprintf(p->out,
            "set arrow from screen %.6f,%.6f to screen %.6f,%.6f nohead lc rgb \"#%06" PRIx32
            "\" lw %.2f dt %s\n",
            sx(p, x0), sy(p, y0), sx(p, x1), sy(p, y1), p->color[color], width, dash);
}

static void symbol(struct pen *p, double x, double y, int point, double size, int color) {
    fprintf(p->out,
            "set label \"\" at screen %.6f,%.6f point pt %d ps %.2f lw 1.5 lc rgb \"#%06" PRIx32
            "\"\n",
            sx(p, x), sy(p, y), point, size, p->color[color]);
}

#define WIDTH 1.8 /* of the lines of series */
#define WIDTH_THIN 1.1
#define MARK 0.75
#define SCATTER 0.6
#define RING 1.35
#define LEVEL_DASH "(12,8)"

/* The mark of a kind, and how large it is. */
static int mark_of(enum chart_kind kind, int style, double *size) {
    *size = kind == CHART_RING ? RING : kind == CHART_SCATTER && style < 0 ? SCATTER : MARK;
    return kind == CHART_RING      ? 6
           : kind == CHART_SCATTER ? 7
           : kind == CHART_CROSSES ? 2
                                   : mark(style);
}

/* Grey dots are pale: there are many, and what is among them matters. */
static int color_of(enum chart_kind kind, int style) {
    return kind == CHART_RING                   ? INK
           : kind == CHART_SCATTER && style < 0 ? PALE + hue(style)
                                                : SERIES + hue(style);
}

static void sample(struct pen *p, const struct chart_key *k, double x, double y) {
    const struct chart_series s = {.kind = k->kind, .style = k->style};
    const double end = x + CHART_SAMPLE, middle = x + CHART_SAMPLE / 2;
    const int color = SERIES + hue(k->style);
    double size;
    const int point = mark_of(k->kind, k->style, &size);
    if (k->kind == CHART_POINTS || k->kind == CHART_LINE || k->kind == CHART_STEPS)
        segment(p, x, y, end, y, color, WIDTH, dashes(&s));
    if (k->kind == CHART_THIN) segment(p, x, y, end, y, PALE + hue(k->style), WIDTH_THIN, "1");
    if (k->kind == CHART_DASHED) segment(p, x, y, end, y, color, 1.2, LEVEL_DASH);
    if (k->kind == CHART_BAND) segment(p, x, y, end, y, BANDS + hue(k->style), 9, "1");
    if (k->kind == CHART_POINTS || k->kind == CHART_DOTS || k->kind == CHART_SCATTER ||
        k->kind == CHART_CROSSES || k->kind == CHART_RING)
        symbol(p, middle, y, point, size, color_of(k->kind, k->style));
}

static void legends(struct pen *p) {
    const struct chart *c = p->c;
    const struct chart_layout *l = &p->l;
    for (size_t i = 0; i < c->n_row; i++) {
        sample(p, &c->row[i], l->row[i].x, l->row[i].y);
        text(p, l->row[i].x + CHART_SAMPLE + CHART_GAP, l->row[i].y, "left", CHART_FONT, INK,
             l->row[i].text);
    }
    for (size_t i = 0; i < l->n_column; i++) {
        const bool more = i + 1 == l->n_column && l->n_column < c->n_column;
        if (!more) sample(p, &c->column[i], l->column[i].x, l->column[i].y);
        text(p, l->column[i].x + CHART_SAMPLE + CHART_GAP, l->column[i].y, "left", CHART_FONT,
             more ? MUTED : INK, l->column[i].text);
    }
}

/* A line from each label's point to the end of the frame, and from there to the text. */
static void labels(struct pen *p) {
    const struct chart_layout *l = &p->l;
    const struct chart_frame *f = &l->frame[0];
    for (size_t i = 0; i < p->c->n_labels; i++) {
        if (!l->label[i].text) continue;
        const double x =
            chart_at(p->c->labels[i].x, f->x_lo, f->x_hi, chart_log_x(p->c, 0), f->left, f->right);
        segment(p, x, l->label_y[i], f->right, l->label_y[i], AXIS, 0.6, "(2,4)");
        segment(p, f->right, l->label_y[i], f->right + CHART_LEADER - 4, l->label[i].y, AXIS, 0.6,
                "1");
        text(p, l->label[i].x, l->label[i].y, "left", CHART_FONT, INK, l->label[i].text);
    }
}

/* ---- axes ---------------------------------------------------------------------------------- */

/* Those of x stand below the lowest panel, or below each one of a grid. */
static void tick_texts(struct pen *p) {
    for (size_t k = 0; k < p->c->n_panels; k++) {
        const struct chart_frame *f = &p->l.frame[k];
        for (int i = 0; i < f->ticks.n; i++)
            text(p, f->left - 8,
                 chart_at(f->ticks.at[i], f->lo, f->hi, p->c->panels[k].log_y, f->bottom, f->top),
                 "right", CHART_FONT, MUTED, f->ticks.text[i]);
        if (p->c->columns <= 0 && k + 1 < p->c->n_panels) continue;
        for (int i = 0; i < f->x_ticks.n; i++)
            text(p,
                 chart_at(f->x_ticks.at[i], f->x_lo, f->x_hi, chart_log_x(p->c, k), f->left,
                          f->right),
                 f->bottom + (p->c->columns > 0 ? 12 : 16), "center", CHART_FONT, MUTED,
                 f->x_ticks.text[i]);
    }
}

static void tick_marks(struct pen *p, const char *axis, const struct chart_ticks *t) {
    fprintf(p->out, "set %stics scale 0.5 nomirror (", axis);
    for (int i = 0; i < t->n; i++) fprintf(p->out, "%s\"\" %.17g", i ? "," : "", t->at[i]);
    fputs(")\n", p->out);
    if (!t->n) fprintf(p->out, "unset %stics\n", axis);
}

static void axes(struct pen *p, size_t k) {
    const struct chart_frame *f = &p->l.frame[k];
    fprintf(p->out, "set lmargin at screen %.6f\nset rmargin at screen %.6f\n", sx(p, f->left),
            sx(p, f->right));
    fprintf(p->out, "set tmargin at screen %.6f\nset bmargin at screen %.6f\n", sy(p, f->top),
            sy(p, f->bottom));
    fprintf(p->out, "%s logscale x\n%s logscale y\n", chart_log_x(p->c, k) ? "set" : "unset",
            p->c->panels[k].log_y ? "set" : "unset");
    fprintf(p->out, "set xrange [%.17g:%.17g]\nset yrange [%.17g:%.17g]\n", f->x_lo, f->x_hi, f->lo,
            f->hi);
    tick_marks(p, "x", &f->x_ticks);
    tick_marks(p, "y", &f->ticks);
    fprintf(p->out,
            "set border 3 lc rgb \"#%06" PRIx32 "\" lw 1\nset grid ytics lt 1 lc rgb \"#%06" PRIx32
            "\" lw 1 dt solid\n",
            p->color[AXIS], p->color[GRID]);
}

/* ---- series -------------------------------------------------------------------------------- */

/* Marks closer together than this are thinned out, with their bars. */
#define MARK_DISTANCE 7.0

struct drawn { /* a series within its panel */
    const struct chart_series *s;
    bool log_x, log_y;
    double lo, hi; /* of y */
    size_t every;  /* of its points has a mark, and the last one */
};

static bool drawn_is(const struct drawn *d, size_t i) {
    return chart_drawable(d->s->x[i], d->log_x) && chart_drawable(d->s->y[i], d->log_y);
}

static void open_block(struct pen *p) {
    fprintf(p->out, "$d%d << EOD\n", ++p->blocks);
}

/* An empty line interrupts a line. */
static void block_line(struct pen *p, const struct drawn *d) {
    bool open = false;
    open_block(p);
    for (size_t i = 0; i < d->s->n; i++) {
        if (drawn_is(d, i))
            fprintf(p->out, "%.10g %.10g\n", d->s->x[i], d->s->y[i]), open = true;
        else if (open)
            fputc('\n', p->out), open = false;
    }
    fputs("EOD\n", p->out);
}

static bool has_mark(const struct drawn *d, size_t i) {
    return drawn_is(d, i) && d->s->y[i] >= d->lo && d->s->y[i] <= d->hi &&
           (i % d->every == 0 || i + 1 == d->s->n);
}

static void block_marks(struct pen *p, const struct drawn *d) {
    open_block(p);
    for (size_t i = 0; i < d->s->n; i++)
        if (has_mark(d, i)) fprintf(p->out, "%.10g %.10g\n", d->s->x[i], d->s->y[i]);
    fputs("EOD\n", p->out);
}

/* x, lower end, upper end of bars (bands: of every point) within the panel. */
static void block_bars(struct pen *p, const struct drawn *d, bool band) {
    bool open = false;
    open_block(p);
    for (size_t i = 0; i < d->s->n; i++) {
        const double err = d->s->err ? d->s->err[i] : NAN;
        const bool is = err > 0 && (band ? drawn_is(d, i) : has_mark(d, i));
        if (!is && band && open) fputc('\n', p->out); /* interrupts a band */
        open = is;
        if (!is) continue;
        const double lo = fmin(fmax(d->s->y[i] - err, d->lo), d->hi);
        const double hi = fmax(fmin(d->s->y[i] + err, d->hi), d->lo);
        fprintf(p->out, "%.10g %.10g %.10g\n", d->s->x[i], lo, hi);
    }
    fputs("EOD\n", p->out);
}

static bool any_drawn(const struct drawn *d, bool bars) {
    for (size_t i = 0; i < d->s->n; i++)
        if (drawn_is(d, i) && (!bars || (d->s->err && d->s->err[i] > 0 && has_mark(d, i))))
            return true;
    return false;
}

static bool any_mark(const struct drawn *d) {
    for (size_t i = 0; i < d->s->n; i++)
        if (has_mark(d, i)) return true;
    return false;
}

static struct drawn drawn_of(const struct pen *p, size_t k, const struct chart_series *s) {
    const struct chart_frame *f = &p->l.frame[k];
    const double room = fmax(1, (f->right - f->left) / MARK_DISTANCE);
    const bool all = s->kind == CHART_SCATTER || s->kind == CHART_CROSSES;
    return (struct drawn){.s = s,
                          .log_x = chart_log_x(p->c, k),
                          .log_y = p->c->panels[k].log_y,
                          .lo = f->lo,
                          .hi = f->hi,
                          .every = all ? 1 : (size_t)fmax(1, ceil((double)s->n / room))};
}

static void add_marks(struct pen *p, const struct drawn *d, FILE *plot) {
    const struct chart_series *s = d->s;
    double size;
    const int point = mark_of(s->kind, s->style, &size);
    const int color = color_of(s->kind, s->style);
    if (s->kind == CHART_BAND || !any_mark(d)) return;
    block_marks(p, d);
    fprintf(plot, ", $d%d using 1:2 with points pt %d ps %.2f lw 1.5 lc rgb \"#%06" PRIx32 "\"",
            p->blocks, point, size, p->color[color]);
}

/* What `plot` is to draw is collected in *plot, its data goes to the script. */
static void add_series(struct pen *p, const struct drawn *d, FILE *plot) {
    const struct chart_series *s = d->s;
    const uint32_t color = p->color[SERIES + hue(s->style)], pale = p->color[PALE + hue(s->style)];
    const bool joined = s->kind == CHART_POINTS || s->kind == CHART_LINE || s->kind == CHART_THIN ||
                        s->kind == CHART_STEPS;
    const bool marked = s->kind == CHART_POINTS || s->kind == CHART_DOTS;
    if (!any_drawn(d, false)) return;
    if (s->kind == CHART_BAND) {
        block_bars(p, d, true);
        fprintf(plot,
                ", $d%d using 1:2:3 with filledcurves fc rgb \"#%06" PRIx32
                "\" fs solid 1 noborder",
                p->blocks, p->color[BANDS + hue(s->style)]);
    }
    if (joined) {
        block_line(p, d);
        const bool thin = s->kind == CHART_THIN;
        fprintf(plot, ", $d%d using 1:2 with %s lc rgb \"#%06" PRIx32 "\" lw %.2f dt %s", p->blocks,
                s->kind == CHART_STEPS ? "steps" : "lines", thin ? pale : color,
                thin ? WIDTH_THIN : WIDTH, thin ? "1" : dashes(s));
    }
    if (marked && any_drawn(d, true)) {
        block_bars(p, d, false);
        fprintf(plot,
                ", $d%d using 1:2:(0):($3-$2) with vectors nohead lc rgb \"#%06" PRIx32 "\" lw 1.2",
                p->blocks, color);
    }
    if (!joined || marked) add_marks(p, d, plot);
}

static int panel(struct pen *p, size_t k, struct err *e) {
    const struct chart_panel *v = &p->c->panels[k];
    const struct chart_frame *f = &p->l.frame[k];
    char *list = NULL;
    size_t n;
    FILE *plot = open_memstream(&list, &n);
    if (!plot) return err_set(e, ERR_NOMEM, "no memory to draw");
    axes(p, k);
    for (size_t i = 0; i < v->n_levels; i++) {
        const double y = v->levels[i].y;
        if (!(y >= f->lo && y <= f->hi)) continue;
        const double py = chart_at(y, f->lo, f->hi, v->log_y, f->bottom, f->top);
        segment(p, f->left, py, f->right, py, SERIES + hue(v->levels[i].style), 1.2, LEVEL_DASH);
    }
    for (size_t i = 0; i < v->n_series; i++) {
        const struct drawn d = drawn_of(p, k, &v->series[i]);
        add_series(p, &d, plot);
    }
    const bool failed = fclose(plot) != 0;
    /* Without any series the axes are still drawn. */
    if (!failed) fprintf(p->out, "plot NaN notitle%s\nunset label\nunset arrow\n", list);
    free(list);
    return failed ? err_set(e, ERR_NOMEM, "no memory to draw") : 0;
}

/* ---- the picture --------------------------------------------------------------------------- */

enum kind { SVG, PNG, PDF, N_KINDS };
static const char *const ends[N_KINDS] = {".svg", ".png", ".pdf"};

static int kind_of(const char *path) {
    for (int i = 0; i < N_KINDS; i++)
        if (file_ends_with(path, ends[i])) return i;
    return -1;
}

bool chart_has_format(const char *path) {
    return kind_of(path) >= 0;
}

static void terminal(struct pen *p, int kind) {
    const int w = (int)p->l.width, h = (int)p->l.height;
    p->svg = kind == SVG;
    p->font_scale = kind == SVG ? 1 : 0.75; /* points: 1/72 inch */
    fputs("set encoding utf8\n", p->out);
    if (kind == SVG)
        fprintf(p->out, "set terminal svg size %d,%d fixed noenhanced", w, h);
    else if (kind == PNG)
        fprintf(p->out, "set terminal pngcairo size %d,%d noenhanced", w, h);
    else
        fprintf(p->out, "set terminal pdfcairo size %.4fin,%.4fin noenhanced", w / 96.0, h / 96.0);
    fprintf(p->out, " font \"sans-serif,%.2f\" background rgb \"#%06" PRIx32 "\"\n",
            CHART_FONT_AXIS * p->font_scale, p->color[BACK]);
}

static int write_script(struct pen *p, int kind, struct err *e) {
    const struct chart_layout *l = &p->l;
    int rc = 0;
    terminal(p, kind);
    fputs("set multiplot\nunset key\nset clip two\nset tics front\nset datafile missing NaN\n",
          p->out);
    text(p, 14, l->title_y, "left", CHART_FONT_TITLE, INK, l->title);
    text(p, (l->left + l->right) / 2, l->x_title_y, "center", CHART_FONT_AXIS, INK, l->x_title);
    text(p, 14, l->note_y, "left", CHART_FONT, MUTED, l->note);
    for (size_t k = 0; k < p->c->n_panels; k++)
        text(p, l->frame[k].title_x, l->frame[k].top - 16, "left", CHART_FONT_AXIS, INK,
             l->panel_title[k]);
    legends(p);
    labels(p);
    tick_texts(p);
    for (size_t k = 0; k < p->c->n_panels; k++) TRY(panel(p, k, e));
    fputs("unset multiplot\n", p->out);
out:
    return rc;
}

/* The rules by which an SVG in the light colours becomes one in the dark colours. gnuplot writes
 * them as attributes, which rules override. */
static void adapt(FILE *out) {
    uint32_t from[N_COLORS], to[N_COLORS];
    theme_colors(from, false);
    theme_colors(to, true);
    fputs("<style>@media (prefers-color-scheme: dark) {\n", out);
    for (int i = 0; i < N_COLORS; i++) {
        const int r = from[i] >> 16 & 255, g = from[i] >> 8 & 255, b = from[i] & 255;
        char rgb[32], hex[8], text[32];
        snprintf(rgb, sizeof rgb, "rgb(%3d, %3d, %3d)", r, g, b); /* as gnuplot writes it */
        snprintf(text, sizeof text, "rgb(%d,%d,%d)", r, g, b);    /* for texts */
        snprintf(hex, sizeof hex, "#%06" PRIx32, to[i]);
        fprintf(out, "[stroke=\"%s\"]{stroke:%s} [color=\"%s\"]{color:%s}\n", rgb, hex, rgb, hex);
        fprintf(out, "[fill=\"%s\"],[fill=\"%s\"]{fill:%s}\n", rgb, text, hex);
    }
    fprintf(out, "[fill=\"#%06" PRIx32 "\"]{fill:#%06" PRIx32 "}\n}</style>\n", from[BACK],
            to[BACK]);
}

/* The title of an SVG is what a screen reader says. gnuplot calls its parts by their commands,
 * which browsers show when the mouse is over them: those titles are left out. */
static void copy_svg(const struct chart *c, const char *svg, FILE *out) {
    static const char open[] = "<title>", close[] = "</title>";
    bool first = true;
    for (const char *t; (t = strstr(svg, open)); first = false) {
        const char *end = strstr(t, close);
        if (!end) break;
        fwrite(svg, 1, (size_t)(t - svg), out);
        svg = end + sizeof close - 1;
        if (!first) continue;
        char *plain = chart_text_fit(c->title ? c->title : c->panels[0].title, 1e9);
        fputs(open, out);
        chart_text_xml(out, plain ? plain : "");
        fputs(close, out);
        free(plain);
        if (c->adaptive) adapt(out);
    }
    fputs(svg, out);
}

static int finish_svg(const struct chart *c, char **svg, size_t *n, struct err *e) {
    char *done = NULL;
    size_t bytes;
    FILE *out = open_memstream(&done, &bytes);
    if (!out) return err_set(e, ERR_NOMEM, "no memory for the picture");
    copy_svg(c, *svg, out);
    if (fclose(out)) {
        free(done);
        return err_set(e, ERR_NOMEM, "no memory for the picture");
    }
    free(*svg);
    *svg = done;
    *n = bytes;
    return 0;
}

static int script_of(const struct chart *c, int kind, char **script, size_t *n, struct err *e) {
    struct pen p = {.c = c};
    int rc;
    theme_colors(p.color, c->dark);
    TRY(chart_layout(&p.l, c, e));
    p.out = open_memstream(script, n);
    if (!p.out) TRY(err_set(e, ERR_NOMEM, "no memory to draw"));
    rc = write_script(&p, kind, e);
    const bool starved = ferror(p.out) != 0;
    if ((fclose(p.out) != 0 || starved) && !rc) rc = err_set(e, ERR_NOMEM, "no memory to draw");
out:
    chart_layout_release(&p.l, c);
    return rc;
}

int chart_draw(const struct chart *c, const char *path, struct err *e) {
    struct file_out out = {0};
    char *script = NULL, *picture = NULL;
    size_t n_script = 0, n;
    const int kind = kind_of(path);
    int rc = 0;
    if (kind < 0) return err_set(e, ERR_USAGE, "%s: a picture's name ends in " CHART_FORMATS, path);
    TRY(script_of(c, kind, &script, &n_script, e));
    TRY(gnuplot_run(script, n_script, &picture, &n, e));
    if (kind == SVG) TRY(finish_svg(c, &picture, &n, e));
    TRY(file_out_open(&out, path, e));
    file_out_write(&out, picture, n);
    TRY(file_out_commit(&out, e));
out:
    file_out_discard(&out);
    free(script);
    free(picture);
    return rc;
}
