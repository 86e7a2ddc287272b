#include "version.h"

static const char *commit = "unknown";

const char *version_number(void) {
    return DUET_VERSION;
}

const char *version_commit(void) {
    return commit;
}

void version_set_commit(const char *name) {
    commit = name;
}
