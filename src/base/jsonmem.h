/* Memory of jansson's. Its lexer takes no notice of a token's buffer that could not grow: a number
 * then ends the process by an assertion, a string is cut short. So a few blocks of the sizes that
 * the buffer takes are set aside; whatever else asks is refused as ever, and that is reported. */
#ifndef DUET_JSONMEM_H
#define DUET_JSONMEM_H

#include <stdbool.h>

/* Sets aside what is missing; any thread, at any time, before JSON is read. Leaves the allocator of
 * a host that has set one for jansson. */
void jsonmem_ready(void);

/* Did this thread's JSON run out of memory since the last call? */
bool jsonmem_starved(void);

#endif
