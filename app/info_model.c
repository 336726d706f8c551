/* fovea info on folders of text-to-video models (info_model.h). */
#include "app/info_model.h"
#include "app/generate_report.h"
#include "app/info_quant.h"
#include "app/text.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>

static struct generator_clip usual_clip(const struct model_usual *u, const struct opt_size *size)
{
    return (struct generator_clip){.width = size->set ? size->width : u->width,
                                   .height = size->set ? size->height : u->height,
                                   .frames = u->frames,
                                   .fps = (float)u->fps,
                                   .steps = u->steps,
                                   .guidance = (float)u->guidance,
                                   .transform = u->transform,
                                   .merge_steps = u->merge_steps,
                                   .leap = u->leap};
}

static void print_part(const char *label, const char *what, const char *path)
{
    printf("  %-14s %s (%s)\n", label, what, path);
}

/* Of the transformer and the text encoder. */
static int look_at_codes(struct info_quant q[2], const struct model_in *m)
{
    const char *const path[2] = {m->dit, m->text};
    for (int i = 0; i < 2; i++) {
        struct nn_file *f = NULL;
        FV_TRY(nn_file_open(&f, path[i], NULL));
        info_quant_look(&q[i], f);
        nn_file_close(&f);
    }
    return 0;
}

static void print_all(const struct generator *g, const struct model_in *m, const struct generator_clip *c,
                      const struct generator_cost *cost, const char *hash, const struct info_quant q[2])
{
    const struct df_dit_info *d = generator_dit(g);
    const struct df_t5_info *t = generator_t5(g);
    char text[160];
    printf("%s\n  %-14s text-to-video model, %s, hash %s\n", m->model, "what", m->usual.name, hash);
    snprintf(text, sizeof text, "STDiT3: %u spatial and temporal blocks, %u features, %u heads, reads %u words", d->depth,
             d->width, d->heads, d->text_tokens);
    print_part("transformer", text, m->dit);
    info_quant_print(&q[0]);
    snprintf(text, sizeof text, "T5: %u layers, %u features", t->layers, t->width);
    print_part("text encoder", text, m->text);
    info_quant_print(&q[1]);
    print_part("autoencoder", generator_vae(g)->name, m->vae);
    printf("  %-14s %u frames of %ux%u at %g frames/s, %u steps, guidance %g\n", "usual", c->frames, c->width,
           c->height, (double)c->fps, c->steps, (double)c->guidance);
    printf("in f32 on the device:\n");
    generate_say_cost(cost, &(struct generate_times){1, 1, 0});
}

static void fill_json(cJSON *o, const struct generator *g, const struct model_in *m, const struct generator_clip *c,
                      const struct generator_cost *cost, const char *hash, const struct info_quant q[2])
{
    cJSON_AddStringToObject(o, "kind", "model");
    cJSON_AddStringToObject(o, "name", m->usual.name);
    cJSON_AddStringToObject(o, "hash", hash);
    cJSON_AddStringToObject(o, "transformer", m->dit);
    cJSON_AddStringToObject(o, "text_encoder", m->text);
    info_quant_json(o, &q[0]);
    cJSON_AddStringToObject(o, "tokenizer", m->tokenizer);
    cJSON_AddStringToObject(o, "autoencoder", m->vae);
    cJSON_AddStringToObject(o, "autoencoder_arch", generator_vae(g)->arch);
    cJSON_AddNumberToObject(o, "width", c->width);
    cJSON_AddNumberToObject(o, "height", c->height);
    cJSON_AddNumberToObject(o, "frames", c->frames);
    cJSON_AddNumberToObject(o, "fps", (double)c->fps);
    cJSON_AddNumberToObject(o, "steps", c->steps);
    cJSON_AddNumberToObject(o, "guidance", (double)c->guidance);
    generate_cost_json(o, cost, &(struct generate_times){1, 1, 0});
}

int info_model(cJSON *object, const char *path, const struct opt_size *size)
{
    struct model_in m;
    struct generator *g = NULL;
    struct generator_cost cost;
    char hash[17];
    struct info_quant q[2];
    FV_TRY(model_in_find(&m, &(struct model_paths){.model = path}));
    struct generator_clip c = usual_clip(&m.usual, size);
    int rc = generator_open(&g, &m, &(struct generator_opts){.dtype = NN_F32});
    if (rc >= 0)
        rc = generator_size(g, &c);
    if (rc >= 0)
        rc = generator_plan(g, &c, 0, false, &cost);
    if (rc >= 0)
        rc = model_in_hash(&m, hash);
    if (rc >= 0)
        rc = look_at_codes(q, &m);
    if (rc >= 0 && object)
        fill_json(object, g, &m, &c, &cost, hash, q);
    else if (rc >= 0)
        print_all(g, &m, &c, &cost, hash, q);
    generator_close(&g);
    model_in_finish(&m);
    return rc;
}
