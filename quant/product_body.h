/* The product's body for one element type: included by product.c with T, VECTOR (64 bytes of T),
 * LANES and NAME(x) defined. */

struct NAME(work) {
    T *c;
    const T *a, *b;
    struct qt_strides sa, sb;
    size_t m, n, k, columns; /* columns: blocks of NC in n */
    bool add;
};

/* MR rows times one vector of columns, over k steps of panels in the order they are read. */
CLONES static void NAME(kernel)(size_t k, const T *a, const T *b, T *out)
{
    VECTOR acc[MR] = {0};
    for (size_t i = 0; i < k; i++, a += MR, b += LANES) {
        VECTOR v;
        memcpy(&v, b, sizeof v);
        for (int r = 0; r < MR; r++)
            acc[r] += a[r] * v;
    }
    memcpy(out, acc, sizeof acc);
}

/* Panels of `wide` rows (or columns), k inner, zeros behind the last. */
static void NAME(pack)(T *to, const T *from, size_t along, size_t across, size_t k, size_t count,
                       size_t wide)
{
    for (size_t p = 0; p < count; p += wide) {
        size_t have = count - p < wide ? count - p : wide;
        if (have < wide)
            memset(to, 0, wide * k * sizeof *to);
        if (across == 1)
            for (size_t i = 0; i < k; i++)
                memcpy(to + i * wide, from + i * along + p, have * sizeof *to);
        else
            for (size_t j = 0; j < have; j++)
                for (size_t i = 0; i < k; i++)
                    to[i * wide + j] = from[i * along + (p + j) * across];
        to += wide * k;
    }
}

static void NAME(store)(const struct NAME(work) *w, const T *tile, size_t row, size_t column, bool add)
{
    size_t rows = w->m - row < MR ? w->m - row : MR,
           columns = w->n - column < LANES ? w->n - column : LANES;
    for (size_t r = 0; r < rows; r++) {
        T *c = w->c + (row + r) * w->n + column;
        for (size_t j = 0; j < columns; j++)
            c[j] = (add ? c[j] : 0) + tile[r * LANES + j];
    }
}

static void NAME(block)(const struct NAME(work) *w, size_t row, size_t column, T *a, T *b)
{
    size_t rows = w->m - row < MC ? w->m - row : MC,
           columns = w->n - column < NC ? w->n - column : NC;
    T tile[MR * LANES];
    for (size_t at = 0; at < w->k; at += KC) {
        size_t k = w->k - at < KC ? w->k - at : KC;
        NAME(pack)(a, w->a + row * w->sa.row + at * w->sa.column, w->sa.column, w->sa.row, k, rows, MR);
        NAME(pack)(b, w->b + at * w->sb.row + column * w->sb.column, w->sb.row, w->sb.column, k, columns,
                   LANES);
        for (size_t j = 0; j < columns; j += LANES)
            for (size_t i = 0; i < rows; i += MR) {
                NAME(kernel)(k, a + i * k, b + j * k, tile);
                NAME(store)(w, tile, row + i, column + j, w->add || at > 0);
            }
    }
}

static int NAME(blocks)(void *ud, size_t begin, size_t end)
{
    const struct NAME(work) *w = ud;
    T *a = malloc(((size_t)MC * KC + (size_t)NC * KC) * sizeof *a);
    if (!a)
        return fv_fail(FV_ENOMEM, "out of memory");
    for (size_t i = begin; i < end; i++)
        NAME(block)(w, i / w->columns * MC, i % w->columns * NC, a, a + (size_t)MC * KC);
    free(a);
    return 0;
}
