/* The files of rules of the built-in corpus, listed in stories_family.c. */
#ifndef DUET_STORIES_RULES_H
#define DUET_STORIES_RULES_H

#include "stories_grammar.h"

extern const struct story_rule_src stories_common[];
extern const struct story_rule_src stories_scenes[];
extern const struct story_rule_src stories_friends[]; /* plots between two friends */
extern const struct story_rule_src stories_world[];  /* plots of weather, seeds, sounds, the dark */
extern const struct story_rule_src stories_family[]; /* plots of children and grown-ups */

#endif
