/* SentencePiece models: private to diffusion/. Kudo, "Subword Regularization" (ACL 2018) and its library.
 * Files are read here into a table of pieces that was looked at (sentencepiece_model.c); the library, which
 * trusts what it is given, gets a model written anew from it (sentencepiece.cpp).
 *
 *     struct df_pieces p;
 *     FV_TRY(df_pieces_read(&p, data, size, "spiece.model"));      // or a tokenizer.json
 *     FV_TRY(df_sentences_open(&s, &p));
 *     FV_TRY(df_sentences_encode(s, text, n, &ids, &count)); */
#ifndef DIFFUSION_SENTENCEPIECE_H
#define DIFFUSION_SENTENCEPIECE_H

#include "vk/base/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum df_piece_type { DF_PIECE_NORMAL = 1, DF_PIECE_UNKNOWN, DF_PIECE_CONTROL, DF_PIECE_USER, DF_PIECE_UNUSED,
                     DF_PIECE_BYTE };

struct df_piece {
    const char *text;
    size_t size;
    float score;
    int type;
};

struct df_pieces {
    struct df_piece *items;
    size_t count, room;
    const uint8_t *charsmap; /* how characters are normalised, compiled; may be empty */
    size_t charsmap_size;
    int model_type; /* 1 unigram, 2 BPE, as the library counts */
    bool add_prefix, squeeze, escape; /* white space: one before the text; one for many; shown as U+2581 */
    bool space_after, bytes;          /* ... after words instead; unknown characters as bytes */
    int32_t unknown;
    char *name;
    struct df_special { /* words that are recognised in a text before it is cut */
        const char *text;
        size_t size;
        int32_t id;
    } *specials;
    size_t special_count, special_room;
    struct fv_arena arena;
};

/* Bytes of a .model or tokenizer.json file. gaps: words for gaps (<extra_id_0> ..) that the tokenizer of T5 puts
 * behind a .model's pieces, usually DF_GAPS. Returns 0, FV_EFORMAT, FV_EUNSUPPORTED, FV_ENOMEM. */
enum { DF_GAPS = 100 };
int df_pieces_read(struct df_pieces *p, const void *data, size_t size, const char *name, int gaps);
void df_pieces_finish(struct df_pieces *p);
/* The number of a piece; -1: there is none. */
int32_t df_pieces_find(const struct df_pieces *p, const char *text);
/* The pieces as a serialised ModelProto, malloc'd. */
int df_pieces_write(const struct df_pieces *p, uint8_t **out, size_t *size);

struct df_sentences;
int df_sentences_open(struct df_sentences **out, const struct df_pieces *p);
void df_sentences_close(struct df_sentences **s);
/* -> *ids, malloc'd. */
int df_sentences_encode(const struct df_sentences *s, const char *text, size_t n, int32_t **ids,
                        size_t *count);

#ifdef __cplusplus
}
#endif

#endif
