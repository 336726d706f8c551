/* What came of a quantisation, as JSON, a plot and lines (quantize.h). */
#include "app/plot.h"
#include "app/quantize.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void number(cJSON *o, const char *key, double v)
{
    if (isfinite(v))
        cJSON_AddNumberToObject(o, key, v);
}

/* Means over layers of relative errors; NaN when there are none. */
static double mean(const struct quantize_file *q, double (*of)(const struct quantize_layer *l))
{
    double sum = 0;
    size_t n = 0;
    for (size_t i = 0; i < q->count; i++)
        if (isfinite(of(&q->layers[i]))) {
            sum += of(&q->layers[i]);
            n++;
        }
    return n ? sum / (double)n : NAN;
}

static double error_of(const struct quantize_layer *l)
{
    return l->error;
}
static double plain_of(const struct quantize_layer *l)
{
    return l->plain_error;
}
static double weight_error_of(const struct quantize_layer *l)
{
    return l->weight_error;
}
static double alpha_of(const struct quantize_layer *l)
{
    return l->alpha;
}
/* Part of the range of the smoothed weights that is not the codes' any more. */
static double absorbed_of(const struct quantize_layer *l)
{
    return l->range > 0 ? 1 - l->range_left / l->range : NAN;
}

static double bits(const struct quantize_file *q)
{
    return 8 * (double)q->layer_bytes / (double)q->layer_weights;
}

void quantize_report_json(cJSON *object, const struct quantize_file *q)
{
    const struct qt_opts *o = &q->s.opts;
    cJSON_AddStringToObject(object, "file", q->file->name);
    cJSON_AddStringToObject(object, "method", qt_method_names[o->method]);
    cJSON_AddNumberToObject(object, "layers", (double)q->count);
    cJSON_AddNumberToObject(object, "layers_kept", (double)q->kept);
    cJSON_AddNumberToObject(object, "layers_resumed", (double)q->resumed);
    cJSON_AddNumberToObject(object, "bits_per_weight", bits(q));
    cJSON_AddNumberToObject(object, "bytes_before", (double)q->bytes_before);
    cJSON_AddNumberToObject(object, "bytes_after", (double)q->bytes_after);
    number(object, "mean_error", mean(q, error_of));
    number(object, "mean_plain_error", mean(q, plain_of));
    number(object, "mean_weight_error", mean(q, weight_error_of));
    cJSON *list = cJSON_AddArrayToObject(object, "layer");
    for (size_t i = 0; i < q->count; i++) {
        const struct quantize_layer *l = &q->layers[i];
        cJSON *e = cJSON_CreateObject();
        cJSON_AddStringToObject(e, "name", l->name);
        cJSON_AddNumberToObject(e, "outputs", (double)l->n);
        cJSON_AddNumberToObject(e, "inputs", (double)l->k);
        cJSON_AddNumberToObject(e, "rank", l->rank);
        number(e, "weight_error", l->weight_error);
        number(e, "plain_error", l->plain_error);
        number(e, "first_error", l->first_error);
        number(e, "fitted_error", l->fitted_error);
        number(e, "error", l->error);
        if (o->method == QT_SVDQUANT) {
            number(e, "alpha", l->alpha);
            number(e, "beta", l->beta);
            cJSON_AddNumberToObject(e, "refinements", l->refined);
            number(e, "absorbed", absorbed_of(l));
        }
        number(e, "seconds", l->seconds);
        cJSON_AddItemToArray(list, e);
    }
}

int quantize_plot(const char *path, const struct quantize_file *q)
{
    static const struct {
        const char *name;
        double (*of)(const struct quantize_layer *l);
        bool svdquant;
    } panels[] = {{"relative error of the output", error_of, false},
                  {"of plain 4 bits", plain_of, false},
                  {"of the weights", weight_error_of, false},
                  {"alpha", alpha_of, true},
                  {"share of the range that the branch takes", absorbed_of, true}};
    enum { PANELS = sizeof panels / sizeof *panels };
    struct plot_series series[PANELS];
    char title[160];
    size_t n = 0;
    double *y = malloc(PANELS * (q->count + 1) * sizeof *y);
    if (!y)
        return fv_fail(FV_ENOMEM, "out of memory");
    for (size_t p = 0; p < PANELS; p++) {
        bool any = false;
        if (panels[p].svdquant && q->s.opts.method != QT_SVDQUANT)
            continue;
        for (size_t i = 0; i < q->count; i++) {
            y[n * q->count + i] = panels[p].of(&q->layers[i]);
            any = any || isfinite(y[n * q->count + i]);
        }
        series[n] = (struct plot_series){panels[p].name, y + n * q->count, q->count};
        n += any;
    }
    snprintf(title, sizeof title, "%s, %zu layers in order, %.2f bits a weight", qt_method_names[q->s.opts.method],
             q->count, bits(q));
    int rc = plot_lines(path, title, series, n);
    free(y);
    return rc;
}

void quantize_say(const struct quantize_file *q, const char *what)
{
    printf("%s: %zu layers, %s, %.2f bits a weight; %.1f MB of %.1f MB", what, q->count,
           q->foreign ? "of Nunchaku's" : qt_method_names[q->s.opts.method], bits(q), 1e-6 * (double)q->bytes_after, 1e-6 * (double)q->bytes_before);
    if (q->kept)
        printf("; %zu kept", q->kept);
    if (q->resumed)
        printf("; %zu were there", q->resumed);
    putchar('\n');
    if (isfinite(mean(q, error_of)))
        printf("  relative error of outputs %.4f in the mean, of plain 4 bits %.4f\n", mean(q, error_of), mean(q, plain_of));
    if (isfinite(mean(q, weight_error_of)))
        printf("  of weights %.4f\n", mean(q, weight_error_of));
}
