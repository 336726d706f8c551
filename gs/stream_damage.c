/* Which part of a chunk is damaged (stream_file.h). Sums are of whole chunks, but CRC-32 is linear:
 * what the sum is off by depends on nothing but the flipped bits and how far from the end they are.
 * Turned back a bit at a time it becomes, where they lie close together, these bits themselves. */
#include "gs/stream_file.h"

#include <string.h>
#include <zlib.h>

enum { MOST_BITS = 1 << 28 }; /* gone through; half a second */

/* A step of the sum back, as if the last bit, a zero, had not been. */
static uint32_t back(uint32_t sum)
{
    return sum & 0x80000000u ? (sum ^ 0xEDB88320u) << 1 | 1 : sum << 1;
}

/* How wide damage may be to be told from any other in so many bits, but for one case in 256. */
static uint32_t widest(uint64_t bits)
{
    uint32_t width = 1;
    while (width < 16 && bits << width <= 1u << 24)
        width++;
    return width;
}

int64_t gs_chunk_damage(const uint8_t *chunk, uint32_t size)
{
    uint32_t stored = (uint32_t)chunk[8] | (uint32_t)chunk[9] << 8 | (uint32_t)chunk[10] << 16 |
                      (uint32_t)chunk[11] << 24;
    /* of no bytes, which have no place, crc32 would begin anew */
    const uint8_t *payload = size ? chunk + GS_CHUNK_HEAD : chunk;
    uint32_t off = stored ^ (uint32_t)crc32_z(crc32_z(0, chunk, 8), payload, size);
    uint64_t bits = 8 * ((uint64_t)size + 8);
    if (!off || bits > MOST_BITS)
        return -1;
    uint32_t most = 1u << widest(bits), sum = off >> __builtin_ctz(off);
    if (sum < most) /* of the sum itself */
        return 8 + __builtin_ctz(off) / 8;
    sum = off;
    for (uint64_t bit = bits; bit-- > 0;) {
        sum = back(sum);
        if (sum < most) {
            uint64_t byte = bit / 8;
            return (int64_t)(byte < 8 ? byte : byte + GS_CHUNK_HEAD - 8);
        }
    }
    return -1;
}

static const char *section_name(uint8_t kind, int section)
{
    static const char *const attrs[GS_SH1] = {"positions", "rotations", "scales", "opacities",
                                              "colours"};
    if (section == GS_SECTION_MODEL)
        return kind == GS_CHUNK_BASE ? "levels" : "model";
    return section == GS_SECTION_DEATHS   ? "deaths"
           : section == GS_SECTION_BIRTHS ? "births"
           : section == GS_SECTION_BASIS  ? "basis"
                                          : attrs[section - GS_SECTION_ATTRS];
}

/* The sections of a frame's own chunk that hold its payload's byte `at`. Sizes that are damaged
 * themselves name no section but that. */
static const char *part_name(uint8_t kind, const uint8_t *data, uint32_t size, uint32_t at)
{
    int list[GS_SECTIONS];
    bool basis = kind == GS_CHUNK_BASE && size > 8 && data[7] == GS_BASE_BASIS;
    int n = gs_own_sections(kind, basis, list);
    struct fv_cursor c = fv_cursor_over(data, size);
    if (kind == GS_CHUNK_BASE && size > 8 && data[7] == GS_BASE_ANCHORS)
        return at < 8 ? "count" : "anchors";
    size_t fixed = kind != GS_CHUNK_BASE ? 1 : size > 8 && data[7] == GS_BASE_FLOATS ? 8 : 52;
    uint64_t end[GS_SECTIONS], sum = 0;
    if (at < fixed)
        return kind == GS_CHUNK_BASE ? "count, grid or steps" : "the list of its SH bands";
    (void)fv_get_bytes(&c, fixed);
    for (int k = 0; k < n; k++)
        end[k] = sum += gs_get_varint(&c);
    if (c.failed || at < c.at)
        return "the sizes of its sections";
    for (int k = 0; k < n; k++)
        if (at - c.at < end[k])
            return section_name(kind, list[k]);
    return NULL;
}

void gs_chunk_damage_name(char out[GS_DAMAGE_NAME], uint8_t kind, const uint8_t *chunk, uint32_t size,
                          uint64_t offset)
{
    int64_t at = gs_chunk_damage(chunk, size);
    int place = gs_chunk_place(kind);
    char whole[32] = "geometry and colours";
    const char *part = NULL;
    if (place > 0)
        snprintf(whole, sizeof whole, "SH band %d%s", (place + 1) / 2, place % 2 ? " of births" : "");
    if (at < 0)
        snprintf(out, GS_DAMAGE_NAME, "%s are damaged", whole);
    else if (at < GS_CHUNK_HEAD)
        part = at < 8 ? "head" : "sum";
    else if (place == 0)
        part = part_name(kind, chunk + GS_CHUNK_HEAD, size, (uint32_t)at - GS_CHUNK_HEAD);
    if (at >= 0 && at < GS_CHUNK_HEAD)
        snprintf(out, GS_DAMAGE_NAME, "the %s of %s is damaged at byte %llu", part, whole,
                 (unsigned long long)(offset + (uint64_t)at));
    else if (at >= 0)
        snprintf(out, GS_DAMAGE_NAME, "%s damaged at byte %llu", part ? part : whole,
                 (unsigned long long)(offset + (uint64_t)at));
}
