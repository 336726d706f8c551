/* Decoder (video.h): frames as RGB floats, through 16 bits a channel so that 10-bit video
 * keeps what it has. swscale is told the matrix and range of the file; untagged files are
 * taken as BT.709, or BT.601 when they are smaller than 720 lines, limited range. */
#include "app/pipe_in.h"
#include "app/video.h"
#include "vk/base/file.h"

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct video_in {
    char *path;
    AVFormatContext *demux;
    AVIOContext *pipe; /* of standard input; else libav's own */
    AVCodecContext *dec;
    AVFrame *frame;
    AVPacket *packet;
    struct SwsContext *sws;
    int sws_format, sws_space, sws_range;
    bool bt709; /* raw video that says so in our own way */
    uint16_t *rgb;
    int stream;
    bool at_end;
    struct video_info info;
};

static int decode_failure(const struct video_in *v, int rc, const char *what)
{
    char text[128], line[256];
    av_strerror(rc, text, sizeof text);
    video_last_libav_error(line, sizeof line);
    return fv_fail(FV_EFORMAT, "%s: %s: %s", v->path, what, *line ? line : text);
}

static void name_of(char *out, size_t size, const char *name)
{
    snprintf(out, size, "%s", name ? name : "unknown");
}

static char *metadata(const struct video_in *v, const char *key)
{
    AVDictionaryEntry *e = av_dict_get(v->demux->metadata, key, NULL, 0);
    return e ? strdup(e->value) : NULL;
}

static void fill_info(struct video_in *v)
{
    const AVStream *s = v->demux->streams[v->stream];
    const AVCodecParameters *p = s->codecpar;
    struct video_info *i = &v->info;
    AVRational fps = s->avg_frame_rate.num ? s->avg_frame_rate : s->r_frame_rate;
    name_of(i->codec, sizeof i->codec, avcodec_get_name(p->codec_id));
    name_of(i->pixel_format, sizeof i->pixel_format, av_get_pix_fmt_name(p->format));
    name_of(i->container, sizeof i->container, v->demux->iformat->name);
    name_of(i->primaries, sizeof i->primaries, av_color_primaries_name(p->color_primaries));
    name_of(i->transfer, sizeof i->transfer, av_color_transfer_name(p->color_trc));
    name_of(i->matrix, sizeof i->matrix, av_color_space_name(p->color_space));
    name_of(i->range, sizeof i->range, av_color_range_name(p->color_range));
    i->width = (uint32_t)p->width;
    i->height = (uint32_t)p->height;
    i->fps_num = fps.num > 0 ? (uint32_t)fps.num : 0;
    i->fps_den = fps.den > 0 ? (uint32_t)fps.den : 1;
    i->seconds = v->demux->duration > 0 ? (double)v->demux->duration / AV_TIME_BASE : 0;
    i->frames = s->nb_frames > 0 ? (uint64_t)s->nb_frames : 0;
    i->title = metadata(v, "title");
    i->comment = metadata(v, "comment");
}

static int on_read(void *ud, uint8_t *to, int size)
{
    (void)ud;
    long n = pipe_in_read(to, (size_t)size);
    return n < 0 ? AVERROR(EIO) : n ? (int)n : AVERROR_EOF;
}

/* From standard input as it comes, in place of a file. */
static int open_pipe(struct video_in *v)
{
    enum { BLOCK = 64 << 10 };
    uint8_t *block = av_malloc(BLOCK);
    v->pipe = block ? avio_alloc_context(block, BLOCK, 0, v, on_read, NULL, NULL) : NULL;
    v->demux = v->pipe ? avformat_alloc_context() : NULL;
    if (!v->pipe)
        av_free(block);
    if (!v->demux)
        return fv_fail(FV_ENOMEM, "out of memory");
    v->demux->pb = v->pipe;
    return 0;
}

/* YUV4MPEG2 has no place for the matrix but remarks, "XFOVEA=BT709" in its first line. */
static bool remarks_bt709(const char *path)
{
    char line[256] = "";
    size_t n;
    if (pipe_in_is_stream(path)) {
        const char *begin = pipe_in_begin(&n);
        memcpy(line, begin, n < sizeof line - 1 ? n : sizeof line - 1);
    } else {
        FILE *f = fopen(path, "rb");
        n = f ? fread(line, 1, sizeof line - 1, f) : 0;
        line[n] = 0;
        if (f)
            fclose(f);
    }
    line[strcspn(line, "\n")] = 0;
    return !strncmp(line, "YUV4MPEG2 ", 10) && strstr(line, " XFOVEA=BT709");
}

static int open_decoder(struct video_in *v)
{
    const AVCodec *codec = NULL;
    if (pipe_in_is_stream(v->path))
        FV_TRY(open_pipe(v));
    int rc = avformat_open_input(&v->demux, v->path, NULL, NULL);
    if (rc < 0)
        return decode_failure(v, rc, "not a readable video");
    if ((rc = avformat_find_stream_info(v->demux, NULL)) < 0)
        return decode_failure(v, rc, "no stream information");
    rc = av_find_best_stream(v->demux, AVMEDIA_TYPE_VIDEO, -1, -1, &codec, 0);
    if (rc < 0 || !codec)
        return fv_fail(FV_EFORMAT, "%s: no video stream that can be decoded", v->path);
    v->stream = rc;
    v->dec = avcodec_alloc_context3(codec);
    if (!v->dec)
        return fv_fail(FV_ENOMEM, "out of memory");
    const AVCodecParameters *p = v->demux->streams[v->stream]->codecpar;
    if (p->width < 1 || p->height < 1 || p->width > 16384 || p->height > 16384)
        return fv_fail(FV_EFORMAT, "%s: video of %dx%d", v->path, p->width, p->height);
    if ((rc = avcodec_parameters_to_context(v->dec, p)) < 0 ||
        (rc = avcodec_open2(v->dec, codec, NULL)) < 0)
        return decode_failure(v, rc, "decoder");
    return 0;
}

