/* Private to gs/stream_*.c: chunks of an .fvv file (docs/STREAM.md).
 *
 *   file   = "fvv\\x1a", u32 version, chunk...
 *   chunk  = u32 tag, u32 size, u32 crc32 of all but itself, size bytes
 *   tag    = kind (8 bits) | number of the frame << 8
 *
 * A frame's chunks follow each other, its own first, then those of its SH bands, which a reader may
 * leave out. */
#ifndef GS_STREAM_FILE_H
#define GS_STREAM_FILE_H

#include "gs/stream.h"

enum {
    GS_CHUNK_HEADER = 'H',   /* JSON */
    GS_CHUNK_BASE = 'B',     /* base key: grid, then sections without SH bands */
    GS_CHUNK_ENTRY = 'E',    /* residual frame against the base */
    GS_CHUNK_RESIDUAL = 'R', /* residual frame against the frame before */
    GS_CHUNK_BAND = '1',     /* '1' to '3': the frame's section of an SH band */
    GS_CHUNK_BORN_BAND = 'a', /* 'a' to 'c': the same of Gaussians born in the frame */
    GS_CHUNK_INDEX = 'I',    /* of each frame: kind, size */
    GS_CHUNK_END = 'Z',      /* u64 offset of the index */
};
#define GS_STREAM_MAGIC "fvv\x1a"
enum {
    GS_STREAM_VERSION = 1,
    GS_STREAM_VERSION_BASIS = 2, /* its bases may have a basis */
    GS_STREAM_VERSION_ANCHORS = 3, /* its bases are models of anchors */
    GS_STREAM_PREFIX = 8,       /* magic and version */
    GS_CHUNK_HEAD = 12,
    GS_STREAM_TAIL = GS_CHUNK_HEAD + 8, /* the end chunk */
    GS_STREAM_MAX_FRAMES = 1 << 24,
};
#define GS_CHUNK_MOST (1u << 30) /* bytes of one chunk */

/* A growing string of bytes; failed once there was no memory. */
struct gs_bytes {
    uint8_t *data;
    size_t size, room;
    bool failed;
};
void gs_bytes_put(struct gs_bytes *b, const void *data, size_t size);
void gs_bytes_u32(struct gs_bytes *b, uint32_t v);
void gs_bytes_f32(struct gs_bytes *b, float v);
/* 7 bits a byte, low ones first; the top bit says that more follow. */
void gs_bytes_varint(struct gs_bytes *b, uint64_t v);
uint64_t gs_get_varint(struct fv_cursor *c);
/* Appends a chunk. */
void gs_bytes_chunk(struct gs_bytes *b, uint8_t kind, uint32_t frame, const void *data, size_t size);

struct gs_stream_chunk {
    uint8_t kind;
    uint32_t frame;
    const uint8_t *data;
    uint32_t size;
};
/* Place of a chunk among its frame's: 0 its own, then of each band what is born and what is not,
 * 1 to 6; -1: not of a frame. */
int gs_chunk_place(uint8_t kind);
/* The chunk at c, which moves behind it. False at the end of the bytes: `cut` says whether within a
 * chunk. `whole` is false when its sum is wrong. */
bool gs_get_chunk(struct fv_cursor *c, struct gs_stream_chunk *out, bool *whole, bool *cut);
/* Sections that a frame's own chunk holds, basis: of a base that has one; their number. */
int gs_own_sections(uint8_t kind, bool basis, int list[GS_SECTIONS]);
/* stream_damage.c: the first byte that is wrong of a chunk, with its head, of `size` bytes of payload; -1
 * where too many bits are to tell. */
int64_t gs_chunk_damage(const uint8_t *chunk, uint32_t size);
/* In words, by section where that is known. kind, size: what they should be; offset: in the file. */
enum { GS_DAMAGE_NAME = 96 };
void gs_chunk_damage_name(char out[GS_DAMAGE_NAME], uint8_t kind, const uint8_t *chunk, uint32_t size,
                          uint64_t offset);

/* What comes after a base, and what it holds: its eighth byte. */
enum gs_base_kind {
    GS_BASE_DIRECT,   /* integers */
    GS_BASE_FLOATS,   /* the QUEEN model's, over floats */
    GS_BASE_INTEGERS, /* and over integers */
    GS_BASE_BASIS,    /* integers and a trajectory basis */
    GS_BASE_ANCHORS,  /* a model of another room: gs_stream_keys */
};
/* Chunks of a frame, from its sections. */
void gs_put_base(struct gs_bytes *out, uint32_t frame, enum gs_base_kind kind,
                 const struct gs_stream_base *b,
                 const struct gs_section sections[GS_SECTIONS]);
void gs_put_residual(struct gs_bytes *out, uint32_t frame, bool entry, int sh_degree,
                     const struct gs_section sections[GS_SECTIONS]);
/* Sections of a base or residual chunk, which stay in its bytes. A base is created for what the
 * chunk says, with at most `sh_degree`. bands: which chunks of SH bands follow, bits 0 to 2 of changes,
 * 3 to 5 of births. name: for messages. */
int gs_get_base(struct gs_stream_base *b, int sh_degree, const struct gs_stream_chunk *chunk,
                struct gs_section sections[GS_SECTIONS], const char *name);
enum gs_base_kind gs_base_kind(const struct gs_stream_chunk *chunk);
/* A base of floats; read, the scene is created for what it says, with at most `sh_degree`. */
void gs_put_floats(struct gs_bytes *out, uint32_t frame, const struct gs_scene *s,
                   const struct gs_section sections[GS_SECTIONS]);
int gs_get_floats(struct gs_scene *s, int sh_degree, const struct gs_stream_chunk *chunk,
                  struct gs_section sections[GS_SECTIONS], const char *name);
/* A base that is another room's bytes: stream_anchors.c. *data is the caller's to free. */
int gs_put_anchors(struct gs_bytes *out, uint32_t frame, uint32_t count, const void *data, size_t size);
int gs_get_anchors(void **data, size_t *size, const struct gs_stream_chunk *chunk, const char *name);
int gs_get_residual(const struct gs_stream_chunk *chunk, struct gs_section sections[GS_SECTIONS],
                    uint8_t *bands, const char *name);

/* A stream that is written: frames, then the index. stream_write.c */
struct gs_stream_out {
    struct fv_writer file;
    bool live; /* others read it meanwhile: frames are there when they are done, whatever comes after */
    uint32_t version; /* to be set before the header */
    uint64_t written;
    struct gs_bytes index;
    uint32_t frames;
};
int gs_stream_out_open(struct gs_stream_out *out, const char *path, bool live);
/* What the frames are of: mode and up of a scene; where a viewer begins (NULL: not said). */
int gs_stream_out_header(struct gs_stream_out *out, const struct gs_scene *scene, double fps,
                         uint32_t group, const struct gs_camera *start);
/* The next frame: its bytes, its line in the index and in the report. Frees chunks and sections. */
int gs_stream_out_frame(struct gs_stream_out *out, enum gs_stream_frame_kind kind,
                        struct gs_bytes *chunks, struct gs_section sections[GS_SECTIONS],
                        struct gs_stream_report *report);
/* Index and end, after frames that were written with rc: the file takes its name if they are
 * complete or were cancelled (what was encoded plays); a live one has it anyway. Returns rc, or what went wrong. */
int gs_stream_out_end(struct gs_stream_out *out, int rc);

#endif
