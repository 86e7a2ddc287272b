/* A configuration that somebody gives by hand, as a search takes it. It begins with that of the
 * incumbent, or, with a config file, with that of the base, and changes what is said. Data,
 * evaluation, length and seed are the search's. */
#ifndef DUET_HAND_CONFIG_H
#define DUET_HAND_CONFIG_H

#include "conf.h"
#include "search.h"

struct hand_change {
    const char *const *word; /* "lr=3e-3", "set.hidden_size=64", ... */
    size_t n;
    struct conf_pairs set;
    const char *config;  /* a config file of `duet train`, or NULL */
    const char *program; /* a duet that trains, or NULL: the incumbent's */
};

/* *config: new. Model descriptions, weights and adapters to begin with, and programs that are not
 * the base's are copied into the folder of the search (hand_files.h). ERR_USAGE for what may not be
 * changed, and for names and values that `duet train` would refuse. */
int hand_config(const struct search *s, const struct hand_change *c, json_t **config,
                struct err *e);

#endif
