/* From the text of a scalar back to the file. Folding, indentation and line
 * ends only ever change white space, so it is enough to count the other
 * characters. */
#include <string.h>

#include "config/yaml.h"

static bool
is_white(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static unsigned
hex_value(const char *text, size_t digits)
{
    unsigned value = 0;

    for (size_t i = 0; i < digits; i++) {
        char c = text[i];

        value = value * 16 + (unsigned)(c >= '0' && c <= '9'   ? c - '0'
                                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                               : 0);
    }
    return value;
}

static size_t
utf8_length(unsigned code)
{
    return code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
}

/* How many bytes of the file the piece at 'raw' takes, and how many bytes that
 * are not white it stands for. */
static size_t
piece_bytes(const char *raw, size_t left, uint8_t style, size_t *ret_stands_for)
{
    static const char white_escapes[] = " \t\n\rtnr";
    size_t digits;
    unsigned code;

    *ret_stands_for = !is_white(raw[0]);
    if (style == NSP_YAML_SINGLE_QUOTED && raw[0] == '\'' && left > 1)
        return 2;
    if (style != NSP_YAML_DOUBLE_QUOTED || raw[0] != '\\' || left < 2)
        return 1;

    digits = raw[1] == 'x' ? 2 : raw[1] == 'u' ? 4 : raw[1] == 'U' ? 8 : 0;
    if (digits == 0 || digits + 2 > left) {
        /* Next line, no-break space, line and paragraph separator. */
        *ret_stands_for = strchr(white_escapes, raw[1])    ? 0
                          : raw[1] == 'N' || raw[1] == '_' ? 2
                          : raw[1] == 'L' || raw[1] == 'P' ? 3
                                                           : 1;
        return 2;
    }
    code = hex_value(raw + 2, digits);
    *ret_stands_for =
        code < 0x80 && is_white((char)code) ? 0 : utf8_length(code);
    return digits + 2;
}

size_t
nsp_yaml_locate(const struct nsp_text_source *source,
                const struct nsp_yaml_node *scalar, size_t offset)
{
    size_t at = scalar->offset, end = scalar->end, before = 0, after;
    size_t length = strlen(scalar->text);
    bool at_white = offset >= length || is_white(scalar->text[offset]);

    if (end > source->bytes)
        end = source->bytes;
    for (size_t i = 0; i < offset && i < length; i++)
        before += !is_white(scalar->text[i]);
    after = at;
    while (at < end) {
        size_t stands_for;
        size_t bytes = piece_bytes(source->text + at, end - at, scalar->style,
                                   &stands_for);

        if (stands_for > 0 && before < stands_for && !at_white)
            return at;
        if (before == 0 && at_white)
            return after;
        before -= before < stands_for ? before : stands_for;
        at += bytes;
        if (stands_for > 0)
            after = at;
    }
    return after < end ? after : end;
}
