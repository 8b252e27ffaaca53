#include "filter/error.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/diag.h"

int
nsp_source_fail(const struct nsp_source *source, uint32_t at, uint32_t offset,
                const char *category, const char *hint, const char *format, ...)
{
    struct nsp_diag *diag = source->diag;
    uint32_t line_start = 0;
    va_list args;

    if (!diag)
        return NSP_INVALID_FILTER;

    nsp_diag_set(diag, NSP_INVALID_FILTER, category, hint, "%s", "");
    va_start(args, format);
    vsnprintf(diag->text, sizeof diag->text, format, args);
    va_end(args);
    diag->offset = offset;
    diag->line = 1;
    for (uint32_t i = 0; i < at; i++) {
        if (source->text[i] == '\n') {
            diag->line++;
            line_start = i + 1;
        }
    }
    diag->column = at - line_start + 1;
    return NSP_INVALID_FILTER;
}

int
nsp_source_out_of_memory(const struct nsp_source *source)
{
    return nsp_diag_set(source->diag, NSP_NO_MEMORY, NSP_OUT_OF_MEMORY, NULL,
                        "not enough memory to compile the filter");
}
