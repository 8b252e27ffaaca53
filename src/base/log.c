#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

void
nsp_log_write(const struct nsp_log_sink *log, enum nsp_log_level level,
              const char *format, ...)
{
    char message[256];
    va_list args;

    if (!log->write)
        return;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    log->write(log->context, level, message);
}
