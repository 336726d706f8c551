/* Standard input as a file: "-" in place of a name.
 *
 * Readers look at names, map files and open them twice, so what comes through a pipe is first kept
 * in a file of its own, with the suffix its first bytes ask for, below $TMPDIR; it is gone when the
 * program ends. Video that is only read forward stays a pipe, however long it is.
 *
 *     const char *path;
 *     FV_TRY(pipe_in_open(&path, false));      // "/tmp/fovea-x3hT1q/stdin.ply"
 *     FV_TRY(scene_in_load(&scene, path, ...));
 *     pipe_in_finish();
 */
#ifndef PIPE_IN_H
#define PIPE_IN_H

#include <stdbool.h>
#include <stddef.h>

/* forward: video need not be kept; video_in_open then reads it as it comes, once.
 * path: borrowed, until pipe_in_finish. Returns 0, FV_EINVALID (a terminal, a second "-"), FV_EFORMAT
 * (empty), FV_EIO, FV_ECANCELLED. */
int pipe_in_open(const char **path, bool forward);
/* Video that is read as it comes, under the name pipe_in_open gave it. */
bool pipe_in_is_stream(const char *path);
/* Its first bytes, as far as they were looked at. */
const char *pipe_in_begin(size_t *size);
/* Its next bytes: how many, 0 at the end, or -1 (errno). */
long pipe_in_read(void *to, size_t size);
/* What stands for a path before people: "standard input" or the path itself. */
const char *pipe_in_shown(const char *path);
/* The same within a sentence: the file's name becomes "standard input". */
void pipe_in_reword(char *text);
/* Suffix for bytes that begin so, of so many in all (0 = unknown); "" when they say nothing. */
const char *pipe_in_suffix(const void *begin, size_t known, size_t size);
void pipe_in_finish(void);

#endif
