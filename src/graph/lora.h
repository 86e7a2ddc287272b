/* LoRA (Hu et al. 2021, arXiv 2106.09685) beside the outputs of a linear node:
 *   y_i += scale_i (x A_i') B_i'         A (rank, I), B (O, rank)
 * or merged into the weights as they are packed: y_i = x (W_i + scale_i B_i A_i)'. A and B are seen
 * as the run's probes perturb them. This is the only place with LoRA arithmetic; op_linear calls
 * it. */
#ifndef DUET_GRAPH_LORA_H
#define DUET_GRAPH_LORA_H

#include "exec.h"

static inline bool lora_any(const struct node *n) {
    for (int i = 0; i < n->n_out; i++)
        if (n->lora[i]) return true;
    return false;
}

/* Scratch for a pass over the planned rows. */
size_t lora_bytes(const struct exec *x, const struct node *n, bool backward);

/* Split: adds the node's corrections to its outputs. a: the input as products with weights have it
 * packed, or NULL where those of a few rows read it as it stands. */
void lora_forward(struct exec *x, const struct node *n, const struct gemm_pack *a, void *work);

/* Merged: weight i as an operand with its correction; v and work must live as long as it does. */
struct mat lora_weight(struct exec *x, const struct node *n, int i, struct variants *v, void *work);

/* Gradients of A_i and B_i, and (split) dX += dH A_i. */
void lora_backward(struct exec *x, const struct node *n, int i, void *work);

#endif
