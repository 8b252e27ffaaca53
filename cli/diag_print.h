#ifndef NSP_CLI_DIAG_PRINT_H
#define NSP_CLI_DIAG_PRINT_H
#include <stdbool.h>
#include <stdio.h>

#include "netshaper/diag.h"
#include "netshaper/env.h"

/* Diagnostics as a human reads them:
 *
 *     nsp: error: filter:1:13: bad-operator: expected a value, found '='
 *       tcp.DstPort === 5201
 *                   ^
 *     hint: equality is '=='
 *
 * Only printable characters are written: control characters, bidirectional
 * overrides and bytes that are not UTF-8 appear as \n, \x1b, \u{202e}. A long
 * line is cut to a window around the caret. */

/* Prints 'diag' to 'to'. 'source' is the text that it complains of, called
 * 'source_name'; both may be NULL. */
void nsp_diag_print(FILE *to, const struct nsp_diag *diag,
                    const char *source_name, const char *source, bool color);

/* The same as a warning: "nsp: warning: ...". */
void nsp_diag_print_warning(FILE *to, const struct nsp_diag *diag,
                            const char *source_name, const char *source,
                            bool color);

/* What an engine logs while it runs, as such lines to standard error: warnings
 * and errors, and nothing less. */
extern const struct nsp_log_sink nsp_log_to_stderr;

/* Prints 'text' with everything unprintable made visible. */
void nsp_print_safe(FILE *to, const char *text);

#endif /* NSP_CLI_DIAG_PRINT_H */
