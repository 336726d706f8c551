/* Plots and heat maps (plot.h). Letters are the rectangles stb_easy_font makes of them. */
#include "app/plot.h"
#include "app/image_io.h"
#include "vk/base/err.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wshadow"
#include <stb/stb_easy_font.h>
#pragma GCC diagnostic pop

struct canvas {
    uint32_t width, height;
    uint8_t *rgb;
};

typedef struct {
    uint8_t r, g, b;
} color;

static const color ink = {40, 40, 40}, grid = {222, 222, 222}, line_color = {31, 99, 180};

static int canvas_init(struct canvas *c, uint32_t width, uint32_t height)
{
    *c = (struct canvas){width, height, malloc((size_t)width * height * 3)};
    if (!c->rgb)
        return fv_fail(FV_ENOMEM, "out of memory for a picture of %ux%u", width, height);
    memset(c->rgb, 255, (size_t)width * height * 3);
    return 0;
}

static void put(struct canvas *c, long x, long y, color v, double cover)
{
    if (x < 0 || y < 0 || x >= (long)c->width || y >= (long)c->height)
        return;
    uint8_t *p = c->rgb + 3 * ((size_t)y * c->width + (size_t)x);
    const uint8_t to[3] = {v.r, v.g, v.b};
    for (int k = 0; k < 3; k++)
        p[k] = (uint8_t)(p[k] + (to[k] - p[k]) * cover + 0.5);
}

static void fill(struct canvas *c, long x0, long y0, long x1, long y1, color v)
{
    for (long y = y0; y < y1; y++)
        for (long x = x0; x < x1; x++)
            put(c, x, y, v, 1);
}

/* Distance to the segment gives the cover: smooth at any slope. */
static void line(struct canvas *c, double x0, double y0, double x1, double y1, color v)
{
    double dx = x1 - x0, dy = y1 - y0, length = dx * dx + dy * dy;
    for (long y = (long)fmin(y0, y1) - 2; y <= (long)fmax(y0, y1) + 2; y++) {
        for (long x = (long)fmin(x0, x1) - 2; x <= (long)fmax(x0, x1) + 2; x++) {
            double px = (double)x + 0.5 - x0, py = (double)y + 0.5 - y0;
            double t = length > 0 ? fmin(fmax((px * dx + py * dy) / length, 0), 1) : 0;
            double d = hypot(px - t * dx, py - t * dy);
            put(c, x, y, v, fmin(fmax(1.4 - d, 0), 1));
        }
    }
}

/* Text with its upper left corner at x, y; letters are 7 pixels high. */
static void text(struct canvas *c, long x, long y, const char *words, color v)
{
    struct {
        float x, y, z;
        uint8_t color[4];
    } vertex[4 * 1200];
    char copy[200];
    snprintf(copy, sizeof copy, "%s", words);
    int quads = stb_easy_font_print(0, 0, copy, NULL, vertex, sizeof vertex);
    for (int i = 0; i < quads; i++)
        fill(c, x + lroundf(vertex[4 * i].x), y + lroundf(vertex[4 * i].y),
             x + lroundf(vertex[4 * i + 2].x), y + lroundf(vertex[4 * i + 2].y), v);
}

static long text_width(const char *words)
{
    char copy[200];
    snprintf(copy, sizeof copy, "%s", words);
    return stb_easy_font_width(copy);
}

static int canvas_save(struct canvas *c, const char *path)
{
    int rc = image_save_png(path, c->rgb, c->width, c->height, 3, NULL);
    free(c->rgb);
    return rc;
}

/* ---- lines ------------------------------------------------------------------------------ */

enum { PANEL_WIDTH = 860, PANEL_HEIGHT = 220, LEFT = 70, RIGHT = 20, TOP = 28, BOTTOM = 26 };

/* A step of 1, 2 or 5 times a power of ten that cuts the range into about n. */
static double nice_step(double range, int n)
{
    double raw = range / n, power = pow(10, floor(log10(raw))), f = raw / power;
    return power * (f < 1.5 ? 1 : f < 3.5 ? 2 : f < 7.5 ? 5 : 10);
}

static void range_of(const struct plot_series *s, double *low, double *high)
{
    *low = INFINITY;
    *high = -INFINITY;
    for (size_t i = 0; i < s->count; i++) {
        if (isfinite(s->y[i])) {
            *low = fmin(*low, s->y[i]);
            *high = fmax(*high, s->y[i]);
        }
    }
    if (!(*low <= *high)) {
        *low = 0;
        *high = 1;
    }
    double room = *high - *low > 1e-9 ? 0.08 * (*high - *low) : fmax(fabs(*high) * 0.01, 1e-6);
    *low -= room;
    *high += room;
}

