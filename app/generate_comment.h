/* What fovea wrote into a video that it generated: how it was made.
 *
 *     struct fv_json doc;
 *     FV_TRY(generate_comment_open(&doc, "out.mp4"));
 *     ... fv_node_get(doc.root, "options") ...        // "prompt", "model", "model_hash", "device"
 *     fv_json_close(&doc);
 */
#ifndef GENERATE_COMMENT_H
#define GENERATE_COMMENT_H

#include "vk/base/json.h"

/* Returns 0, FV_EIO, FV_EFORMAT (it is no video, or was not made by fovea generate). */
int generate_comment_open(struct fv_json *doc, const char *path);

#endif
