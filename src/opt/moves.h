/* Which of the trained weights zeroth-order directions move, and how far: the words of --perturb.
 *
 *   matrix                 matrices alone
 *   norm,*.layers.3.*      norms, and all of layer 3
 *   !embed                 all but embeddings and classifier
 *   matrix,!*.mlp.*        matrices, but not those of the MLP
 *   norm=0.1               all, norms a tenth as far as the rest
 *
 * A word is a role (param.h) or a pattern for whole names of tensors with * ? [...]; ! before it
 * keeps them where they are, =X behind it moves them X times as far. Of several words for a tensor
 * the last counts. Tensors that no word names move as if nothing were said where every word begins
 * with ! or has =X, else not at all.
 *
 * What does not move is not trained: no update, no decay, no optimizer state. */
#ifndef DUET_MOVES_H
#define DUET_MOVES_H

#include "err.h"
#include "param.h"

/* Is it such words? ERR_USAGE if not. */
int moves_check(const char *words, struct err *e);

/* Sets `move` of what is trained, and `trainable` of what does not move to false. ERR_USAGE where a
 * word names nothing that is trained, or nothing is left. */
int moves_apply(const char *words, struct param *params, int n, struct err *e);

#endif
