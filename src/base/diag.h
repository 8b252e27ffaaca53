#ifndef NSP_BASE_DIAG_H
#define NSP_BASE_DIAG_H
#include "base/base.h"
#include "netshaper/diag.h"

/* Fills 'diag', which may be NULL, for an error without a place in a text, and
 * returns 'result'. 'category' is a stable word for programs; 'hint' (may be
 * NULL) says what to do. */
int nsp_diag_set(struct nsp_diag *diag, int result, const char *category,
                 const char *hint, const char *format, ...) NSP_PRINTF(5, 6);

/* The same for a failed system call: 'os_errno' positive, its text appended. */
int nsp_diag_set_errno(struct nsp_diag *diag, int result, const char *category,
                       int os_errno, const char *hint, const char *format, ...)
    NSP_PRINTF(6, 7);

#endif /* NSP_BASE_DIAG_H */
