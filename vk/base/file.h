/* Files: read-only maps, a bounded little-endian cursor, atomic writing, paths.
 *
 *     struct fv_map map;
 *     FV_TRY(fv_map_open(&map, "a.spz"));
 *     struct fv_cursor c = fv_cursor_over(map.data, map.size);
 *     uint32_t magic = fv_get_u32(&c);
 *     if (c.failed) ...                         // once, after the last read
 *     fv_map_close(&map);
 */
#ifndef FV_FILE_H
#define FV_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct fv_map {
    const uint8_t *data; /* NULL when size is 0 */
    size_t size;
};

/* Maps a regular file. Errors (FV_EIO) say which: missing, a directory, no permission.
 * An empty file is not an error here: size 0. */
int fv_map_open(struct fv_map *out, const char *path);
void fv_map_close(struct fv_map *map);
/* Tells the system that the pages wholly inside [offset, offset + size) are not needed again
 * soon; they are read anew from the file when they are. */
void fv_map_forget(const struct fv_map *map, size_t offset, size_t size);

/* A reader that never leaves its bytes: past the end it returns zeros and sets failed. */
struct fv_cursor {
    const uint8_t *data;
    size_t size, at;
    bool failed;
};

struct fv_cursor fv_cursor_over(const void *data, size_t size);
/* The next n bytes, or NULL (failed set). Valid as long as the underlying bytes. */
const uint8_t *fv_get_bytes(struct fv_cursor *c, size_t n);
uint8_t fv_get_u8(struct fv_cursor *c);
uint16_t fv_get_u16(struct fv_cursor *c);
uint32_t fv_get_u32(struct fv_cursor *c);
uint64_t fv_get_u64(struct fv_cursor *c);
float fv_get_f32(struct fv_cursor *c);
double fv_get_f64(struct fv_cursor *c);
size_t fv_cursor_left(const struct fv_cursor *c);

/* All of it to a descriptor, through interruptions; false with errno set. */
bool fv_write_fd(int fd, const void *data, size_t size);
/* Stores why writing failed, by errno's value, and returns FV_EIO. name NULL: standard output. */
int fv_write_failure(const char *name, int error);

/* Writing that never leaves a half file in place of a good one: bytes go to a temporary
 * beside the target, which takes the target's name only in fv_writer_commit(). */
struct fv_writer {
    FILE *file;             /* write with fwrite or fv_write */
    char *path, *temporary; /* temporary NULL: a device or a pipe, written as it is */
    bool failed;
};

/* path "-" writes to standard output (nothing to rename). A symbolic link is followed. */
int fv_writer_open(struct fv_writer *w, const char *path);
/* The file itself, from its first byte on, with the bytes in it as far as fv_writer_flush was called:
 * for others to read while it is written. It stays as it is when it is aborted. */
int fv_writer_open_in_place(struct fv_writer *w, const char *path);
void fv_writer_flush(struct fv_writer *w);
/* Sticky: after a failure later calls do nothing; commit reports it. */
void fv_write(struct fv_writer *w, const void *data, size_t size);
/* Flushes, syncs and renames. Returns 0 or FV_EIO (disk full ...); frees w either way. */
int fv_writer_commit(struct fv_writer *w);
/* Removes the temporary; frees w. Safe on a zeroed or finished writer. */
void fv_writer_abort(struct fv_writer *w);

/* Where a name ends like a writer's temporary, ".123.tmp"; NULL: it does not. */
const char *fv_torn_end(const char *name);
/* Temporaries that killed processes left of writing path; nobody may be at it. */
void fv_remove_torn(const char *path);

/* Makes a folder and those it lies in, where they are not there. FV_EIO, FV_ENOMEM. */
int fv_make_dirs(const char *path);
bool fv_is_dir(const char *path);
bool fv_exists(const char *path);
/* "dir/name" does. */
bool fv_exists_in(const char *dir, const char *name);
/* Joined path "dir/name" (name alone if absolute or dir is empty); caller frees. */
char *fv_path_join(const char *dir, const char *name);
/* Directory part of a path ("." if none); caller frees. */
char *fv_path_dir(const char *path);
/* The part after the last '/'; borrowed from path. */
const char *fv_path_base(const char *path);
/* Case-insensitive suffix test: fv_ends_with("A.PLY", ".ply"). */
bool fv_ends_with(const char *text, const char *suffix);

/* A growing list of paths.
 *
 *     struct fv_paths p = {0};
 *     FV_TRY(fv_paths_add_dir(&p, "frames", is_picture_name));
 *     ...
 *     fv_paths_finish(&p);
 */
struct fv_paths {
    char **items; /* malloc'd, each and the list */
    size_t count, room;
};
/* Takes a malloc'd path; NULL: out of memory. Frees it on failure. */
int fv_paths_add(struct fv_paths *p, char *path);
/* Paths of a folder's entries whose names `wanted` takes, in no order. FV_EIO, FV_ENOMEM. */
int fv_paths_add_dir(struct fv_paths *p, const char *dir, bool (*wanted)(const char *name));
void fv_paths_finish(struct fv_paths *p);

#endif
