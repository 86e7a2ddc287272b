/* Text of JSON values, and values of JSON text as Python's programs write it. */
#ifndef DUET_JSON_TEXT_H
#define DUET_JSON_TEXT_H

#include <jansson.h>
#include <stddef.h>

/* Exact text of a JSON value, reals as short as 15 digits allow; malloc()ed, NULL: no memory. */
char *json_text(const json_t *j);
/* The same with flags of json_dumps: JSON_COMPACT, JSON_INDENT(2), ... */
char *json_text_dump(const json_t *j, size_t flags);

/* Of an indented text: lists of words and numbers, which hold no list and no object, are put on one
 * line, as people write them: "[1, 2]". In place; the text only gets shorter. */
void json_text_join_lists(char *text);

/* JSON as Python's programs write it: duplicate keys are refused, and an integer beyond 64 bits
 * (10^30 where a length has no limit) is a real. NULL: *je says why. */
json_t *json_text_load(const char *text, size_t n, json_error_t *je);
/* What it says; without jansson's words for its flags. Borrowed. */
const char *json_text_why(const json_error_t *je);
int json_text_code(const json_error_t *je); /* of its failure: ERR_NOMEM or ERR_INPUT */

#endif
