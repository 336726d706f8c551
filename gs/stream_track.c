/* Which rows of the frames' scenes a stream's Gaussians are (stream.h). */
#include "gs/stream.h"

#include <stdlib.h>
#include <string.h>

void gs_track_finish(struct gs_track *t)
{
    free(t->key);
    free(t->now);
    *t = (struct gs_track){0};
}

int gs_track_begin(struct gs_track *t, const struct gs_stream_pose *poses, uint32_t count)
{
    gs_track_finish(t);
    t->key = malloc(((size_t)count + 1) * sizeof *t->key);
    t->now = malloc(((size_t)count + 1) * sizeof *t->now);
    if (!t->key || !t->now) {
        gs_track_finish(t);
        return fv_fail(FV_ENOMEM, "no memory for %u Gaussians", count);
    }
    t->keys = t->room = count;
    memcpy(t->key, poses, count * sizeof *poses);
    gs_track_enter(t);
    return 0;
}

void gs_track_enter(struct gs_track *t)
{
    memcpy(t->now, t->key, t->keys * sizeof *t->key);
    t->count = t->keys;
}

static uint32_t next_row(uint32_t row, const uint32_t *to)
{
    return row == GS_NO_ROW || !to ? row : to[row];
}

uint32_t gs_track_step(struct gs_track *t, const uint32_t *to, uint8_t *dead)
{
    uint32_t left = 0, had = t->count;
    for (uint32_t i = 0; i < t->keys; i++)
        t->key[i].row = next_row(t->key[i].row, to);
    for (uint32_t i = 0; i < had; i++) {
        struct gs_stream_pose pose = t->now[i];
        pose.row = next_row(pose.row, to);
        dead[i] = pose.row == GS_NO_ROW;
        if (!dead[i])
            t->now[left++] = pose;
    }
    t->count = left;
    return had - left;
}

int gs_track_find_born(const struct gs_track *t, uint32_t scene_count, uint32_t *rows, uint32_t *count)
{
    uint8_t *known = calloc((size_t)scene_count + 1, 1);
    if (!known)
        return fv_fail(FV_ENOMEM, "no memory for %u Gaussians", scene_count);
    for (uint32_t i = 0; i < t->count; i++)
        known[t->now[i].row] = 1;
    *count = 0;
    for (uint32_t row = 0; row < scene_count; row++)
        if (!known[row])
            rows[(*count)++] = row;
    free(known);
    return 0;
}

int gs_track_append(struct gs_track *t, const struct gs_stream_pose *born, const uint32_t *order,
                    uint32_t count)
{
    if (t->room - t->count < count) {
        uint32_t room = t->count + count + t->count / 4;
        struct gs_stream_pose *grown = realloc(t->now, ((size_t)room + 1) * sizeof *grown);
        if (!grown)
            return fv_fail(FV_ENOMEM, "no memory for %u Gaussians", room);
        t->now = grown;
        t->room = room;
    }
    for (uint32_t i = 0; i < count; i++)
        t->now[t->count++] = born[order[i]];
    return 0;
}
