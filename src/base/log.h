#ifndef NSP_BASE_LOG_H
#define NSP_BASE_LOG_H
#include "base/base.h"
#include "netshaper/env.h"

/* Writes one line to 'log', unless nobody listens there; it is cut after 255
 * bytes. Never on the packets' path. */
void nsp_log_write(const struct nsp_log_sink *log, enum nsp_log_level level,
                   const char *format, ...) NSP_PRINTF(3, 4);

#endif /* NSP_BASE_LOG_H */
