/* Files of streams as they are written (stream_file.h): header, frames, index. */
#include "gs/camera.h"
#include "gs/stream_file.h"

#include <stdio.h>
#include <stdlib.h>

static int put(struct gs_stream_out *out, struct gs_bytes *bytes)
{
    int rc = bytes->failed ? fv_fail(FV_ENOMEM, "no memory for a frame's bytes") : 0;
    if (rc == 0) {
        fv_write(&out->file, bytes->data, bytes->size);
        out->written += bytes->size;
        if (out->live)
            fv_writer_flush(&out->file);
    }
    free(bytes->data);
    *bytes = (struct gs_bytes){0};
    return rc;
}

int gs_stream_out_open(struct gs_stream_out *out, const char *path, bool live)
{
    *out = (struct gs_stream_out){.live = live, .version = GS_STREAM_VERSION};
    return live ? fv_writer_open_in_place(&out->file, path) : fv_writer_open(&out->file, path);
}

int gs_stream_out_header(struct gs_stream_out *out, const struct gs_scene *s, double fps,
                         uint32_t group, const struct gs_camera *start)
{
    struct gs_bytes bytes = {0};
    char text[768];
    int n = snprintf(text, sizeof text, "{\"fps\":%.6g,\"group\":%u", fps, group);
    if (s->mode != GS_MODE_AUTO)
        n += snprintf(text + n, sizeof text - (size_t)n, ",\"mode\":\"%s\"",
                      s->mode == GS_MODE_ANTIALIASED ? "antialiased" : "classic");
    if (s->up[0] != 0 || s->up[1] != 0 || s->up[2] != 0)
        n += snprintf(text + n, sizeof text - (size_t)n, ",\"up\":[%.6g,%.6g,%.6g]", s->up[0],
                      s->up[1], s->up[2]);
    if (start) {
        double q[4], p[3];
        gs_camera_rotation(start, q);
        gs_camera_centre(start, p);
        n += snprintf(text + n, sizeof text - (size_t)n,
                      ",\"start\":{\"position\":[%.6g,%.6g,%.6g],\"rotation\":[%.6g,%.6g,%.6g,%.6g],"
                      "\"width\":%u,\"height\":%u,\"fx\":%.6g,\"fy\":%.6g}",
                      p[0], p[1], p[2], q[0], q[1], q[2], q[3], start->width, start->height,
                      (double)start->fx, (double)start->fy);
    }
    n += snprintf(text + n, sizeof text - (size_t)n, "}");
    gs_bytes_put(&bytes, GS_STREAM_MAGIC, 4);
    gs_bytes_u32(&bytes, out->version);
    gs_bytes_chunk(&bytes, GS_CHUNK_HEADER, 0, text, (size_t)n);
    FV_TRY(put(out, &bytes));
    gs_bytes_varint(&out->index, out->written);
    return 0;
}

/* With the sizes of its bands, if there are any: a reader over a network may leave them out. */
static void put_line(struct gs_bytes *index, enum gs_stream_frame_kind kind,
                     const struct gs_bytes *chunks)
{
    struct fv_cursor c = fv_cursor_over(chunks->data, chunks->size);
    struct gs_stream_chunk chunk;
    bool whole, cut;
    size_t part[4] = {0};
    for (size_t begin = 0; gs_get_chunk(&c, &chunk, &whole, &cut); begin = c.at)
        part[(gs_chunk_place(chunk.kind) + 1) / 2] += c.at - begin;
    bool bands = part[0] != chunks->size;
    gs_bytes_put(index, &(uint8_t){(uint8_t)(kind | (bands ? 4 : 0))}, 1);
    for (int k = 0; k < (bands ? 4 : 1); k++)
        gs_bytes_varint(index, part[k]);
}

int gs_stream_out_frame(struct gs_stream_out *out, enum gs_stream_frame_kind kind,
                        struct gs_bytes *chunks, struct gs_section sections[GS_SECTIONS],
                        struct gs_stream_report *r)
{
    for (int k = 0; k < GS_SECTIONS; k++) /* births with their SH */
        r->section_bytes[k == GS_SECTION_BASIS    ? GS_SECTION_BIRTHS + 1
                         : k < GS_SECTION_BIRTHS ? k
                                                 : GS_SECTION_BIRTHS] += sections[k].size;
    gs_sections_free(sections);
    *(kind == GS_FRAME_BASE    ? &r->base_bytes
      : kind == GS_FRAME_ENTRY ? &r->entry_bytes
                               : &r->residual_bytes) += chunks->size;
    ++*(kind == GS_FRAME_BASE ? &r->bases : kind == GS_FRAME_ENTRY ? &r->entries : &r->residuals);
    put_line(&out->index, kind, chunks);
    out->frames++;
    return put(out, chunks);
}

static int put_index(struct gs_stream_out *out)
{
    struct gs_bytes bytes = {0}, end = {0};
    uint64_t at = out->written;
    gs_bytes_chunk(&bytes, GS_CHUNK_INDEX, 0, out->index.data, out->index.size);
    gs_bytes_u32(&end, (uint32_t)at);
    gs_bytes_u32(&end, (uint32_t)(at >> 32));
    gs_bytes_chunk(&bytes, GS_CHUNK_END, 0, end.data, end.size);
    bytes.failed = bytes.failed || out->index.failed || end.failed;
    free(end.data);
    return put(out, &bytes);
}

int gs_stream_out_end(struct gs_stream_out *out, int rc)
{
    if (rc == 0 || ((rc == FV_ECANCELLED || out->live) && out->frames)) {
        char why[1024];
        snprintf(why, sizeof why, "%s", fv_error());
        int end = put_index(out);
        end = end == 0 ? fv_writer_commit(&out->file) : end;
        if (rc < 0)
            fv_fail(rc, "%s", why); /* which came first */
        else
            rc = end;
    }
    fv_writer_abort(&out->file);
    free(out->index.data);
    out->index = (struct gs_bytes){0};
    return rc;
}
