#include "cli/json.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/utf8.h"

static void
write_escaped(FILE *to, unsigned char c)
{
    static const char letters[] = "btnvfr"; /* From 8 on; \v is no escape. */

    if (c == '"' || c == '\\')
        fprintf(to, "\\%c", c);
    else if (c >= 8 && c <= 13 && c != 11)
        fprintf(to, "\\%c", letters[c - 8]);
    else
        fprintf(to, "\\u%04x", c);
}

static void
write_string(FILE *to, const char *text)
{
    size_t left = strlen(text);

    putc('"', to);
    while (left > 0) {
        uint32_t c;
        size_t length = nsp_utf8_decode(text, left, &c);

        if (length == 0) {
            fputs("\xef\xbf\xbd", to);
            length = 1;
        } else if (c < 0x20 || c == '"' || c == '\\' || c == 0x7f) {
            write_escaped(to, (unsigned char)c);
        } else {
            fwrite(text, 1, length, to);
        }
        text += length;
        left -= length;
    }
    putc('"', to);
}

/* Writes what stands before a value. Tells whether the value may follow. */
static bool
begin_value(struct nsp_json *json, const char *name)
{
    bool in_object = json->depth > 0 && json->ends[json->depth - 1] == '}';

    if (json->misused || in_object != (name != NULL) ||
        (json->depth == 0 && json->started)) {
        json->misused = true;
        return false;
    }
    if (json->has_member)
        putc(',', json->to);
    if (name) {
        write_string(json->to, name);
        putc(':', json->to);
    }
    json->started = true;
    json->has_member = true;
    return true;
}

static void
begin_level(struct nsp_json *json, const char *name, char begin, char end)
{
    if (json->depth == NSP_JSON_DEPTH_MAX)
        json->misused = true;
    if (!begin_value(json, name))
        return;
    putc(begin, json->to);
    json->ends[json->depth++] = end;
    json->has_member = false;
}

static void
end_level(struct nsp_json *json)
{
    putc(json->ends[--json->depth], json->to);
    json->has_member = true;
}

void
nsp_json_init(struct nsp_json *json, FILE *to)
{
    *json = (struct nsp_json){ .to = to };
}

void
nsp_json_begin_object(struct nsp_json *json, const char *name)
{
    begin_level(json, name, '{', '}');
}

void
nsp_json_begin_array(struct nsp_json *json, const char *name)
{
    begin_level(json, name, '[', ']');
}

void
nsp_json_end(struct nsp_json *json)
{
    if (json->depth == 0)
        json->misused = true;
    if (!json->misused)
        end_level(json);
}

void
nsp_json_string(struct nsp_json *json, const char *name, const char *value)
{
    if (!value)
        nsp_json_null(json, name);
    else if (begin_value(json, name))
        write_string(json->to, value);
}

void
nsp_json_uint(struct nsp_json *json, const char *name, uint64_t value)
{
    if (begin_value(json, name))
        fprintf(json->to, "%" PRIu64, value);
}

void
nsp_json_int(struct nsp_json *json, const char *name, int64_t value)
{
    if (begin_value(json, name))
        fprintf(json->to, "%" PRId64, value);
}

void
nsp_json_bool(struct nsp_json *json, const char *name, bool value)
{
    if (begin_value(json, name))
        fputs(value ? "true" : "false", json->to);
}

void
nsp_json_null(struct nsp_json *json, const char *name)
{
    if (begin_value(json, name))
        fputs("null", json->to);
}

void
nsp_json_double(struct nsp_json *json, const char *name, double value)
{
    char text[40];

    if (!isfinite(value)) {
        nsp_json_null(json, name);
        return;
    }
    if (!begin_value(json, name))
        return;
    snprintf(text, sizeof text, "%.15g", value);
    if (strtod(text, NULL) != value)
        snprintf(text, sizeof text, "%.17g", value);
    fputs(text, json->to);
}

int
nsp_json_finish(struct nsp_json *json)
{
    while (json->depth > 0)
        end_level(json);
    if (!json->started) {
        json->misused = true;
        fputs("null", json->to);
    }
    putc('\n', json->to);
    fflush(json->to);
    return json->misused ? -EINVAL : 0;
}
