#ifndef NSP_CLI_UTF8_H
#define NSP_CLI_UTF8_H
#include <stddef.h>
#include <stdint.h>

/* Reads one character of UTF-8 (RFC 3629: no overlong forms, no surrogates)
 * from the first of 'bytes' bytes at 'text'. Returns its length, 1..4, or 0
 * when there is none; '*ret' is then untouched. */
size_t nsp_utf8_decode(const char *text, size_t bytes, uint32_t *ret);

#endif /* NSP_CLI_UTF8_H */
