/* See xserver.h. */
#include "support/xserver.h"
#include "support/test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t server;

static bool installed(const char *program)
{
    char command[64];
    snprintf(command, sizeof command, "command -v %s >/dev/null 2>&1", program);
    return system(command) == 0;
}

bool xserver_available(void)
{
    return installed("Xvfb") && installed("xdotool") && installed("ffmpeg");
}

int xserver_start(int width, int height)
{
    return xserver_start_scaled(width, height, 1);
}

int xserver_start_scaled(int width, int height, int scale)
{
    int ends[2];
    char number[16] = "", fd[16], screen[32], display[32], tell[128];
    size_t n = 0;
    if (pipe(ends) < 0)
        return -1;
    server = fork();
    if (server == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, STDERR_FILENO);
        close(ends[0]);
        snprintf(fd, sizeof fd, "%d", ends[1]);
        snprintf(screen, sizeof screen, "%dx%dx24", width, height);
        /* -noreset: it would begin anew whenever its last client goes */
        execlp("Xvfb", "Xvfb", "-displayfd", fd, "-screen", "0", screen, "-noreset", "-nolisten",
               "tcp", (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    while (n < sizeof number - 1 && read(ends[0], number + n, 1) == 1 && number[n] != '\n')
        n++;
    close(ends[0]);
    if (server < 0 || !n)
        return -1;
    snprintf(display, sizeof display, ":%d", atoi(number));
    setenv("DISPLAY", display, 1);
    snprintf(tell, sizeof tell, "xprop -root -f RESOURCE_MANAGER 8s -set RESOURCE_MANAGER 'Xft.dpi: %d'", 96 * scale);
    return scale > 1 ? system(tell) : 0;
}

void xserver_stop(void)
{
    if (server <= 0)
        return;
    kill(server, SIGTERM);
    waitpid(server, NULL, 0);
    unsetenv("DISPLAY");
    server = 0;
}

const char *xserver_grab(int width, int height)
{
    char command[600];
    const char *out = test_tmp_path("grab.ppm");
    snprintf(command, sizeof command,
             "ffmpeg -loglevel error -y -f x11grab -draw_mouse 0 -video_size %dx%d -i %s "
             "-frames:v 1 -pix_fmt rgb24 '%s'",
             width, height, getenv("DISPLAY"), out);
    if (system(command))
        fail_msg("%s", command);
    return out;
}

void xserver_input(const char *what)
{
    char command[512];
    snprintf(command, sizeof command, "xdotool %s >/dev/null 2>&1", what);
    if (system(command))
        fail_msg("%s", command);
}
