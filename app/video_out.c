/* Encoder and muxer (video.h).
 *
 * The muxer writes through our own AVIO callbacks for one reason: a full disk. MP4 needs its
 * index at the end, so a reserve of 1 MiB is allocated beside the file; when the disk is full
 * it is given back, the write that failed is done again, and the file can still be ended. */
#include "app/opt.h"
#include "app/video.h"
#include "vk/base/file.h"
#include "vk/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/opt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { AVIO_BYTES = 64 << 10, RESERVE_BYTES = 1 << 20 };

struct video_out {
    char *path, *temporary; /* temporary NULL: standard output */
    AVFormatContext *mux;
    AVCodecContext *enc;
    AVStream *stream;
    AVFrame *frame;
    AVPacket *packet;
    enum gs_output format;
    int fd, reserve_fd;
    int write_errno; /* first failure of a write; ENOSPC also when the reserve helped */
    int64_t end;     /* bytes of the file */
    uint64_t frames, packets;
    bool header_written, failed;
};

const char *const video_codec_names[] = {"auto", "h264", "hevc", "av1", "vp9", NULL};

/* Encoders by codec, the one to try first in front; what they take as quality and speed. */
static const struct encoder {
    enum video_codec codec;
    const char *name, *crf, *preset_option, *preset;
    const char *options; /* more, as key=value:key=value */
} encoders[] = {
    {VIDEO_H264, "libx264", "18", "preset", "medium", NULL},
    {VIDEO_HEVC, "libx265", "20", "preset", "medium", "x265-params=log-level=none"},
    {VIDEO_AV1, "libsvtav1", "28", "preset", "8", NULL},
    {VIDEO_AV1, "libaom-av1", "28", "cpu-used", "6", "row-mt=1"},
    {VIDEO_VP9, "libvpx-vp9", "24", "cpu-used", "4", "row-mt=1,deadline=good"},
};

static const struct container {
    const char *suffix, *muxer;
    unsigned codecs; /* bits of 1 << VIDEO_x */
} containers[] = {
    {".mp4", "mp4", 1 << VIDEO_H264 | 1 << VIDEO_HEVC | 1 << VIDEO_AV1 | 1 << VIDEO_VP9},
    {".mov", "mov", 1 << VIDEO_H264 | 1 << VIDEO_HEVC},
    {".mkv", "matroska", 1 << VIDEO_H264 | 1 << VIDEO_HEVC | 1 << VIDEO_AV1 | 1 << VIDEO_VP9},
    {".webm", "webm", 1 << VIDEO_AV1 | 1 << VIDEO_VP9},
};

static const struct container *find_container(const char *path)
{
    for (size_t i = 0; i < sizeof containers / sizeof *containers; i++)
        if (fv_ends_with(path, containers[i].suffix))
            return &containers[i];
    return NULL;
}

bool video_is_container(const char *path)
{
    return find_container(path) != NULL;
}

size_t video_frame_size(enum gs_output format, uint32_t width, uint32_t height)
{
    size_t n = (size_t)width * height;
    switch (format) {
    case GS_OUT_YUV420P:
        return n + n / 2;
    case GS_OUT_YUV420P10:
        return 2 * (n + n / 2);
    case GS_OUT_YUV444P:
        return 3 * n;
    default:
        return 4 * n;
    }
}

/* ---- the file --------------------------------------------------------------------------- */

