/* The Gaussians of a view by kernels, recorded into the frame that draws them (gs_maker):
 *
 *   [first]   with a feature bank: the first layers' sums of the features as the view blends them
 *   opacity   which anchors are looked at, opacities, a list of those with Gaussians
 *   starts    where each block's Gaussians begin, how many there are; each frame
 *   decode    the others of the networks' outputs, projected at once into what is drawn; or written as the
 *             renderer's projection reads them, where it asks for that
 *
 * A view that was decoded last is not decoded again; while the camera stays, nor are opacities. */
#include "neural/gpu.h"

#include <stdio.h>
#include <string.h>

#define F4 VK_FORMAT_R32G32B32A32_SFLOAT
#define U4 VK_FORMAT_R32G32B32A32_UINT
#define U1 VK_FORMAT_R32_UINT

enum { WIDE_GROUP = 64, SHORT_HIDDEN = 64 /* beyond, there is one form of the kernels */ };

struct pass {
    struct vk_cmd *cmd;
    const struct nl_gpu *g;
    uint32_t lanes;
    bool tex;
};

static void dispatch(const struct pass *p, const char *kernel, const char *arch, bool fused, const uint32_t *spec,
                     uint32_t nspec, const struct vk_bind *bind, uint32_t nbind, const void *push,
                     uint32_t push_size, uint32_t groups)
{
    const struct vk_pipe *pipe;
    char name[96], form[32];
    bool longer = *arch && p->g->hidden > SHORT_HIDDEN;
    snprintf(form, sizeof form, p->lanes ? "sg%u" : longer ? "wide128" : "wide", p->lanes);
    snprintf(name, sizeof name, "neural/%s.%s%s%s.%s", kernel, arch, form, fused ? "_fused" : "",
             p->tex ? "tex" : "ssbo");
    int rc = vk_pipe_get(&pipe, p->g->dev, name, spec, nspec, p->lanes);
    if (rc < 0)
        vk_cmd_fail(p->cmd, rc);
    else
        vk_cmd_dispatch(p->cmd, pipe, bind, nbind, push, push_size, groups, 1, 1);
}

static struct vk_bind whole(const struct vk_buf *b, VkFormat format)
{
    return (struct vk_bind){b, 0, b->size, format};
}

void nl_record_first(const struct nl_gpu *g, struct vk_cmd *cmd, const struct nl_segment *s,
                     const struct vk_buf *feature, uint32_t from, uint32_t count, uint32_t lanes,
                     bool tex, const double eye[3])
{
    struct pass p = {cmd, g, lanes, tex};
    uint32_t group = lanes ? lanes : WIDE_GROUP;
    struct nl_first_push push = {{(float)eye[0], (float)eye[1], (float)eye[2], 0}, count, from};
    uint32_t spec[] = {group, g->feature_quads, g->hidden, g->exact, g->stride, g->bank_hidden};
    struct vk_bind bind[] = {{feature, 0, 16ull * g->feature_quads * count, F4},
                             whole(&g->first, F4), whole(&s->place, U4), whole(&s->cache, U4)};
    dispatch(&p, "first", "", false, spec, 6, bind, 4, &push, sizeof push, (count + group - 1) / group);
}

static void set_view(struct nl_view_push *v, const struct gs_camera *c)
{
    double eye[3];
    gs_camera_centre(c, eye);
    for (int k = 0; k < 4; k++) {
        v->view0[k] = (float)c->view[k];
        v->view1[k] = (float)c->view[4 + k];
        v->view2[k] = (float)c->view[8 + k];
    }
    for (int k = 0; k < 3; k++)
        v->eye[k] = (float)eye[k];
    v->eye[3] = (float)c->width;
    v->height = (float)c->height;
    v->focal[0] = (float)c->fx;
    v->focal[1] = (float)c->fy;
    v->focal[2] = (float)(c->cx - 0.5);
    v->focal[3] = (float)(c->cy - 0.5);
}

/* Only what a picture can show: tanh(LEAST) = 1 / 255. With exact all that are alive. */
static uint32_t least_opacity(bool exact)
{
    float v = exact ? 0 : 0.0039214f;
    uint32_t bits;
    memcpy(&bits, &v, 4);
    return bits;
}

static void opacities(const struct pass *p, const struct nl_segment *s, const uint32_t spec[9],
                      const struct nl_view_push *push, const char *arch)
{
    const struct nl_gpu *g = p->g;
    struct vk_bind bind[] = {whole(&s->place, U4), whole(&s->cache, U4), whole(&g->net, F4),
                             whole(&g->list, U1), whole(g->arch == NL_SAGS ? &s->dead : &s->raw, F4)};
    dispatch(p, "opacity", arch, false, spec, 9, bind, 5, push, sizeof *push,
             (s->count + NL_BLOCK - 1) / NL_BLOCK);
}

