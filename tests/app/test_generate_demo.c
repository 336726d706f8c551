/* fovea generate with the bundled model and nothing else said: sentences that it was not trained on word
 * for word give what they say. Its accuracy over many is measured by tools/train_demo (docs/DEMO_MODEL.md). */
#include "support/test.h"
#include "support/child.h"
#include "vk/base/npy.h"

#include <math.h>

enum { FRAMES = 17, SIZE = 64 };

/* Where the pixels near a colour are, by frame: their number and their mean place. */
struct track {
    double area[FRAMES], x[FRAMES], y[FRAMES];
};

static void add_frame(struct track *t, int frame, const char *path, const float colour[3])
{
    struct fv_npy a;
    static float pixels[SIZE * SIZE * 3];
    assert_ok(fv_npy_open(&a, path));
    assert_int_equal(a.count, SIZE * SIZE * 3);
    fv_npy_get_f32(&a, pixels);
    fv_npy_close(&a);
    for (int i = 0; i < SIZE * SIZE; i++) {
        double far = 0;
        for (int c = 0; c < 3; c++)
            far += pow((double)(pixels[3 * i + c] - colour[c]), 2);
        if (far > 0.09)
            continue;
        t->area[frame]++;
        t->x[frame] += i % SIZE;
        t->y[frame] += i / SIZE;
    }
    t->x[frame] /= t->area[frame] + 1e-9;
    t->y[frame] /= t->area[frame] + 1e-9;
}

/* What the prompt's clip shows of a colour. */
static struct track follow(const char *prompt, const char *options, const float colour[3])
{
    struct track t = {{0}, {0}, {0}};
    char path[1100], to[1024];
    snprintf(to, sizeof to, "%s", test_tmp_path("frame_%04d.npy"));
    TEST_RUNS("generate \"%s\" -o %s --seed 4 %s", prompt, to, options);
    for (int f = 0; f < FRAMES; f++) {
        snprintf(path, sizeof path, "%.*sframe_%04d.npy", (int)(strrchr(to, '/') + 1 - to), to, f);
        add_frame(&t, f, path, colour);
    }
    return t;
}

/* Mean of an end's frames. */
static double first(const double *v)
{
    return (v[0] + v[1] + v[2]) / 3;
}

static double last(const double *v)
{
    return first(v + FRAMES - 3);
}

static void what_is_said_is_seen(void **state)
{
    (void)state;
    static const struct {
        const char *prompt, *options;
        float colour[3];
        double x, y, growth; /* pixels to the right and down at least, ratio of areas; 0: not looked at */
    } rows[] = {
        {"a red ball rolls to the left", "", {.88f, .18f, .18f}, -9, 0, 0},
        {"a small yellow box flies upwards on a black background", "", {.96f, .86f, .20f}, 0, -9, 0},
        {"a green square getting bigger on a brown background", "--steps 20 --leap never", {.20f, .75f, .27f}, 0, 0, 1.5},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct track t = follow(rows[i].prompt, rows[i].options, rows[i].colour);
        double x = last(t.x) - first(t.x), y = last(t.y) - first(t.y), growth = last(t.area) / first(t.area);
        print_message("%s: moves %.1f %.1f, grows %.2f, %.0f pixels\n", rows[i].prompt, x, y, growth, t.area[8]);
        assert_in_range((long)t.area[8], 40, SIZE * SIZE / 3);
        assert_true(rows[i].x == 0 || x < rows[i].x);
        assert_true(rows[i].y == 0 || y < rows[i].y);
        assert_true(growth > rows[i].growth);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_said_is_seen)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
