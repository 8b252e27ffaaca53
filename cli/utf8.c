#include "cli/utf8.h"

size_t
nsp_utf8_decode(const char *text, size_t bytes, uint32_t *ret)
{
    static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
    const unsigned char *at = (const unsigned char *)text;
    uint32_t c;
    size_t length;

    if (bytes == 0)
        return 0;
    if (at[0] < 0x80) {
        *ret = at[0];
        return 1;
    }
    if (at[0] < 0xc0 || at[0] > 0xf4)
        return 0;
    length = at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
    if (bytes < length)
        return 0;

    c = at[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (at[i] & 0x3fu);
    }
    if (c < smallest[length] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return 0;
    *ret = c;
    return length;
}
