/* The viewer's part that makes clips: what is chosen, what it would take, the queue, the clips made before and
 * the one that plays in the window. */
#ifndef APP_STUDIO_H
#define APP_STUDIO_H

#include "app/clip_player.h"
#include "app/estimate.h"
#include "app/peek.h"
#include "app/queue.h"
#include "app/settings.h"

struct studio {
    bool started; /* the panel was opened: the others are there */
    struct generation g, estimated_for;
    double count; /* clips of the next press, seeds one after the other */
    char memory[32]; /* as typed */
    struct estimator *estimator;
    struct estimate estimate; /* the newest answer */
    bool estimated;
    struct process *measure; /* how fast the device is, asked once */
    double speed;            /* multiplications and additions a second; 0 = not known */

    struct queue *queue;
    char problem[1024]; /* of the last clip or press; "" = none */
    double worst_round_ms; /* of the window while clips are made */

    struct peek *peek;
    struct peeked *clips[SETTINGS_PATHS]; /* of those in the settings that were looked at */
    size_t clip_count;
    struct peeked preview; /* count 0: there is none */
    unsigned previews;     /* seen of the queue's */
    char picked[SETTINGS_PATH]; /* of the history */

    struct clip_player *player; /* NULL when no clip is shown */
    struct clip_player_state playing;
    const struct picture *picture;
    char playing_path[SETTINGS_PATH];
};

#endif
