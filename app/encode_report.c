/* Reports of `fovea encode` (encode_report.h). */
#include "app/encode_report.h"
#include "app/plot.h"
#include "vk/base/array.h"
#include "app/text.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void encode_report_add(void *ud, const struct gs_stream_coded *frame)
{
    struct encode_report *r = ud;
    if (fv_grow(&r->frame, &r->room, r->count, sizeof *frame) < 0)
        r->out_of_memory = true;
    else
        r->frame[r->count++] = *frame;
}

void encode_report_finish(struct encode_report *r)
{
    free(r->frame);
    *r = (struct encode_report){0};
}

bool encode_report_psnr(const struct encode_report *r, double *mean, double *worst)
{
    double sum = 0;
    *worst = HUGE_VAL;
    for (size_t i = 0; i < r->count; i++) {
        sum += pow(10, -r->frame[i].psnr / 10); /* none of an infinite one */
        *worst = fmin(*worst, r->frame[i].psnr);
    }
    *mean = sum > 0 ? -10 * log10(sum / (double)r->count) : HUGE_VAL;
    return r->count > 0;
}

static const char *const sections[] = {"motion", "positions", "rotations", "scales", "opacities",
                                       "colours", "sh1", "sh2", "sh3", "deaths", "births", "basis"};
static const char *const kinds[] = {"base", "entry", "residual"};

static void add_frames(cJSON *root, const struct encode_report *r)
{
    double mean, worst;
    if (!encode_report_psnr(r, &mean, &worst))
        return;
    cJSON_AddNumberToObject(root, "psnr_db", mean);
    cJSON_AddNumberToObject(root, "psnr_db_worst", worst);
    cJSON *list = cJSON_AddArrayToObject(root, "list");
    for (size_t i = 0; i < r->count; i++) {
        const struct gs_stream_coded *f = &r->frame[i];
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "kind", kinds[f->kind]);
        cJSON_AddNumberToObject(o, "bytes", (double)f->bytes);
        cJSON_AddNumberToObject(o, "gaussians", f->count);
        cJSON_AddNumberToObject(o, "psnr_db", f->psnr);
        cJSON_AddNumberToObject(o, "ssim", f->ssim);
        cJSON_AddItemToArray(list, o);
    }
}

int encode_report_json(const struct encode_report *report, const char *path, double target_bytes)
{
    const struct gs_stream_report *r = &report->sums;
    uint32_t frames = r->bases + r->entries + r->residuals;
    if (report->out_of_memory)
        return fv_fail(FV_ENOMEM, "out of memory");
    cJSON *root = cJSON_CreateObject(), *by = cJSON_AddObjectToObject(root, "section_bytes");
    cJSON_AddNumberToObject(root, "frames", frames);
    cJSON_AddNumberToObject(root, "bytes", (double)r->bytes);
    cJSON_AddNumberToObject(root, "bytes_per_frame", frames ? (double)r->bytes / frames : 0);
    if (target_bytes > 0)
        cJSON_AddNumberToObject(root, "target_bytes_per_frame", target_bytes);
    cJSON_AddNumberToObject(root, "bases", r->bases);
    cJSON_AddNumberToObject(root, "base_bytes", (double)r->base_bytes);
    cJSON_AddNumberToObject(root, "entries", r->entries);
    cJSON_AddNumberToObject(root, "entry_bytes", (double)r->entry_bytes);
    cJSON_AddNumberToObject(root, "residuals", r->residuals);
    cJSON_AddNumberToObject(root, "residual_bytes", (double)r->residual_bytes);
    cJSON_AddNumberToObject(root, "base_psnr_db", r->psnr);
    cJSON_AddNumberToObject(root, "seconds", report->wall);
    cJSON_AddNumberToObject(root, "cpu_seconds", report->cpu);
    for (size_t k = 0; k < sizeof sections / sizeof *sections; k++)
        cJSON_AddNumberToObject(by, sections[k], (double)r->section_bytes[k]);
    add_frames(root, report);
    return write_cjson(root, path);
}

int encode_report_plot(const struct encode_report *r, const char *path, const char *title)
{
    enum { PSNR, SSIM, BYTES, COUNT, SERIES };
    static const char *const names[SERIES] = {"PSNR dB, on covered pixels", "SSIM",
                                              "log10 of bytes", "Gaussians"};
    struct plot_series series[SERIES];
    double *y = malloc((r->count * SERIES + 1) * sizeof *y);
    if (!y || r->out_of_memory) {
        free(y);
        return fv_fail(FV_ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < r->count; i++) {
        const struct gs_stream_coded *f = &r->frame[i];
        y[PSNR * r->count + i] = f->psnr;
        y[SSIM * r->count + i] = f->ssim;
        y[BYTES * r->count + i] = log10((double)f->bytes);
        y[COUNT * r->count + i] = f->count;
    }
    for (int k = 0; k < SERIES; k++)
        series[k] = (struct plot_series){names[k], y + (size_t)k * r->count, r->count};
    int rc = plot_lines(path, title, series, SERIES);
    free(y);
    return rc;
}
