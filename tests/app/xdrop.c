/* xdrop WINDOW X Y PATH: drops a file on a window, as a file manager would (XDND version 5:
 * freedesktop.org, "Drag-and-Drop Protocol for the X Window System"). Exit 0 when the window
 * took it. With an empty PATH it drags one over the window and is gone before the answer. A tool of test_viewer. */
#include <X11/Xatom.h>
#include <X11/Xlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static Display *display;
static Window source, target;

static Atom atom(const char *name)
{
    return XInternAtom(display, name, False);
}

static void send(const char *type, long a, long b, long c, long d)
{
    XEvent e = {.xclient = {.type = ClientMessage,
                            .display = display,
                            .window = target,
                            .message_type = atom(type),
                            .format = 32,
                            .data.l = {(long)source, a, b, c, d}}};
    XSendEvent(display, target, False, NoEventMask, &e);
    XFlush(display);
}

/* The uri list, for whoever asks for the selection. */
static void answer(const XSelectionRequestEvent *r, const char *path)
{
    char uri[1024];
    int n = snprintf(uri, sizeof uri, "file://%s\r\n", path);
    XChangeProperty(display, r->requestor, r->property, r->target, 8, PropModeReplace,
                    (unsigned char *)uri, n);
    XEvent e = {.xselection = {.type = SelectionNotify,
                               .display = display,
                               .requestor = r->requestor,
                               .selection = r->selection,
                               .target = r->target,
                               .property = r->property,
                               .time = r->time}};
    XSendEvent(display, r->requestor, False, NoEventMask, &e);
    XFlush(display);
}

int main(int argc, char **argv)
{
    if (argc != 5 || !(display = XOpenDisplay(NULL)))
        return 2;
    target = strtoul(argv[1], NULL, 0);
    long x = atol(argv[2]), y = atol(argv[3]);
    source = XCreateSimpleWindow(display, DefaultRootWindow(display), 0, 0, 1, 1, 0, 0, 0);
    Atom list = atom("text/uri-list"), copy = atom("XdndActionCopy");
    XSetSelectionOwner(display, atom("XdndSelection"), source, CurrentTime);
    send("XdndEnter", 5l << 24, (long)list, 0, 0);
    send("XdndPosition", 0, x << 16 | y, CurrentTime, (long)copy);
    if (!*argv[4]) {
        XSync(display, False);
        return 0;
    }
    alarm(20); /* a window that does not answer */
    for (;;) {
        XEvent e;
        XNextEvent(display, &e);
        if (e.type == SelectionRequest)
            answer(&e.xselectionrequest, argv[4]);
        else if (e.type == ClientMessage && e.xclient.message_type == atom("XdndStatus"))
            send("XdndDrop", 0, CurrentTime, 0, 0);
        else if (e.type == ClientMessage && e.xclient.message_type == atom("XdndFinished"))
            return e.xclient.data.l[1] ? 0 : 1; /* GLFW puts a count here, not a flag */
    }
}
