/* Rates that were measured on this machine before, so that a start that finds much less than usual
 * can say so.
 *
 * One small file for all programs of a user, ${XDG_CACHE_HOME:-~/.cache}/duet/rates.json:
 *
 *   {"KEY": [rates, the oldest first], ...}    the key that was used last is the last
 *
 * At most RATE_KEYS keys of RATE_EACH rates. It decides nothing but what is said: a file that is
 * cut or is something else is as good as none and is replaced, one that cannot be written is left,
 * and of two processes that write at once one's rate is lost. */
#ifndef DUET_RATE_HISTORY_H
#define DUET_RATE_HISTORY_H

#include <stddef.h>

enum { RATE_KEYS = 32, RATE_EACH = 32, RATE_LEAST = 3 };

/* Where it is, malloc()ed; NULL: there is neither XDG_CACHE_HOME, as an absolute path, nor HOME. */
char *rate_history_path(void);

/* What is usual: the upper quartile of the rates of this key, which other work on the machine for
 * part of the time does not lower; 0 if there are less than RATE_LEAST. path NULL: 0. */
double rate_history_usual(const char *path, const char *key);

/* Adds a rate. */
void rate_history_add(const char *path, const char *key, double rate);

/* The same of a file's text, of n bytes: what is usual, and the text with the rate added (unless it
 * is 0), malloc()ed, or NULL without memory. next may be NULL. */
double rate_history_text(const char *text, size_t n, const char *key, double rate, char **next);

#endif