static void starts(const struct pass *p, const struct gs_make *m)
{
    const struct nl_gpu *g = p->g;
    const struct vk_pipe *pipe;
    uint32_t spec[] = {WIDE_GROUP};
    struct nl_starts_push push = {g->blocks, m->room, m->live_at, m->need_at, m->flags_at, m->flag};
    struct vk_bind bind[] = {whole(&g->list, U1), whole(&g->start, U1), whole(m->ctl, U1)};
    int rc = vk_pipe_get(&pipe, g->dev, "neural/starts", spec, 1, 0);
    if (rc < 0)
        vk_cmd_fail(p->cmd, rc);
    else
        vk_cmd_dispatch(p->cmd, pipe, bind, 3, &push, sizeof push, 1, 1, 1);
}

static void projected(const struct pass *p, const struct nl_segment *s, const uint32_t spec[9],
                      struct nl_view_push *push, const char *arch, const struct gs_make *m)
{
    const struct nl_gpu *g = p->g;
    const struct gs_make_splats *to = m->splats;
    uint32_t all[8 + GS_SPLAT_SPEC];
    struct vk_bind bind[] = {whole(&s->place, U4),
                             whole(&s->cache, U4),
                             whole(&g->net, F4),
                             whole(&g->list, U1),
                             whole(&g->start, U1),
                             {to->params, to->params_at, to->params_bytes, 0},
                             whole(to->rec, F4),
                             whole(to->key, U1),
                             whole(to->visible, U1),
                             whole(&s->raw, F4)};
    memcpy(all, spec, 8 * sizeof *all);
    memcpy(all + 8, to->spec, sizeof to->spec);
    push->first = 0;
    push->room = m->room;
    dispatch(p, "decode", arch, true, all, 8 + GS_SPLAT_SPEC, bind, g->arch == NL_SAGS ? 9 : 10, push,
             sizeof *push, (s->count + NL_BLOCK - 1) / NL_BLOCK);
}

static void gaussians(const struct pass *p, const struct nl_segment *s, const uint32_t spec[9],
                      struct nl_view_push *push, const char *arch, const struct gs_make *m)
{
    const struct nl_gpu *g = p->g;
    for (uint32_t c = 0; c < m->chunks; c++) {
        struct vk_bind bind[] = {whole(&s->place, U4),       whole(&s->cache, U4),
                                 whole(&g->net, F4),         whole(&g->list, U1),
                                 whole(&g->start, U1),       whole(m->chunk[c].geo, U4),
                                 whole(m->chunk[c].sh, U4),  whole(&s->raw, F4)};
        push->first = m->chunk[c].first;
        push->room = m->chunk[c].count;
        dispatch(p, "decode", arch, false, spec, 8, bind, g->arch == NL_SAGS ? 7 : 8, push, sizeof *push,
                 (s->count + NL_BLOCK - 1) / NL_BLOCK);
    }
}

/* Whether two pictures are of the same view. */
static bool same_view(const struct gs_camera *a, const struct gs_camera *b)
{
    return a->width == b->width && a->height == b->height && a->fx == b->fx && a->fy == b->fy &&
           a->cx == b->cx && a->cy == b->cy && !memcmp(a->view, b->view, sizeof a->view);
}

void nl_record_view(void *ud, const struct gs_make *m)
{
    struct nl_gpu *g = ud;
    const char *arch = g->arch == NL_SAGS ? "sags_" : "scaffold_";
    struct pass p = {m->cmd, g, g->hidden > SHORT_HIDDEN ? 0 : m->lanes, m->tex};
    bool listed = g->version == m->version && same_view(&g->seen, m->camera);
    bool kept = listed && (m->splats ? m->splats->kept : g->written);
    uint32_t group = p.lanes ? p.lanes : WIDE_GROUP;
    uint32_t spec[9] = {group,  g->hidden / 4, g->offsets, g->stride,              g->exact,
                        g->all, g->net1,       g->net2,    least_opacity(g->exact)};
    struct nl_view_push push = {.by_turn = g->by_turn, .by_distance = g->by_distance};
    double eye[3];
    gs_camera_centre(m->camera, eye);
    set_view(&push, m->camera);
    for (uint32_t i = 0; !listed && i < g->segments; i++) {
        const struct nl_segment *s = &g->segment[i];
        push.count = s->count;
        push.block = s->block;
        if (g->bank) {
            vk_cmd_scope(m->cmd, "feature bank");
            nl_record_first(g, m->cmd, s, &s->feature, 0, s->count, m->lanes, m->tex, eye);
        }
        vk_cmd_scope(m->cmd, "opacities");
        opacities(&p, s, spec, &push, arch);
    }
    vk_cmd_scope(m->cmd, "decode");
    starts(&p, m);
    for (uint32_t i = 0; !kept && i < g->segments; i++) {
        push.count = g->segment[i].count;
        push.block = g->segment[i].block;
        (m->splats ? projected : gaussians)(&p, &g->segment[i], spec, &push, arch, m);
    }
    g->decodes += !kept;
    g->written = m->splats ? listed && g->written : true;
    g->version = m->version;
    g->seen = *m->camera;
    if (vk_cmd_status(m->cmd) < 0)
        g->version = 0;
}
