/* Of scenes that are made for each view (gs.h): words of the frame's counters beside those of params.h,
 * and their flag; included by C and GLSL. */
#ifndef GS_MADE_H
#define GS_MADE_H

#define GS_CTL_LIVE 120 /* Gaussians there are */
#define GS_CTL_LIVE_NEED 121
#define GS_FLAG_LIVE 16u /* more were made than there is room for */
/* Depth key of a slot whose Gaussian is not seen, where they are projected as they are made. */
#define GS_UNSEEN 0xffffffffu

#endif