static void panel(struct canvas *c, long top, const struct plot_series *s)
{
    double low, high;
    long x0 = LEFT, x1 = PANEL_WIDTH - RIGHT, y0 = top + TOP, y1 = top + PANEL_HEIGHT - BOTTOM;
    char label[64];
    range_of(s, &low, &high);
    text(c, x0, top + 12, s->name, ink);
    double step = nice_step(high - low, 5);
    for (double v = ceil(low / step) * step; v <= high; v += step) {
        long y = y1 - lround((v - low) / (high - low) * (double)(y1 - y0));
        fill(c, x0, y, x1, y + 1, grid);
        snprintf(label, sizeof label, "%.6g", fabs(v) < step * 1e-6 ? 0.0 : v);
        text(c, x0 - 8 - text_width(label), y - 3, label, ink);
    }
    double last = s->count > 1 ? (double)(s->count - 1) : 1;
    double xstep = fmax(1, nice_step(last, 8));
    for (double v = 0; v <= last; v += xstep) {
        long x = x0 + lround(v / last * (double)(x1 - x0));
        fill(c, x, y0, x + 1, y1 + 4, grid);
        snprintf(label, sizeof label, "%.0f", v);
        text(c, x - text_width(label) / 2, y1 + 8, label, ink);
    }
    double px = 0, py = NAN;
    for (size_t i = 0; i < s->count; i++) {
        double v = isinf(s->y[i]) ? high : s->y[i];
        double x = (double)x0 + (double)i / last * (double)(x1 - x0);
        double y = (double)y1 - (v - low) / (high - low) * (double)(y1 - y0);
        if (!isnan(y) && (isnan(py) || s->count == 1))
            line(c, x - 1, y, x + 1, y, line_color);
        else if (!isnan(y))
            line(c, px, py, x, y, line_color);
        px = x;
        py = y;
    }
    fill(c, x0, y0, x0 + 1, y1 + 1, ink);
    fill(c, x0, y1, x1, y1 + 1, ink);
}

int plot_lines(const char *path, const char *title, const struct plot_series *series, size_t n)
{
    struct canvas c;
    FV_TRY(canvas_init(&c, PANEL_WIDTH, (uint32_t)(30 + n * PANEL_HEIGHT)));
    text(&c, LEFT, 14, title, ink);
    for (size_t i = 0; i < n; i++)
        panel(&c, 24 + (long)i * PANEL_HEIGHT, &series[i]);
    return canvas_save(&c, path);
}

/* ---- heat ------------------------------------------------------------------------------- */

/* Black, violet, red, orange, pale yellow: brightness grows evenly. */
static color heat(double v)
{
    static const double stops[5][3] = {
        {0, 0, 4}, {87, 16, 110}, {188, 55, 84}, {249, 142, 9}, {252, 255, 164}};
    v = fmin(fmax(v, 0), 1) * 4;
    int i = v >= 4 ? 3 : (int)v;
    double f = v - i, out[3];
    for (int k = 0; k < 3; k++)
        out[k] = stops[i][k] + (stops[i + 1][k] - stops[i][k]) * f;
    return (color){(uint8_t)lround(out[0]), (uint8_t)lround(out[1]), (uint8_t)lround(out[2])};
}

int plot_heat(const char *path, const float *values, uint32_t width, uint32_t height, double most)
{
    enum { SCALE = 26 };
    struct canvas c;
    size_t n = (size_t)width * height;
    char label[48];
    double greatest = 0;
    for (size_t i = 0; i < n; i++)
        greatest = fmax(greatest, (double)values[i]);
    if (most <= 0)
        most = greatest;
    FV_TRY(canvas_init(&c, width < 160 ? 160 : width, height + SCALE));
    for (size_t i = 0; i < n; i++)
        put(&c, (long)(i % width), (long)(i / width), heat(most > 0 ? (double)values[i] / most : 0),
            1);
    long from = 20, to = (long)c.width - 70;
    for (long x = from; x < to; x++)
        fill(&c, x, (long)height + 8, x + 1, (long)height + 18,
             heat((double)(x - from) / (double)(to - from)));
    snprintf(label, sizeof label, "%.3g", most);
    text(&c, 8, (long)height + 10, "0", ink);
    text(&c, to + 6, (long)height + 10, label, ink);
    return canvas_save(&c, path);
}