static int write_all(struct video_out *v, const uint8_t *data, int size)
{
    for (int done = 0; done < size;) {
        ssize_t n = write(v->fd, data + done, (size_t)(size - done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            int e = errno;
            if (!v->write_errno)
                v->write_errno = e;
            if (e == ENOSPC && v->reserve_fd >= 0) {
                close(v->reserve_fd); /* it has no name: closing gives its room back */
                v->reserve_fd = -1;
                continue;
            }
            return AVERROR(e);
        }
        done += (int)n;
    }
    int64_t at = lseek(v->fd, 0, SEEK_CUR);
    if (at < 0) /* a pipe */
        v->end += size;
    else
        v->end = at > v->end ? at : v->end;
    return size;
}

#if LIBAVFORMAT_VERSION_MAJOR >= 61
static int on_write(void *ud, const uint8_t *data, int size)
#else
static int on_write(void *ud, uint8_t *data, int size)
#endif
{
    return write_all(ud, data, size);
}

static int64_t on_seek(void *ud, int64_t offset, int whence)
{
    struct video_out *v = ud;
    if (whence == AVSEEK_SIZE)
        return v->end;
    int64_t at = lseek(v->fd, offset, whence & ~AVSEEK_FORCE);
    return at < 0 ? AVERROR(errno) : at;
}

static int open_avio(struct video_out *v)
{
    uint8_t *buffer = av_malloc(AVIO_BYTES);
    v->mux->pb = buffer ? avio_alloc_context(buffer, AVIO_BYTES, 1, v, NULL, on_write, v->temporary ? on_seek : NULL)
                        : NULL;
    if (!v->mux->pb) {
        av_free(buffer);
        return fv_fail(FV_ENOMEM, "out of memory");
    }
    v->mux->flags |= AVFMT_FLAG_CUSTOM_IO;
    return 0;
}

/* Faststart moves the data with pwrite-like reads: the muxer opens the file again by name. */
static int open_file(struct video_out *v)
{
    if (!v->temporary)
        return open_avio(v);
    if (fv_is_dir(v->path))
        return fv_fail(FV_EIO, "%s: is a directory; give a file name", v->path);
    v->fd = open(v->temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (v->fd < 0)
        return fv_fail(FV_EIO, "%s: cannot be written: %s", v->path, strerror(errno));
    char *reserve = NULL;
    if (asprintf(&reserve, "%s.reserve", v->temporary) < 0)
        return fv_fail(FV_ENOMEM, "out of memory");
    v->reserve_fd = open(reserve, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int e = v->reserve_fd < 0 ? errno : 0;
    unlink(reserve);
    free(reserve);
    if (!e)
        e = posix_fallocate(v->reserve_fd, 0, RESERVE_BYTES);
    if (e == ENOSPC)
        return fv_fail(FV_EIO, "%s: the disk is full", v->path);
    return open_avio(v);
}

/* A sentence for a libav code, with the operating system's reason where there is one. */
static int av_failure(struct video_out *v, int rc, const char *what)
{
    char text[128], line[256];
    v->failed = true;
    if (v->write_errno == ENOSPC)
        return fv_fail(FV_EIO, "%s: the disk is full", v->path);
    if (v->write_errno)
        return fv_write_failure(v->temporary ? v->path : NULL, v->write_errno);
    if (rc == AVERROR(ENOMEM))
        return fv_fail(FV_ENOMEM, "%s: %s: out of memory", v->path, what);
    av_strerror(rc, text, sizeof text);
    video_last_libav_error(line, sizeof line);
    return fv_fail(FV_EUNSUPPORTED, "%s: %s: %s", v->path, what, *line ? line : text);
}

/* ---- opening ---------------------------------------------------------------------------- */

static enum AVPixelFormat pixel_format(enum gs_output f)
{
    return f == GS_OUT_YUV420P     ? AV_PIX_FMT_YUV420P
           : f == GS_OUT_YUV444P   ? AV_PIX_FMT_YUV444P
           : f == GS_OUT_YUV420P10 ? AV_PIX_FMT_YUV420P10LE
                                   : AV_PIX_FMT_NONE;
}

static void describe(AVCodecContext *c, const struct video_opts *o)
{
    c->width = (int)o->width;
    c->height = (int)o->height;
    c->pix_fmt = pixel_format(o->format);
    c->time_base = (AVRational){(int)o->fps_den, (int)o->fps_num};
    c->framerate = (AVRational){(int)o->fps_num, (int)o->fps_den};
    c->sample_aspect_ratio = (AVRational){1, 1};
    c->color_primaries = AVCOL_PRI_BT709;
    c->color_trc = AVCOL_TRC_BT709;
    c->colorspace = AVCOL_SPC_BT709;
    c->color_range = AVCOL_RANGE_MPEG;
    if (o->format != GS_OUT_YUV444P)
        c->chroma_sample_location = AVCHROMA_LOC_CENTER; /* the renderer averages 2x2 pixels */
    c->bit_rate = (int64_t)o->bitrate;
    c->thread_count = 0;
}

static int open_encoder(struct video_out *v, const struct encoder *e, const struct video_opts *o)
{
    const AVCodec *codec = avcodec_find_encoder_by_name(e->name);
    AVDictionary *opts = NULL;
    char crf[16];
    if (!codec)
        return AVERROR_ENCODER_NOT_FOUND;
    v->enc = avcodec_alloc_context3(codec);
    if (!v->enc)
        return AVERROR(ENOMEM);
    describe(v->enc, o);
    if (v->mux->oformat->flags & AVFMT_GLOBALHEADER)
        v->enc->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    if (e->codec == VIDEO_HEVC && strcmp(v->mux->oformat->name, "matroska"))
        v->enc->codec_tag = MKTAG('h', 'v', 'c', '1'); /* what QuickTime plays */
    if (!o->bitrate) {
        snprintf(crf, sizeof crf, "%d", o->crf);
        av_dict_set(&opts, "crf", o->crf >= 0 ? crf : e->crf, 0);
    }
    av_dict_set(&opts, e->preset_option, o->preset ? o->preset : e->preset, 0);
    if (e->options)
        av_dict_parse_string(&opts, e->options, "=", ",", 0);
    int rc = avcodec_open2(v->enc, codec, &opts);
    av_dict_free(&opts);
    if (rc < 0)
        avcodec_free_context(&v->enc);
    return rc;
}

static const char *const x26x_presets[] = {"ultrafast", "superfast", "veryfast", "faster",
                                           "fast",      "medium",    "slow",     "slower",
                                           "veryslow",  "placebo",   NULL};

/* The encoders say nothing, or say it past libav, when a preset is not theirs. */
static int check_preset(enum video_codec codec, const char *preset)
{
    const char *name = video_codec_names[codec], *near;
    if (!preset)
        return 0;
    if (codec != VIDEO_H264 && codec != VIDEO_HEVC) {
        int most = codec == VIDEO_AV1 ? 12 : 8;
        size_t digits = strspn(preset, "0123456789");
        if (!digits || digits > 2 || preset[digits] || atoi(preset) > most)
            return fv_fail(FV_EINVALID, "--preset: %s takes 0 (slow, small) to %d (fast)", name,
                           most);
        return 0;
    }
    for (const char *const *p = x26x_presets; *p; p++)
        if (!strcmp(*p, preset))
            return 0;
    if ((near = opt_nearest(preset, x26x_presets)))
        return fv_fail(FV_EINVALID, "--preset: no %s preset \"%s\"; did you mean %s?", name, preset,
                       near);
    return fv_fail(FV_EINVALID, "--preset: no %s preset \"%s\"; choose ultrafast to placebo", name,
                   preset);
}

static int choose_encoder(struct video_out *v, const struct container *c,
                          const struct video_opts *o)
{
    enum video_codec codec = o->codec;
    int rc = AVERROR_ENCODER_NOT_FOUND;
    if (codec == VIDEO_AUTO)
        codec = c->codecs & 1u << VIDEO_H264 ? VIDEO_H264 : VIDEO_VP9;
    if (!(c->codecs & 1u << codec))
        return fv_fail(FV_EUNSUPPORTED, "%s: %s does not go into %s; use .mkv or another --codec",
                       o->path, video_codec_names[codec], c->suffix);
    FV_TRY(check_preset(codec, o->preset));
    for (size_t i = 0; i < sizeof encoders / sizeof *encoders && !v->enc; i++)
        if (encoders[i].codec == codec)
            rc = open_encoder(v, &encoders[i], o);
    if (v->enc)
        return 0;
    if (rc == AVERROR_ENCODER_NOT_FOUND)
        return fv_fail(FV_EUNSUPPORTED,
                       "%s: this libavcodec has no %s encoder; try another --codec", o->path,
                       video_codec_names[codec]);
    return av_failure(v, rc, video_codec_names[codec]);
}

static int open_stream(struct video_out *v, const struct video_opts *o)
{
    v->stream = avformat_new_stream(v->mux, NULL);
    if (!v->stream || avcodec_parameters_from_context(v->stream->codecpar, v->enc) < 0)
        return fv_fail(FV_ENOMEM, "out of memory");
    v->stream->time_base = v->enc->time_base;
    v->stream->avg_frame_rate = v->enc->framerate;
    if (o->title)
        av_dict_set(&v->mux->metadata, "title", o->title, 0);
    if (o->comment)
        av_dict_set(&v->mux->metadata, "comment", o->comment, 0);
    return 0;
}

static int write_header(struct video_out *v)
{
    AVDictionary *opts = NULL;
    if (strcmp(v->mux->oformat->name, "mp4") == 0 || strcmp(v->mux->oformat->name, "mov") == 0)
        av_dict_set(&opts, "movflags", v->temporary ? "+faststart" : "+frag_keyframe+empty_moov+default_base_moof", 0);
    int rc = avformat_write_header(v->mux, &opts);
    av_dict_free(&opts);
    if (rc < 0)
        return av_failure(v, rc, "container header");
    v->header_written = true;
    return 0;
}

static void destroy(struct video_out *v)
{
    if (v->mux && v->mux->pb) {
        av_freep(&v->mux->pb->buffer);
        avio_context_free(&v->mux->pb);
    }
    avformat_free_context(v->mux);
    avcodec_free_context(&v->enc);
    av_frame_free(&v->frame);
    av_packet_free(&v->packet);
    if (v->fd >= 0)
        close(v->fd);
    if (v->reserve_fd >= 0)
        close(v->reserve_fd);
    free(v->path);
    free(v->temporary);
    free(v);
}

static int check_opts(const struct video_opts *o)
{
    if (pixel_format(o->format) == AV_PIX_FMT_NONE)
        return fv_fail(FV_EINVALID, "%s: frames must be YUV", o->path);
    if (!o->width || !o->height || o->width > 16384 || o->height > 16384)
        return fv_fail(FV_EINVALID, "%s: %ux%u is not a size for video (1..16384)", o->path,
                       o->width, o->height);
    if (o->format != GS_OUT_YUV444P && (o->width % 2 || o->height % 2))
        return fv_fail(FV_EINVALID,
                       "%s: 4:2:0 video needs an even size; use %ux%u, or --pix-fmt yuv444p",
                       o->path, (o->width + 1) & ~1u, (o->height + 1) & ~1u);
    if (!o->fps_num || !o->fps_den || o->fps_num > INT32_MAX || o->fps_den > INT32_MAX)
        return fv_fail(FV_EINVALID, "%s: %u/%u is not a frame rate", o->path, o->fps_num,
                       o->fps_den);
    return 0;
}

int video_out_open(struct video_out **out, const struct video_opts *o)
{
    const struct container *c = find_container(o->container ? o->container : o->path);
    bool piped = !strcmp(o->path, "-");
    int rc;
    *out = NULL;
    if (!c)
        return fv_fail(FV_EUNSUPPORTED, "%s: name it .mp4, .mkv, .webm or .mov", o->path);
    FV_TRY(check_opts(o));
    video_quiet_libav();
    struct video_out *v = calloc(1, sizeof *v);
    if (!v)
        return fv_fail(FV_ENOMEM, "out of memory");
    v->fd = v->reserve_fd = -1;
    v->format = o->format;
    v->path = strdup(piped ? "standard output" : o->path);
    v->frame = av_frame_alloc();
    v->packet = av_packet_alloc();
    if (piped)
        v->fd = dup(STDOUT_FILENO);
    else if (asprintf(&v->temporary, "%s.%ld.tmp", o->path, (long)getpid()) < 0)
        v->temporary = NULL;
    avformat_alloc_output_context2(&v->mux, NULL, c->muxer, v->temporary);
    if (!v->path || (!v->temporary && !piped) || !v->frame || !v->packet || !v->mux)
        rc = fv_fail(FV_ENOMEM, "out of memory");
    else if ((rc = choose_encoder(v, c, o)) < 0 || (rc = open_file(v)) < 0 ||
             (rc = open_stream(v, o)) < 0 || (rc = write_header(v)) < 0)
        if (v->fd >= 0 && v->temporary)
            unlink(v->temporary);
    if (rc < 0)
        return destroy(v), rc;
    fv_log(FV_INFO, "encoding %s with %s", o->path, v->enc->codec->name);
    *out = v;
    return 0;
}

/* ---- frames ----------------------------------------------------------------------------- */

/* Takes the packets the encoder has ready and muxes them. */
static int drain(struct video_out *v)
{
    for (;;) {
        int rc = avcodec_receive_packet(v->enc, v->packet);
        if (rc == AVERROR(EAGAIN) || rc == AVERROR_EOF)
            return 0;
        if (rc < 0)
            return av_failure(v, rc, "encoding");
        v->packet->duration = 1;
        v->packet->stream_index = v->stream->index;
        av_packet_rescale_ts(v->packet, v->enc->time_base, v->stream->time_base);
        rc = av_write_frame(v->mux, v->packet);
        av_packet_unref(v->packet);
        if (rc < 0 || v->write_errno || v->mux->pb->error < 0)
            return av_failure(v, rc < 0 ? rc : v->mux->pb->error, "writing");
        v->packets++;
    }
}

static void copy_plane(uint8_t *dst, int stride, const uint8_t **src, size_t row, uint32_t rows)
{
    for (uint32_t y = 0; y < rows; y++, *src += row)
        memcpy(dst + (size_t)y * (size_t)stride, *src, row);
}

static int fill_frame(struct video_out *v, const void *planes)
{
    const uint8_t *src = planes;
    AVFrame *f = v->frame;
    av_frame_unref(f);
    f->width = v->enc->width;
    f->height = v->enc->height;
    f->format = v->enc->pix_fmt;
    f->color_primaries = v->enc->color_primaries;
    f->color_trc = v->enc->color_trc;
    f->colorspace = v->enc->colorspace;
    f->color_range = v->enc->color_range;
    f->chroma_location = v->enc->chroma_sample_location;
    f->pts = (int64_t)v->frames;
    if (av_frame_get_buffer(f, 0) < 0)
        return fv_fail(FV_ENOMEM, "out of memory");
    size_t bytes = v->format == GS_OUT_YUV420P10 ? 2 : 1;
    uint32_t half = v->format == GS_OUT_YUV444P ? 0 : 1;
    for (int p = 0; p < 3; p++) {
        uint32_t shift = p ? half : 0;
        copy_plane(f->data[p], f->linesize[p], &src, ((size_t)f->width >> shift) * bytes,
                   (uint32_t)f->height >> shift);
    }
    return 0;
}

int video_out_write(struct video_out *v, const void *planes, size_t size)
{
    if (size != video_frame_size(v->format, (uint32_t)v->enc->width, (uint32_t)v->enc->height))
        return fv_fail(FV_EINVALID, "%s: a frame of %zu bytes is not one of %dx%d", v->path, size,
                       v->enc->width, v->enc->height);
    FV_TRY(fill_frame(v, planes));
    int rc = avcodec_send_frame(v->enc, v->frame);
    if (rc < 0)
        return av_failure(v, rc, "encoding");
    v->frames++;
    return drain(v);
}

/* ---- ending ----------------------------------------------------------------------------- */

char *video_partial_name(const char *path)
{
    const char *dot = strrchr(fv_path_base(path), '.');
    size_t stem = dot ? (size_t)(dot - path) : strlen(path);
    char *name = NULL;
    if (asprintf(&name, "%.*s.partial%s", (int)stem, path, path + stem) < 0)
        return NULL;
    return name;
}

static int end_file(struct video_out *v)
{
    int rc = 0;
    if (!v->failed) { /* the encoder still holds the last frames */
        rc = avcodec_send_frame(v->enc, NULL);
        rc = rc < 0 ? av_failure(v, rc, "encoding") : drain(v);
    }
    int was = v->write_errno;
    v->write_errno = 0;
    int end = av_write_trailer(v->mux);
    avio_flush(v->mux->pb);
    if (end >= 0 && v->mux->pb->error < 0)
        end = v->mux->pb->error;
    if (end >= 0 && v->temporary && fsync(v->fd) < 0 && errno != EINVAL && errno != EROFS)
        end = AVERROR(errno);
    if (end < 0) {
        v->packets = 0; /* it does not play: nothing to keep */
        v->write_errno = v->write_errno ? v->write_errno : was;
        return rc < 0 ? rc : av_failure(v, end, "ending the file");
    }
    return rc;
}

int video_out_finish(struct video_out **out, bool complete, char **kept)
{
    struct video_out *v = *out;
    int rc = 0;
    *kept = NULL;
    *out = NULL;
    if (!v)
        return 0;
    if (v->header_written)
        rc = end_file(v);
    char *name = NULL;
    if (v->packets && v->temporary)
        name = (rc < 0 || !complete) && fv_exists(v->path) ? video_partial_name(v->path)
                                                           : strdup(v->path);
    if (!v->temporary) {
        /* what went through a pipe is gone */
    } else if (!name) {
        unlink(v->temporary);
    } else if (rename(v->temporary, name) < 0) {
        rc = fv_fail(FV_EIO, "%s: cannot be renamed to: %s", name, strerror(errno));
        unlink(v->temporary);
        free(name);
        name = NULL;
    }
    *kept = name;
    destroy(v);
    return rc;
}

uint64_t video_out_frames(const struct video_out *v)
{
    return v->frames;
}

uint64_t video_out_bytes(const struct video_out *v)
{
    return (uint64_t)v->end;
}

const char *video_out_encoder(const struct video_out *v)
{
    return v->enc->codec->name;
}
