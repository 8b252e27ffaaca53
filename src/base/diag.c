#include "base/diag.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void
copy_text(char *to, size_t bytes, const char *from)
{
    snprintf(to, bytes, "%s", from ? from : "");
}

static void
fill(struct nsp_diag *diag, int result, const char *category, const char *hint,
     const char *format, va_list args)
{
    *diag = (struct nsp_diag){ .result = result };
    copy_text(diag->category, sizeof diag->category, category);
    copy_text(diag->hint, sizeof diag->hint, hint);
    vsnprintf(diag->text, sizeof diag->text, format, args);
}

int
nsp_diag_set(struct nsp_diag *diag, int result, const char *category,
             const char *hint, const char *format, ...)
{
    va_list args;

    if (!diag)
        return result;
    va_start(args, format);
    fill(diag, result, category, hint, format, args);
    va_end(args);
    return result;
}

int
nsp_diag_set_errno(struct nsp_diag *diag, int result, const char *category,
                   int os_errno, const char *hint, const char *format, ...)
{
    va_list args;
    size_t used;

    if (!diag)
        return result;
    va_start(args, format);
    fill(diag, result, category, hint, format, args);
    va_end(args);
    diag->os_errno = os_errno;
    used = strlen(diag->text);
    snprintf(diag->text + used, sizeof diag->text - used, ": %s",
             strerror(os_errno));
    return result;
}

const char *
nsp_result_name(int result)
{
    switch (result) {
#define RESULT_NAME(id, value, name, text)                                     \
    case id:                                                                   \
        return name;
        NSP_RESULTS(RESULT_NAME)
#undef RESULT_NAME
    default:
        return "unknown";
    }
}

const char *
nsp_result_text(int result)
{
    switch (result) {
#define RESULT_TEXT(id, value, name, text)                                     \
    case id:                                                                   \
        return text;
        NSP_RESULTS(RESULT_TEXT)
#undef RESULT_TEXT
    default:
        return "unknown result";
    }
}
