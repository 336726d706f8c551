/* The real viewer in a window on an X server of the test's own (support/xserver.h), and what the
 * window shows. */
#ifndef VIEWER_RIG_H
#define VIEWER_RIG_H

#include "app/image_io.h"

#include <sys/types.h>

enum { WIDTH = 640, HEIGHT = 480 };

struct viewer {
    pid_t pid;
    char log[256]; /* its standard error */
};

/* Largest difference of any sample, 0..255; 256 when the sizes differ. */
double largest(const struct image *a, const struct image *b);
/* Share of the samples that differ by more than 8. */
double share(const struct image *a, const struct image *b);
struct image load(const char *path);

/* What main returns: the group's result, 77 where windows cannot be tested, which is said. start begins the X
 * server, end is windows_end or calls it. */
#define RUN_IN_WINDOWS(tests, start, end)                                                          \
    (windows_available() ? cmocka_run_group_tests_name("in a window", tests, start, end) : 77)
bool windows_available(void);
int windows_end(void **state);

/* Runs in the temporary directory, where it saves pictures and keeps its settings (config/fovea). file NULL:
 * fovea alone. extra: more arguments, NULL last. */
struct viewer start(const char *file, const char *const *extra);
/* By Ctrl + Q; returns its exit status, fails on validation messages. */
int quit(struct viewer *v);
/* Waits until the panels, or anything, is on the screen. */
void wait_for_window(void);
/* Waits until the scene's picture is on the screen as well, beneath the panels. */
void wait_for_scene(const struct image *picture);
struct image grab(int width, int height);
/* Grabs until the window shows the picture (within one step of 255), or fails. */
void shows(const struct image *wanted, const char *when);
/* Grabs until two pictures one after the other are the same. */
struct image grab_still(int width, int height);
/* Grabs until the window shows something else. */
void shows_not(const struct image *old, double least_share, const char *when);

/* Grabs until the window's columns from x0 to before x1 show the picture's. */
void columns_show(const struct image *wanted, int x0, int x1, const char *when);
/* Writes a stream into the temporary directory: the scene, turned so many degrees more in each frame. */
void make_stream(const char *name, const char *scene, int frames, int group, int fps, int degrees);

/* The widgets there are, by their places as the viewer tells them: real clicks and keys go there. A name is
 * "label" or "panel/label", without what follows ##, or with it where nothing else is; "label#1" is the one after
 * the first of its name; "panel Keys" is a panel as a whole. */
bool find_widget(const char *name, int box[4]);
void wait_for_widget(const char *name, int box[4]);
void wait_for_no_widget(const char *name);
void click(const char *name);
void click_times(const char *name, int times);
/* In the place of what is there. */
void type_into(const char *name, const char *text);
/* Pressed at one share of its width and let go at another. */
void slide(const char *name, double from, double to);

/* What they tell, of the same names: a text, a number, "on", the name of what is chosen; "panel" alone is any line of
 * text in it. These wait until it is that: the whole, a part, a number. */
void says(const char *name, const char *wanted);
void tells(const char *name, const char *part);
void says_about(const char *name, double wanted, double off);

#endif
