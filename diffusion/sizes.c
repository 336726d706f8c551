/* Sizes (diffusion.h): names of pictures and lengths that Open-Sora 1.2 was trained on, and latents
 * of clips. */
#include "diffusion/diffusion.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- pictures ---------------------------------------------------------------------------- */

/* clang-format off */
/* Height to width, and the key of the authors' tables. 50:27 is 25:12 in them. */
static const struct {
    const char *name, *key;
} aspects[] = {{"3:8", "0.38"},  {"9:21", "0.43"}, {"12:25", "0.48"}, {"1:2", "0.50"},  {"9:17", "0.53"},
               {"27:50", "0.54"}, {"9:16", "0.56"}, {"5:8", "0.62"},   {"2:3", "0.67"},  {"3:4", "0.75"},
               {"1:1", "1.00"},  {"4:3", "1.33"},  {"3:2", "1.50"},   {"16:9", "1.78"}, {"17:9", "1.89"},
               {"2:1", "2.00"},  {"50:27", "2.08"}};
enum { ASPECTS = sizeof aspects / sizeof *aspects, USUAL_ASPECT = 6 };

/* The sizes themselves rather than the rule behind them (an even height for the area, an even width
 * for it): rounding and three rows were not by it. Height, width. */
static const struct {
    const char *name;
    uint16_t size[ASPECTS][2];
} resolutions[] = {
    {"144p", {{117, 312}, {125, 291}, {133, 277}, {135, 270}, {139, 262}, {141, 260}, {144, 256}, {151, 241},
              {156, 234}, {166, 221}, {192, 192}, {221, 165}, {235, 156}, {256, 144}, {263, 139}, {271, 135},
              {277, 132}}},
    {"240p", {{196, 522}, {210, 490}, {222, 462}, {226, 452}, {232, 438}, {236, 436}, {240, 426}, {252, 404},
              {262, 393}, {276, 368}, {320, 320}, {370, 278}, {392, 262}, {426, 240}, {440, 232}, {452, 226},
              {462, 222}}},
    {"360p", {{294, 784}, {314, 732}, {332, 692}, {340, 680}, {350, 662}, {352, 652}, {360, 640}, {380, 608},
              {392, 588}, {416, 554}, {480, 480}, {554, 416}, {588, 392}, {640, 360}, {660, 350}, {678, 340},
              {692, 332}}},
    {"480p", {{392, 1046}, {420, 980}, {444, 925}, {452, 904}, {466, 880}, {470, 870}, {480, 854}, {506, 810},
              {522, 784}, {554, 738}, {640, 640}, {740, 555}, {784, 522}, {854, 480}, {880, 466}, {906, 454},
              {924, 444}}},
    {"720p", {{588, 1568}, {628, 1466}, {666, 1388}, {678, 1356}, {698, 1318}, {706, 1306}, {720, 1280},
              {758, 1212}, {784, 1176}, {832, 1110}, {960, 960}, {1108, 832}, {1176, 784}, {1280, 720},
              {1320, 698}, {1358, 680}, {1386, 666}}},
    {"1080p", {{882, 2352}, {942, 2198}, {998, 2080}, {1018, 2036}, {1048, 1980}, {1058, 1958}, {1080, 1920},
               {1138, 1820}, {1176, 1764}, {1248, 1664}, {1440, 1440}, {1662, 1246}, {1764, 1176}, {1920, 1080},
               {1980, 1048}, {2036, 1018}, {2078, 998}}},
    {"2k", {{1176, 3136}, {1256, 2930}, {1330, 2770}, {1358, 2716}, {1398, 2640}, {1412, 2612}, {1440, 2560},
            {1518, 2428}, {1568, 2352}, {1662, 2216}, {1920, 1920}, {2218, 1664}, {2352, 1568}, {2560, 1440},
            {2638, 1396}, {2716, 1358}, {2772, 1330}}},
    {"4k", {{1764, 4704}, {1886, 4400}, {1996, 4158}, {2036, 4072}, {2096, 3960}, {2118, 3918}, {2160, 3840},
            {2276, 3642}, {2352, 3528}, {2494, 3326}, {2880, 2880}, {3326, 2494}, {3528, 2352}, {3840, 2160},
            {3958, 2096}, {4072, 2036}, {4156, 1994}}},
};
/* clang-format on */
enum {
    RESOLUTIONS = sizeof resolutions / sizeof *resolutions,
    LEAST_PIXELS = 8,
    MOST_PIXELS = 32768
};

static int find_aspect(const char *text, size_t *out)
{
    *out = USUAL_ASPECT;
    if (!text || !*text)
        return 0;
    for (size_t i = 0; i < ASPECTS; i++)
        if (!strcmp(text, aspects[i].name) || !strcmp(text, aspects[i].key)) {
            *out = i;
            return 0;
        }
    return fv_fail(
        FV_EINVALID,
        "aspect \"%.20s\": height:width of 3:8, 9:21, 12:25, 1:2, 9:17, 27:50, 9:16, 5:8, "
        "2:3, 3:4, 1:1, 4:3, 3:2, 16:9, 17:9, 2:1, 50:27 are known",
        text);
}

