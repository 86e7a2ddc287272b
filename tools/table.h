/* Rows of text in aligned columns that fit into a terminal. Control characters in headings and
 * cells become "?". */
#ifndef DUET_TABLE_H
#define DUET_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct table_col {
    char *name; /* the heading; owned */
    bool left;  /* text, at the left; numbers stand at the right */
    int rank;   /* the highest is left out first where the width is short; 0: never */
};

struct table {
    struct table_col *col; /* owned */
    int n, cap;
    char **cell; /* rows of n, each malloc()ed or NULL: "-"; owned */
    size_t rows;
    bool no_memory;
};

/* All columns come before the first row. */
void table_column(struct table *t, const char *name, bool left, int rank);
/* A new row; cells are set by their column's number. */
void table_row(struct table *t);
__attribute__((format(printf, 3, 4))) void table_set(struct table *t, int col, const char *fmt,
                                                     ...);

/* columns 0: no limit. Columns are left out by rank; if that is not enough, the widest of those at
 * the left are cut, with an ellipsis. A last line names what is left out, and `more` how to see
 * it. */
void table_print(const struct table *t, int columns, const char *more, FILE *f);

void table_release(struct table *t);

#endif
