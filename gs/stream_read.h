/* Private to gs/stream_list.c and gs/stream_decode.c: an open stream. */
#ifndef GS_STREAM_READ_H
#define GS_STREAM_READ_H

#include "gs/stream_file.h"
#include "gs/stream_queen.h"
#include "gs/stream_gpu.h"

#define GS_NO_FRAME UINT32_MAX

/* Where going through the chunks has come to. */
struct gs_scan {
    uint64_t at;   /* the next chunk */
    bool on;       /* it is not at its end */
    bool open;     /* frames[frame_count] has its own chunk; bands may follow */
    int place;     /* of its last chunk */
    uint32_t base; /* frame of the last base; GS_NO_FRAME: none, or one may have been lost since */
    uint32_t entry;
};

struct gs_stream {
    char *name;
    struct gs_source source;
    bool owns_source;
    bool header, index;   /* were looked for */
    struct gs_stream_info info;
    struct gs_stream_frame *frames; /* info.frame */
    size_t room;
    struct gs_scan scan;

    /* bytes of the file at hand: [at, at + have) */
    uint8_t *bytes;
    size_t bytes_room, have;
    uint64_t bytes_at;

    /* decoding */
    uint32_t base_frame; /* whose base is loaded; GS_NO_FRAME */
    int sh_degree;       /* that it was loaded for */
    struct gs_stream_base base;
    struct gs_stream_group group;
    bool is_queen;               /* the base is of the QUEEN model: in place of base and group */
    struct gs_queen_track queen;
    struct gs_stream_keys keys; /* zeros: not given */
    void *key;       /* the base is a model of theirs: in place of all these */
    uint64_t key_id; /* another for each there was */
    uint32_t at;    /* frame that the state is of; GS_NO_FRAME */
    uint32_t entry; /* where its group was entered */
    struct gs_stream_gpu *gpu; /* the state where kernels pack it */
    struct vk_device *gpu_dev;
    struct gs_scene floats; /* where neither they nor the host can */
    enum gs_stream_packer packer;
};

/* Has the bytes [offset, offset + size) at hand, s->have of them: fewer at the end of the file. They
 * stay until the next call with another offset. Asked again after FV_EAGAIN it goes on. */
int gs_stream_load(struct gs_stream *s, uint64_t offset, size_t size);

/* Frees the state. */
void gs_stream_drop_base(struct gs_stream *s);

/* Bytes of a frame up to an SH degree. */
uint32_t gs_stream_frame_bytes(const struct gs_stream_frame *f, int sh_degree);

#endif
