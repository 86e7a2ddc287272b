/* What the weights of a run are known by, so that a row of a ledger can be checked long after they
 * were removed: XXH3 of every tensor's name, type, shape and bytes, as 16 hexadecimal digits. Two
 * runs have the same one if their weights are the same bits. Options, dates and folders, which the
 * file holds too, are not in it; of a LoRA run it is of the adapter. */
#ifndef DUET_WEIGHTS_HASH_H
#define DUET_WEIGHTS_HASH_H

#include "err.h"

/* Of the folder of a run (or of a file of weights). ERR_INPUT: it has no weights, or damaged
 * ones. */
int weights_hash(const char *folder, char hash[17], struct err *e);

#endif
