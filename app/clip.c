/* Clips to and from planes (clip.h). */
#include "app/clip.h"
#include "app/video.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- in ---------------------------------------------------------------------------------- */

static uint32_t round_up(uint32_t n, uint32_t multiple)
{
    return (n + multiple - 1) / multiple * multiple;
}

/* The size is that of the first frame, which is read again. */
static int look_at_first(struct clip_in *c, uint32_t multiple)
{
    int rc = frames_in_next(&c->frames);
    FV_TRY(rc);
    if (rc == 0)
        return fv_fail(FV_EFORMAT, "%s: no frame in it", c->path);
    c->source_width = c->frames.frame.width;
    c->source_height = c->frames.frame.height;
    c->width = round_up(c->source_width, multiple);
    c->height = round_up(c->source_height, multiple);
    return 0;
}

int clip_in_open(struct clip_in *c, const char *path, uint32_t multiple, uint32_t most)
{
    *c = (struct clip_in){.path = path, .fps_den = 1, .most = most ? most : UINT32_MAX};
    FV_TRY(frames_in_open(&c->frames, path));
    uint64_t length = c->frames.single ? 1 : c->frames.names.count;
    if (c->frames.video) {
        const struct video_info *i = video_in_info(c->frames.video);
        c->fps_num = i->fps_num;
        c->fps_den = i->fps_den;
        length = i->frames;
        if (!length && i->fps_num)
            length = (uint64_t)(i->seconds * i->fps_num / i->fps_den + 0.5);
    }
    c->length = (uint32_t)(length < c->most ? length : c->most);
    int rc = look_at_first(c, multiple);
    frames_in_finish(&c->frames);
    if (rc >= 0)
        rc = frames_in_open(&c->frames, path);
    return rc;
}

/* [H][W][1 or 3] of 0 .. 1 to planes of -1 .. 1, edges repeated. */
static void to_planes(float *out, const struct image *i, uint32_t height, uint32_t width)
{
    for (uint32_t ch = 0; ch < 3; ch++)
        for (uint32_t y = 0; y < height; y++) {
            uint32_t sy = y < i->height ? y : i->height - 1;
            const float *row = i->data + (size_t)sy * i->width * i->channels;
            float *to = out + ((size_t)ch * height + y) * width;
            for (uint32_t x = 0; x < width; x++) {
                uint32_t sx = x < i->width ? x : i->width - 1;
                to[x] = row[(size_t)sx * i->channels + (i->channels == 3 ? ch : 0)] * 2 - 1;
            }
        }
}

int clip_in_read(struct clip_in *c, uint32_t first, uint32_t count, float *planes)
{
    size_t frame = (size_t)3 * c->width * c->height;
    if (first < c->at) {
        frames_in_finish(&c->frames);
        c->at = 0;
        FV_TRY(frames_in_open(&c->frames, c->path));
    }
    uint32_t n = 0;
    while (n < count && c->at < c->most) {
        int rc = frames_in_next(&c->frames);
        FV_TRY(rc);
        if (rc == 0)
            break;
        const struct image *i = &c->frames.frame;
        if (i->width != c->source_width || i->height != c->source_height)
            return fv_fail(FV_EINVALID, "%s: frame %u is %ux%u, the first is %ux%u", c->path, c->at,
                           i->width, i->height, c->source_width, c->source_height);
        if (c->at++ >= first)
            to_planes(planes + n++ * frame, i, c->height, c->width);
    }
    return (int)n;
}

void clip_in_finish(struct clip_in *c)
{
    frames_in_finish(&c->frames);
}

/* ---- colours ----------------------------------------------------------------------------- */

static void to_yuv(float out[3], const float *rgb)
{
    float y = 0.2126f * rgb[0] + 0.7152f * rgb[1] + 0.0722f * rgb[2];
    out[0] = y;
    out[1] = (rgb[2] - y) / 1.8556f;
    out[2] = (rgb[0] - y) / 1.5748f;
}

static uint8_t luma(float y)
{
    return (uint8_t)(16.5f + 219 * y);
}

static uint8_t chroma(float c)
{
    return (uint8_t)(128.5f + 224 * c);
}

void clip_rgb_to_yuv(uint8_t *out, const float *rgb, uint32_t width, uint32_t height, bool half)
{
    uint32_t n = half ? 2 : 1;
    size_t planes = (size_t)width * height, small = planes / (n * n);
    for (uint32_t y = 0; y < height; y += n)
        for (uint32_t x = 0; x < width; x += n) {
            float u = 0, v = 0;
            for (uint32_t j = 0; j < n; j++)
                for (uint32_t i = 0; i < n; i++) {
                    size_t p = (size_t)(y + j) * width + x + i;
                    float c[3];
                    to_yuv(c, rgb + 3 * p);
                    out[p] = luma(c[0]);
                    u += c[1];
                    v += c[2];
                }
            size_t at = (size_t)(y / n) * (width / n) + x / n;
            out[planes + at] = chroma(u / (float)(n * n));
            out[planes + small + at] = chroma(v / (float)(n * n));
        }
}

