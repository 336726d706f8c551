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
    return installed("Xvfb") && installed("xdotool");
}

int xserver_start(int width, int height)
{
    return xserver_start_scaled(width, height, 1);
}

int xserver_start_scaled(int width, int height, int scale)
{
    int ends[2];
    char number[16] = "", fd[16], screen[32], display[32], tell[128];
    const char *folder = test_tmp(); /* the child would make one of its own */
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
               "tcp", "-nocursor", "-fbdir", folder, (char *)NULL);
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

/* The server's own file, in the format of xwd: 32-bit words from the high byte down, colours, rows of 4 bytes a
 * pixel. A program that asks the server for them (ffmpeg) takes a third of a second of the processor to begin. */
const char *xserver_grab(int width, int height)
{
    enum { HEADER, FORMAT = 2, ROW = 12, COLOURS = 19, WORDS = 25, BYTES_A_COLOUR = 12 };
    const char *out = test_tmp_path("grab.ppm");
    uint8_t *file, words[WORDS][4];
    uint32_t head[WORDS];
    size_t size;
    file = test_read_file(test_tmp_path("Xvfb_screen0"), &size);
    memcpy(words, file, sizeof words);
    for (int i = 0; i < WORDS; i++)
        head[i] = (uint32_t)words[i][0] << 24 | (uint32_t)words[i][1] << 16 | (uint32_t)words[i][2] << 8 | words[i][3];
    size_t at = head[HEADER] + BYTES_A_COLOUR * (size_t)head[COLOURS], row = head[ROW];
    if (head[FORMAT] != 2 || row < 4 * (size_t)width || at + row * (size_t)height > size)
        fail_msg("the screen is not %dx%d pixels of 32 bits", width, height);
    FILE *f = fopen(out, "w");
    assert_non_null(f);
    fprintf(f, "P6 %d %d 255\n", width, height);
    for (int y = 0; y < height; y++) {
        uint8_t *line = file + at + row * (size_t)y;
        for (int x = 0; x < width; x++) { /* blue, green, red, nothing */
            uint8_t rgb[3] = {line[4 * x + 2], line[4 * x + 1], line[4 * x]};
            memcpy(line + 3 * x, rgb, 3);
        }
        fwrite(line, 3, (size_t)width, f);
    }
    assert_int_equal(fclose(f), 0);
    free(file);
    return out;
}

void xserver_input(const char *what)
{
    char command[512];
    snprintf(command, sizeof command, "xdotool %s >/dev/null 2>&1", what);
    if (system(command))
        fail_msg("%s", command);
}
