/* What encoding a stream led to: its frames and sums, as JSON and as a plot. */
#ifndef ENCODE_REPORT_H
#define ENCODE_REPORT_H

#include "gs/gs.h"

struct encode_report {
    struct gs_stream_report sums;
    struct gs_stream_coded *frame; /* [count]: those that were told of */
    size_t count, room;
    bool out_of_memory;
    double wall, cpu; /* seconds */
};

/* For gs_stream_opts.on_frame; ud: the report. */
void encode_report_add(void *ud, const struct gs_stream_coded *frame);
int encode_report_json(const struct encode_report *r, const char *path, double target_bytes);
/* PSNR, SSIM and bytes of every frame, one below the other. */
int encode_report_plot(const struct encode_report *r, const char *path, const char *title);
void encode_report_finish(struct encode_report *r);

/* PSNR of the mean error of all frames, and of the worst; false where none was measured. */
bool encode_report_psnr(const struct encode_report *r, double *mean, double *worst);

#endif
