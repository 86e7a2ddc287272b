/* Text and numbers as they stand in pictures. */
#ifndef DUET_CHART_TEXT_H
#define DUET_CHART_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Width of UTF-8 text in ems: an upper estimate, by the widths of DejaVu Sans, which is among the
 * widest of the fonts that "sans-serif" may be. */
double chart_text_width(const char *text);

/* A copy that is at most `ems` wide, malloc()ed, NULL without memory: what does not fit is left out
 * of its middle, where "…" stands. Bytes that are no UTF-8, control characters, line breaks and
 * marks of direction become "?". */
char *chart_text_fit(const char *text, double ems);

/* Characters that no font may be there for become "?": gnuplot draws such a one in a .png or .pdf
 * as a box over half of the picture. In place; true if there was one. */
bool chart_text_common(char *text);

/* The text as a string constant of gnuplot: letters and digits as they are, other bytes in octal.
 * xml: for the SVG terminal. */
void chart_text_quote(FILE *script, const char *text, bool xml);

/* The text as content of XML. */
void chart_text_xml(FILE *out, const char *text);

/* 20,000 and 0.05 with so many decimals; what is far from 1 as 2e-5. */
void chart_text_number(char text[24], double v, int decimals);

#define CHART_TICKS_MAX 64
struct chart_ticks {
    double at[CHART_TICKS_MAX];
    char text[CHART_TICKS_MAX][24];
    int n;
};

/* Ticks of an axis from lo to hi over so many pixels, at round numbers, whose texts, `em` pixels
 * high, stay apart; at least one if any round number is inside. across: texts stand side by side,
 * else one above the other. log: both ends are positive. */
void chart_ticks(struct chart_ticks *t, double lo, double hi, double pixels, double em, bool across,
                 bool log);

#endif