/* ---- out --------------------------------------------------------------------------------- */

static enum gs_output kind_of(const struct clip_out *c)
{
    enum output_format f = c->output.format;
    if (f == OUTPUT_NPY)
        return GS_OUT_RGB_F32;
    if (f == OUTPUT_PNG)
        return GS_OUT_RGBA8;
    return c->opts.width % 2 || c->opts.height % 2 ? GS_OUT_YUV444P : GS_OUT_YUV420P;
}

static int open_sink(struct clip_out *c)
{
    const struct clip_out_opts *o = &c->opts;
    FV_TRY(output_parse(&c->output, o->path, o->format));
    FV_TRY(output_prepare_folder(&c->output));
    c->kind = kind_of(c);
    struct sink_opts s = {.format = c->output.format,
                          .container = c->output.container,
                          .path = c->output.path,
                          .output = c->kind,
                          .width = o->width,
                          .height = o->height,
                          .fps_num = o->fps_num,
                          .fps_den = o->fps_den,
                          .codec = o->codec,
                          .crf = o->crf,
                          .title = o->title,
                          .comment = o->comment};
    return sink_open(&c->sink, &s);
}

int clip_out_open(struct clip_out *c, const struct clip_out_opts *o)
{
    size_t n = (size_t)o->width * o->height;
    *c = (struct clip_out){.opts = *o};
    c->rgb = malloc(n * 3 * sizeof *c->rgb);
    c->frame = malloc(n * 4);
    if (!c->rgb || !c->frame)
        return fv_fail(FV_ENOMEM, "out of memory");
    return o->path ? open_sink(c) : 0;
}

static void to_rgb(struct clip_out *c, const float *planes, uint32_t height, uint32_t width)
{
    for (uint32_t y = 0; y < c->opts.height; y++)
        for (uint32_t x = 0; x < c->opts.width; x++)
            for (uint32_t ch = 0; ch < 3; ch++) {
                float v = planes[((size_t)ch * height + y) * width + x] * 0.5f + 0.5f;
                c->rgb[((size_t)y * c->opts.width + x) * 3 + ch] = fminf(fmaxf(v, 0), 1);
            }
}

static int push(struct clip_out *c)
{
    uint32_t w = c->opts.width, h = c->opts.height;
    size_t n = (size_t)w * h;
    const void *pixels = c->frame;
    size_t size = c->kind == GS_OUT_YUV420P ? n * 3 / 2 : n * 3;
    if (c->kind == GS_OUT_RGB_F32) {
        pixels = c->rgb;
        size = n * 3 * sizeof(float);
    } else if (c->kind == GS_OUT_RGBA8) {
        uint8_t *out = c->frame;
        size = n * 4;
        for (size_t i = 0; i < n; i++) {
            for (int ch = 0; ch < 3; ch++)
                out[4 * i + ch] = (uint8_t)(c->rgb[3 * i + ch] * 255 + 0.5f);
            out[4 * i + 3] = 255;
        }
    } else {
        clip_rgb_to_yuv(c->frame, c->rgb, w, h, c->kind == GS_OUT_YUV420P);
    }
    char *name = output_is_sequence(&c->output) ? output_name(&c->output, c->count, NULL) : NULL;
    if (output_is_sequence(&c->output) && !name)
        return fv_fail(FV_ENOMEM, "out of memory");
    int rc = sink_push(c->sink, name, w, h, pixels, size);
    free(name);
    return rc;
}

int clip_out_write(struct clip_out *c, const float *planes, uint32_t height, uint32_t width)
{
    to_rgb(c, planes, height, width);
    if (c->sink && c->count && !output_takes_several(&c->output))
        return fv_fail(FV_EINVALID,
                       "%s: several frames need a numbered name, such as "
                       "frame_%%04d.png",
                       c->opts.path);
    if (c->sink)
        FV_TRY(push(c));
    c->count++;
    return 0;
}

int clip_out_finish(struct clip_out *c, bool complete, struct sink_stats *stats)
{
    int rc = c->sink ? sink_finish(&c->sink, complete, stats) : 0;
    free(c->rgb);
    free(c->frame);
    c->rgb = NULL;
    c->frame = NULL;
    return rc;
}
