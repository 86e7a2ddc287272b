/* Which duet this is. */
#ifndef DUET_VERSION_H
#define DUET_VERSION_H

/* "0.1.0" */
const char *version_number(void);

/* The commit that the program was built from, short, with "-dirty" where files differed from it;
 * "unknown" without git, or where no program has said. Only the program's main() knows it
 * (commit.h), so that a commit does not build every library and test anew. */
const char *version_commit(void);
void version_set_commit(const char *commit); /* borrowed */

#endif