int video_in_open(struct video_in **out, const char *path)
{
    struct fv_map map;
    *out = NULL;
    if (!pipe_in_is_stream(path)) {
        FV_TRY(fv_map_open(&map, path)); /* the usual sentences for missing files and folders */
        fv_map_close(&map);
    }
    video_quiet_libav();
    struct video_in *v = calloc(1, sizeof *v);
    if (!v)
        return fv_fail(FV_ENOMEM, "out of memory");
    v->path = strdup(path);
    v->frame = av_frame_alloc();
    v->packet = av_packet_alloc();
    int rc =
        v->path && v->frame && v->packet ? open_decoder(v) : fv_fail(FV_ENOMEM, "out of memory");
    if (rc >= 0) {
        fill_info(v);
        v->bt709 = remarks_bt709(path);
        v->rgb = malloc((size_t)v->info.width * v->info.height * 6);
        rc = v->rgb ? 0 : fv_fail(FV_ENOMEM, "%s: out of memory", path);
    }
    if (rc < 0)
        return video_in_close(&v), rc;
    *out = v;
    return 0;
}

const struct video_info *video_in_info(const struct video_in *v)
{
    return &v->info;
}

/* Feeds packets until a frame comes out: 1, or 0 at the end. */
static int next_frame(struct video_in *v)
{
    for (;;) {
        int rc = avcodec_receive_frame(v->dec, v->frame);
        if (rc == 0)
            return 1;
        if (rc == AVERROR_EOF)
            return 0;
        if (rc != AVERROR(EAGAIN))
            return decode_failure(v, rc, "decoding");
        rc = v->at_end ? AVERROR_EOF : av_read_frame(v->demux, v->packet);
        if (rc == AVERROR_EOF) {
            v->at_end = true;
            avcodec_send_packet(v->dec, NULL);
            continue;
        }
        if (rc < 0)
            return decode_failure(v, rc, "reading");
        if (v->packet->stream_index == v->stream)
            rc = avcodec_send_packet(v->dec, v->packet);
        av_packet_unref(v->packet);
        if (rc < 0 && rc != AVERROR(EAGAIN))
            return decode_failure(v, rc, "decoding");
    }
}

static int sws_matrix(const struct video_in *v)
{
    const AVFrame *f = v->frame;
    switch (f->colorspace) {
    case AVCOL_SPC_BT709:
        return SWS_CS_ITU709;
    case AVCOL_SPC_BT470BG:
    case AVCOL_SPC_SMPTE170M:
        return SWS_CS_ITU601;
    case AVCOL_SPC_BT2020_NCL:
    case AVCOL_SPC_BT2020_CL:
        return SWS_CS_BT2020;
    default:
        return f->height < 720 && !v->bt709 ? SWS_CS_ITU601 : SWS_CS_ITU709;
    }
}

/* (Re)makes the converter when the frame's format or colours change. */
static int converter(struct video_in *v)
{
    const AVFrame *f = v->frame;
    int space = sws_matrix(v), range = f->color_range == AVCOL_RANGE_JPEG;
    if (v->sws && v->sws_format == f->format && v->sws_space == space && v->sws_range == range)
        return 0;
    sws_freeContext(v->sws);
    v->sws = sws_getContext(
        f->width, f->height, f->format, f->width, f->height, AV_PIX_FMT_RGB48,
        SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT | SWS_FULL_CHR_H_INP, NULL, NULL, NULL);
    if (!v->sws)
        return fv_fail(FV_EUNSUPPORTED, "%s: pixel format %s cannot be converted", v->path,
                       av_get_pix_fmt_name(f->format));
    const int *m = sws_getCoefficients(space);
    sws_setColorspaceDetails(v->sws, m, range, m, 1, 0, 1 << 16, 1 << 16);
    v->sws_format = f->format;
    v->sws_space = space;
    v->sws_range = range;
    return 0;
}

int video_in_read(struct video_in *v, float *rgb)
{
    int rc = next_frame(v);
    if (rc <= 0)
        return rc;
    if (v->frame->width != (int)v->info.width || v->frame->height != (int)v->info.height)
        return fv_fail(FV_EUNSUPPORTED, "%s: the picture changes its size to %dx%d", v->path,
                       v->frame->width, v->frame->height);
    FV_TRY(converter(v));
    size_t n = (size_t)v->info.width * v->info.height * 3;
    uint8_t *to[4] = {(uint8_t *)v->rgb};
    int stride[4] = {(int)v->info.width * 6};
    sws_scale(v->sws, (const uint8_t *const *)v->frame->data, v->frame->linesize, 0,
              v->frame->height, to, stride);
    for (size_t i = 0; i < n; i++)
        rgb[i] = (float)v->rgb[i] / 65535.0f;
    av_frame_unref(v->frame);
    return 1;
}

void video_in_close(struct video_in **out)
{
    struct video_in *v = *out;
    *out = NULL;
    if (!v)
        return;
    sws_freeContext(v->sws);
    avcodec_free_context(&v->dec);
    avformat_close_input(&v->demux);
    if (v->pipe) {
        av_freep(&v->pipe->buffer);
        avio_context_free(&v->pipe);
    }
    av_frame_free(&v->frame);
    av_packet_free(&v->packet);
    free(v->rgb);
    free(v->info.title);
    free(v->info.comment);
    free(v->path);
    free(v);
}
