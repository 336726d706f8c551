/* See generate_comment.h. */
#include "app/generate_comment.h"
#include "app/video.h"

#include <string.h>

int generate_comment_open(struct fv_json *doc, const char *path)
{
    struct video_in *in;
    FV_TRY(video_in_open(&in, path));
    const char *comment = video_in_info(in)->comment;
    int rc = comment && *comment == '{' ? fv_json_parse(doc, comment, strlen(comment), path)
                                        : fv_fail(FV_EFORMAT, "%s: holds no settings of fovea generate", path);
    video_in_close(&in);
    if (rc < 0 || !strcmp(fv_node_string(fv_node_get(doc->root, "command")), "generate"))
        return rc;
    fv_json_close(doc);
    return fv_fail(FV_EFORMAT, "%s: was not made by fovea generate", path);
}
