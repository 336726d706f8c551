/* An X server of the test's own (Xvfb on a free display, DISPLAY set), and what its screen
 * shows. For tests that open windows. */
#ifndef XSERVER_H
#define XSERVER_H

#include <stdbool.h>

/* Whether Xvfb and xdotool are installed. */
bool xserver_available(void);
/* A screen of width x height. Returns 0, or -1 when it cannot be started. */
int xserver_start(int width, int height);
/* The same with so many pixels a point, as desktops tell programs; more than one needs xprop. */
int xserver_start_scaled(int width, int height, int scale);
void xserver_stop(void);
/* The screen's upper left width x height pixels as a PNM, without the mouse pointer; fails the
 * test otherwise. Returns its path; overwritten by the next call. */
const char *xserver_grab(int width, int height);
/* Input by xdotool: "key h", "mousemove 10 20 click 1" ... */
void xserver_input(const char *what);

#endif
