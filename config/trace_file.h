#ifndef NSP_CONFIG_TRACE_FILE_H
#define NSP_CONFIG_TRACE_FILE_H
#include <stddef.h>

#include "netshaper/diag.h"

/* Text files of others that impairments are made from, as lists of numbers.
 *
 * Each reader accepts the whole of 'text' or fails with NSP_INVALID_PARAMETER,
 * 'reterr' (may be NULL) naming the line and column, what was expected and what
 * to do; '*ret_count' is then untouched. At most 'max' numbers go to 'ret', and
 * more are refused; where 'ret' is NULL they are only counted. A text of n
 * bytes has at most (n + 1) / 2 of them. Lines may end as on Windows. Nothing
 * is allocated; cost: one pass. */

#define NSP_TRACE_NS_MAX UINT64_C(86400000000000) /* A day. */

/* A distribution as netem has it: whole numbers of -32768 to 32767 between
 * blanks, 8192 to the standard deviation, with comments from # to the end of
 * the line; one at least. */
int nsp_dist_file_read(const char *text, size_t bytes, uint32_t max,
                       int16_t *ret, uint32_t *ret_count,
                       struct nsp_diag *reterr);

/* Opportunities to send, one a line, as times since the beginning: in
 * milliseconds as Mahimahi has them ('unit_ns' 1000000), or in nanoseconds (1).
 * They do not go back; the last is where the trace begins anew, so it is not 0;
 * no line is empty. Times come in ns, at most NSP_TRACE_NS_MAX. */
int nsp_trace_file_read(const char *text, size_t bytes, uint64_t unit_ns,
                        uint32_t max, uint64_t *ret_ns, uint32_t *ret_count,
                        struct nsp_diag *reterr);

/* Delays in the order in which they come about: a time a line, such as 12.5ms,
 * each at most 'most_ns', with comments from # to the end of the line. Empty
 * lines are left out; one delay at least. */
int nsp_delay_file_read(const char *text, size_t bytes, uint64_t most_ns,
                        uint32_t max, uint64_t *ret_ns, uint32_t *ret_count,
                        struct nsp_diag *reterr);

/* What becomes of each packet: 0 passes, 1 is lost. Blanks and line ends
 * between them mean nothing, # begins a comment; one at least. 'ret' gets a
 * byte for each. */
int nsp_loss_file_read(const char *text, size_t bytes, uint32_t max,
                       uint8_t *ret, uint32_t *ret_count,
                       struct nsp_diag *reterr);

#endif /* NSP_CONFIG_TRACE_FILE_H */
