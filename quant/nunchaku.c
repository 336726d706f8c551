/* Nunchaku's order in memory: tensors as its matrix units read them. DIFFUSION.md of the design has
 * how the places were found; docs/QUANT.md has them in a table. */
#include "quant/quant.h"

/* n = 128 nt + 16 p + 8 s + l, k = 64 kt + 32 u + 8 m + r: nibble r of this 32-bit word. */
static size_t word_of(size_t n, size_t k, size_t inputs)
{
    size_t nt = n / 128, p = n / 16 % 8, s = n / 8 % 2, l = n % 8;
    size_t kt = k / 64, u = k / 32 % 2, m = k / 8 % 4;
    return ((((nt * (inputs / 64) + kt) * 8 + p) * 8 + l) * 4 + m) * 4 + 2 * s + u;
}

void qt_nunchaku_codes(const uint8_t *words, int8_t *codes, size_t n, size_t k, enum qt_nunchaku_part part)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < k; j++) {
            int v = words[word_of(i, j, k) * 4 + j % 8 / 2] >> (j % 2 * 4) & 15;
            codes[i * k + j] = (int8_t)(part == QT_NUNCHAKU_INT4 && v > 7 ? v - 16 : v);
        }
}

void qt_nunchaku_pack_codes(uint8_t *words, const int8_t *codes, size_t n, size_t k)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < k; j += 2) {
            int low = codes[i * k + j] & 15, high = codes[i * k + j + 1] & 15;
            words[word_of(i, j, k) * 4 + j % 8 / 2] = (uint8_t)(low | high << 4);
        }
}

size_t qt_nunchaku_scale_at(size_t n, size_t g, size_t groups)
{
    size_t a = n / 16 % 8, b = n / 8 % 2, c = n / 2 % 4, d = n % 2;
    return (n / 128 * groups + g) * 128 + 16 * a + 4 * c + 2 * b + d;
}

size_t qt_nunchaku_fp4_scale_at(size_t n, size_t g, size_t groups)
{
    size_t p = n / 32 % 4, q = n / 8 % 4, e = n % 8;
    return ((((n / 128 * (groups / 4) + g / 4) * 8 + e) * 4 + q) * 4 + p) * 4 + g % 4;
}

/* 16 x 16 tiles: eight rows of four pairs, for each half of the rows and of the columns. */
static size_t inner(size_t row, size_t column)
{
    size_t s = row / 8 % 2, l = row % 8, u = column / 8 % 2, m = column / 2 % 4, e = column % 2;
    return ((l * 4 + m) * 2 + s) * 4 + 2 * u + e;
}

size_t qt_nunchaku_up_at(size_t n, size_t r, size_t rank)
{
    return (n / 16 * (rank / 16) + r / 16) * 256 + inner(n, r);
}

size_t qt_nunchaku_down_at(size_t k, size_t r, size_t rank)
{
    return (k / 16 * (rank / 16) + r / 16) * 256 + inner(r, k);
}

float qt_fp4(int code)
{
    static const float values[8] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
    return code & 8 ? -values[code & 7] : values[code & 7];
}
