#include "filter/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ROOM_MIN 256u

void
nsp_text_init(struct nsp_text *text, const struct nsp_allocator *allocator)
{
    *text = (struct nsp_text){ .allocator = allocator };
}

void
nsp_text_fini(struct nsp_text *text)
{
    nsp_release(text->allocator, text->bytes);
    text->bytes = NULL;
    text->used = text->room = 0;
}

/* Makes room for 'bytes' more and a terminator. */
static bool
reserve(struct nsp_text *text, size_t bytes)
{
    size_t needed = text->used + bytes + 1;
    char *grown;

    if (needed <= text->room)
        return true;
    needed = needed < ROOM_MIN ? ROOM_MIN : needed * 2;
    grown = nsp_alloc(text->allocator, needed, 1);
    if (grown && text->bytes)
        memcpy(grown, text->bytes, text->used);
    nsp_release(text->allocator, text->bytes);
    text->bytes = grown;
    text->room = grown ? needed : 0;
    text->failed = !grown;
    return grown != NULL;
}

void
nsp_text_print(struct nsp_text *text, const char *format, ...)
{
    va_list args, again;
    int bytes;

    if (text->failed)
        return;
    va_start(args, format);
    va_copy(again, args);
    bytes = vsnprintf(NULL, 0, format, args);
    assert(bytes >= 0);
    if (reserve(text, (size_t)bytes)) {
        vsnprintf(text->bytes + text->used, (size_t)bytes + 1, format, again);
        text->used += (size_t)bytes;
    }
    va_end(again);
    va_end(args);
}

char *
nsp_text_take(struct nsp_text *text)
{
    char *bytes;

    nsp_text_print(text, "%s", "");
    bytes = text->bytes;
    text->bytes = NULL;
    text->used = text->room = 0;
    return bytes;
}
