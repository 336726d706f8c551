/* Files of low-rank changes to a model's matrices (LoRA: Hu et al., arXiv 2106.09685):
 *
 *     W x + strength alpha / rank up (down x)
 *
 * They are added to the low-rank branch of a matrix (matrix.h) while it is loaded, so the weights in
 * files, of codes or plain, stay what they are. For a matrix P.weight a file has P.lora_A.weight
 * [rank, K] and P.lora_B.weight [N, rank], or P.lora_down.weight and P.lora_up.weight, with P.alpha (or
 * without: rank) beside them, as PEFT, diffusers and kohya's scripts write them; before P there may be
 * "transformer." and the like, and kohya has "lora_unet_" and underscores for P's dots.
 *
 *     struct nn_lora *l;
 *     FV_TRY(nn_lora_open(&l, "style.safetensors", 0.8f));
 *     FV_TRY(nn_weights_load(&w, dev, wants, f, &(struct nn_weights_opts){.lora = &l, .lora_count = 1}));
 *     FV_TRY(nn_lora_check(l));
 *     nn_lora_close(&l); */
#ifndef NN_LORA_H
#define NN_LORA_H

#include "vk/nn/weights.h"

/* Returns 0, FV_EIO, FV_EFORMAT, FV_EUNSUPPORTED (no low-rank tensors in it), FV_EINVALID (strength). */
int nn_lora_open(struct nn_lora **out, const char *path, float strength);
void nn_lora_close(struct nn_lora **l);
/* FV_EFORMAT when a layer of the file has been asked for by no matrix yet: it is another model's. */
int nn_lora_check(const struct nn_lora *l);

#endif
