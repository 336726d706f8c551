/* CLIP's byte pair encoding: private to diffusion/. Sennrich et al., "Neural Machine Translation of Rare
 * Words with Subword Units" (ACL 2016), over bytes shown as characters. */
#ifndef DIFFUSION_BPE_H
#define DIFFUSION_BPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct df_bpe;

/* merges: lines "a b", the first of which may be a remark. vocabulary: JSON {"word": number}, or NULL: bytes,
 * bytes that end words, merges and the two marks in this order. Names are for messages. Returns 0, FV_EFORMAT,
 * FV_ENOMEM. */
int df_bpe_parse(struct df_bpe **out, const char *merges, size_t merges_size, const char *merges_name,
                 const char *vocabulary, size_t vocabulary_size, const char *vocabulary_name);
/* bpe_simple_vocab_16e6.txt.gz, or what it holds: merges of which the first 48894 count. */
int df_bpe_parse_simple(struct df_bpe **out, const uint8_t *data, size_t size, const char *name);
/* A tokenizer.json. */
int df_bpe_parse_json(struct df_bpe **out, const char *text, size_t size, const char *name);
void df_bpe_close(struct df_bpe **b);

/* The number of a word; -1: there is none. */
int32_t df_bpe_find(const struct df_bpe *b, const char *word);
uint32_t df_bpe_words(const struct df_bpe *b);
/* UTF-8 -> *ids, malloc'd: the text is cleaned, in small letters, and cut into words first. */
int df_bpe_encode(const struct df_bpe *b, const char *text, int32_t **ids, size_t *count);

#endif
