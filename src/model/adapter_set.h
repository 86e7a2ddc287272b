/* What an adapter was trained with in place of its base's description: {"key": value, ...}, as
 * --set says it (model_config_changes). It is recorded in the adapter's file and set wherever that
 * is opened (adapter.h); what contradicts it is refused. NULL: the base as it is. */
#ifndef DUET_ADAPTER_SET_H
#define DUET_ADAPTER_SET_H

#include "conf.h"
#include "err.h"
#include <jansson.h>

/* *set: a checked copy of what the file at path says, or NULL. */
int adapter_set_read(json_t **set, json_t *said, const char *path, struct err *e);

/* to: those given (or NULL), then those of set that were not. ERR_USAGE where they contradict. */
int adapter_set_join(struct conf_pairs *to, const struct conf_pairs *given, json_t *set,
                     const char *path, struct err *e);
void adapter_set_release(struct conf_pairs *p); /* accepts all zeros */

/* Is the model, which differs from its base by now, what the adapter of path was trained with? */
int adapter_set_check(json_t *set, json_t *now, const char *path, struct err *e);

/* Of formats that cannot say it: ERR_INPUT, by name. */
int adapter_set_refuse(json_t *set, const char *path, const char *format, struct err *e);

#endif