/* "320x240": 1 if it is not of that form. */
static int given_size(uint32_t *width, uint32_t *height, const char *text)
{
    long long w, h;
    int end = 0;
    if (sscanf(text, "%lld%*1[xX]%lld%n", &w, &h, &end) != 2 || !end || text[end])
        return 1;
    if (w < LEAST_PIXELS || h < LEAST_PIXELS || w > MOST_PIXELS || h > MOST_PIXELS)
        return fv_fail(FV_EINVALID, "size \"%.40s\": sides of %d to %d pixels are possible", text,
                       LEAST_PIXELS, MOST_PIXELS);
    *width = (uint32_t)w;
    *height = (uint32_t)h;
    return 0;
}

int df_picture_size(uint32_t *width, uint32_t *height, const char *size, const char *aspect)
{
    size_t a;
    for (size_t i = 0; i < RESOLUTIONS; i++)
        if (!strcasecmp(size, resolutions[i].name)) {
            FV_TRY(find_aspect(aspect, &a));
            *height = resolutions[i].size[a][0];
            *width = resolutions[i].size[a][1];
            return 0;
        }
    int rc = given_size(width, height, size);
    if (rc == 0 && aspect && *aspect)
        return fv_fail(FV_EINVALID, "size %.40s has an aspect of its own: %.20s is too much", size,
                       aspect);
    return rc <= 0 ? rc
                   : fv_fail(FV_EINVALID,
                             "size \"%.40s\": 144p, 240p, 360p, 480p, 720p, 1080p, 2k, 4k and "
                             "WIDTHxHEIGHT are known",
                             size);
}

/* ---- lengths ----------------------------------------------------------------------------- */

enum { GROUP = 17 /* frames that Open-Sora's VAE takes at once */, MOST_FRAMES = 16384 };

int df_frame_count(uint32_t *frames, const char *text)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    bool number = text[0] >= '0' && text[0] <= '9';
    bool power = n && !(n & (n - 1));
    if (number && !*end && n >= 1 && n <= MOST_FRAMES)
        *frames = (uint32_t)n;
    else if (number && !strcmp(end, "x") && power && n <= 16)
        *frames = (uint32_t)n * 3 * GROUP;
    else if (number && !strcmp(end, "s") && power && n >= 2 && n <= 32)
        *frames = (uint32_t)n / 2 * 3 * GROUP;
    else
        return fv_fail(
            FV_EINVALID,
            "\"%.20s\" frames: 1 to %d, 2s, 4s, 8s, 16s, 32s (2s: 51 frames) and 1x, 2x, "
            "4x, 8x, 16x (1x: 51) are known",
            text, MOST_FRAMES);
    return 0;
}

static uint32_t over(uint32_t n, uint32_t by)
{
    return n / by + (n % by != 0);
}

uint32_t df_latent_frames(const struct df_packing *p, uint32_t frames)
{
    if (!frames)
        return 0;
    if (!p->group)
        return 1 + over(frames - 1, p->time);
    return frames / p->group * over(p->group, p->time) + over(frames % p->group, p->time);
}

uint32_t df_whole_frames(const struct df_packing *p, uint32_t frames)
{
    if (frames < 2)
        return frames;
    return p->group ? over(frames, p->group) * p->group : 1 + over(frames - 1, p->time) * p->time;
}

int df_size_of(struct df_size *out, const struct df_packing *p, const struct df_clip_size *c)
{
    if (!p->time || !p->space)
        return fv_fail(FV_EINVALID, "latents of %u frames and %u pixels", p->time, p->space);
    if (c->width < p->space || c->height < p->space || c->width > MOST_PIXELS ||
        c->height > MOST_PIXELS)
        return fv_fail(FV_EINVALID,
                       "pictures of %ux%u: sides of %u to %d pixels are possible with this model's "
                       "latents",
                       c->width, c->height, p->space, MOST_PIXELS);
    if (!c->frames || c->frames > MOST_FRAMES)
        return fv_fail(FV_EINVALID, "%u frames: 1 to %d are possible", c->frames, MOST_FRAMES);
    if (!(c->fps > 0) || !(c->fps <= 1000))
        return fv_fail(FV_EINVALID, "%g frames a second: more than 0 and at most 1000 are possible",
                       (double)c->fps);
    *out = (struct df_size){.batch = 1,
                            .frames = df_latent_frames(p, c->frames),
                            .height = c->height / p->space,
                            .width = c->width / p->space,
                            .pixel_height = (float)c->height,
                            .pixel_width = (float)c->width,
                            .fps = c->frames == 1 ? 120 : c->fps};
    return 0;
}
