/* The progress bar and its JSON form (progress.h). */
#include "app/progress.h"
#include "app/cmd.h"
#include "app/text.h"
#include "vk/base/thread.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

const char *const progress_choices[] = {"auto", "bar", "json", "none", NULL};

/* A bar stands on the terminal's last line. */
static atomic_bool bar_shown;
static void (*listener)(const struct fv_progress *now);

void progress_listen(void (*fn)(const struct fv_progress *now))
{
    listener = fn;
}

void progress_hide(void)
{
    if (atomic_exchange(&bar_shown, false))
        fputs("\r\033[K", stderr);
}

void progress_start(struct progress *p, enum progress_mode mode, const char *unit, bool quiet)
{
    const char *term = getenv("TERM");
    *p = (struct progress){.mode = mode, .unit = unit};
    if (mode == PROGRESS_AUTO)
        p->mode = !quiet && isatty(STDERR_FILENO) && !(term && !strcmp(term, "dumb")) ? PROGRESS_BAR : PROGRESS_NONE;
}

static int columns(void)
{
    struct winsize w;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col >= 40)
        return w.ws_col;
    return 80;
}

static void time_text(char *out, size_t size, double seconds)
{
    unsigned s = seconds < 0 ? 0 : seconds > 359999 ? 359999 : (unsigned)(seconds + 0.5);
    if (s >= 3600)
        snprintf(out, size, "%u:%02u:%02u", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(out, size, "%u:%02u", s / 60, s % 60);
}

static void show_bar(const struct progress *p, double rate, double eta)
{
    char right[160] = "", eta_text[32], memory[32], left[32];
    double part = p->total > 0 ? p->done / p->total : 0;
    if (p->total > 0 && p->unit) {
        time_text(eta_text, sizeof eta_text, eta);
        bool slow = rate > 0 && rate < 1;
        snprintf(right, sizeof right, " %.0f/%.0f %s  %.1f%s  %s left", p->done, p->total, p->unit,
                 slow ? 1 / rate : rate, slow ? " s each" : "/s", eta_text);
    } else if (p->total > 0) {
        snprintf(right, sizeof right, " %3.0f %%", 100 * part);
    } else {
        snprintf(right, sizeof right, " %.0f %s", p->done, p->unit ? p->unit : "");
    }
    if (p->memory) {
        bytes_text(memory, p->memory);
        snprintf(right + strlen(right), sizeof right - strlen(right), "  %s", memory);
    }
    int used = snprintf(left, sizeof left, "%.11s", p->what);
    if (p->parts > 1)
        used += snprintf(left + used, sizeof left - (size_t)used, " %u/%u", p->part, p->parts);
    int room = columns() - 1 - (int)strlen(right) - 3 - (used > 11 ? used : 11);
    fprintf(stderr, "\r\033[K%-11s ", left);
    if (p->total > 0 && room >= 5) {
        int full = (int)(part * room + 0.5);
        fputc('[', stderr);
        for (int i = 0; i < room; i++)
            fputc(i < full ? '#' : '.', stderr);
        fputc(']', stderr);
    }
    fputs(right, stderr);
    fflush(stderr);
    atomic_store(&bar_shown, true);
}

static void show(struct progress *p, double now)
{
    double elapsed = now - p->start, rate = elapsed > 0 ? (p->done - p->from) / elapsed : 0;
    double eta = p->left > 0 ? p->left : rate > 0 && p->total > 0 ? (p->total - p->done) / rate : 0;
    p->last = now;
    p->shown = true;
    if (p->mode == PROGRESS_BAR) {
        show_bar(p, rate, eta);
        return;
    }
    fprintf(stderr,
            "{\"what\":\"%s\",\"done\":%.10g,\"total\":%.10g,\"fps\":%.4g,\"eta\":%.4g,"
            "\"elapsed\":%.4g",
            p->what, p->done, p->total, rate, eta, elapsed);
    if (p->memory)
        fprintf(stderr, ",\"memory\":%llu", (unsigned long long)p->memory);
    if (p->parts > 1)
        fprintf(stderr, ",\"part\":%u,\"parts\":%u", p->part, p->parts);
    fputs("}\n", stderr);
}

/* The last state of the work that ends, which the rate limit may have kept back. */
static void end_work(struct progress *p)
{
    if (p->mode == PROGRESS_JSON && p->what && !p->shown)
        show(p, fv_now());
}

int progress_update(void *ud, const struct fv_progress *now)
{
    struct progress *p = ud;
    double t = fv_now();
    if (app_cancelled())
        return 1;
    if (listener)
        listener(now);
    if (p->mode == PROGRESS_NONE)
        return 0;
    if (!p->what || strcmp(p->what, now->what)) {
        end_work(p);
        p->what = now->what;
        p->start = t;
        p->last = t - 0.05; /* work shorter than a blink shows no bar */
        p->from = now->done;
    }
    p->done = now->done;
    p->total = now->total;
    p->shown = false;
    if (t - p->last >= 0.1)
        show(p, t);
    return 0;
}

void progress_done(struct progress *p)
{
    end_work(p);
    if (p->mode == PROGRESS_BAR)
        progress_hide();
    p->what = NULL;
}
