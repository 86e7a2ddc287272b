/* The terminal behind a stream: whether there is one, how wide it is, whether colour is wanted,
 * and text that is made for it.
 *
 * Everything is asked when it is needed, so that a window that changes its size is followed. */
#ifndef DUET_TERM_H
#define DUET_TERM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* --color. auto: where the stream is a terminal that is not dumb, and the environment variable
 * NO_COLOR is unset or empty (no-color.org). */
#define TERM_COLORS "auto always never"

/* word: one of TERM_COLORS. */
void term_color_choose(const char *word);
/* Is what goes to this descriptor coloured? */
bool term_color(int fd);

/* Colours of the terminal's own palette, for what stands out and what is secondary. */
enum term_style { TERM_BAD, TERM_WARN, TERM_GOOD, TERM_DIM };
/* The escape that begins a style, and the one that ends it; "" without colour. */
const char *term_on(int fd, enum term_style s);
const char *term_off(int fd);

/* A terminal whose line can be rewritten: TERM is neither unset, empty nor "dumb". */
bool term_rewrites(int fd);
/* Columns of the terminal, now; else those of COLUMNS, else 80. */
int term_columns(int fd);

/* The character set of LC_ALL, LC_CTYPE or LANG, the first that is set, is UTF-8. */
bool term_utf8(void);
/* "±", or "+-" where it is not. */
const char *term_pm(void);

/* Columns that UTF-8 text takes, without escapes; wide characters take two, combining none. Bytes
 * that are no UTF-8 count one each. */
int term_width(const char *text);
/* Bytes of the longest beginning of it that takes at most so many columns: whole characters, and
 * escapes as a whole. */
size_t term_cut(const char *text, int columns);

/* A part of a line that is dropped when the line is too long: the part with the highest rank
 * first, rank 0 never. Parts without text are left out. */
struct term_part {
    int rank;
    char text[96];
};
/* The parts that fit into so many columns, two blanks apart, into out; what still does not fit is
 * cut. Returns the columns that are taken. */
int term_join(const struct term_part *part, int n, int columns, char *out, size_t size);

/* One fact of a result, "key:      value": the values of all stand in one column, and a key is
 * found by grep '^key:'. */
void term_fact(FILE *f, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* n numbers as a line of blocks, lowest to highest, into out: one column each, or the means of
 * neighbours in so many columns if there are more. NaN and infinite numbers are passed over, and a
 * column without any other is a blank. Eighths of a block, or ASCII where the character set is not
 * UTF-8. size: at least 3 * columns + 1. Returns the columns that are taken. */
int term_spark(const double *x, int n, int columns, bool utf8, char *out, size_t size);

/* A bar from left to right, part (0 to 1) of so many columns long, into out: eighths of a block, or
 * "#" where the character set is not UTF-8. What is not a number has none. size: at least
 * 3 * columns + 1. */
void term_bar(double part, int columns, bool utf8, char *out, size_t size);

#endif
