#ifndef NSP_CONFIG_UNITS_H
#define NSP_CONFIG_UNITS_H
#include <stddef.h>

#include "netshaper/diag.h"
#include "netshaper/policy.h"

/* Text with a unit to numbers in the library's units, and back. The only place
 * where units are converted.
 *
 * Each reader accepts the whole of 'text' or fails with NSP_INVALID_PARAMETER,
 * 'reterr' saying what was expected, the offset of the offending byte, and how
 * to write it; '*ret' is then untouched. Numbers are decimal and may have a
 * fraction, rounded to the nearest unit of the result but never to zero;
 * letters' case is ignored; spaces may stand before the unit. Negative,
 * overflowing, non-finite and unitless values (but for a plain 0) are refused.
 * No reader looks at the locale, and none computes in floating point. */

/* Rates as in tc: bit, kbit, mbit, gbit, tbit (powers of 1000), kibit..tibit
 * (1024), and bytes as Bps, kBps, MBps, GBps with that spelling of the B; the
 * ambiguous kbps/mbps/gbps is refused with a hint. "/s" may follow bit, and
 * stand for "ps". */
int nsp_units_read_rate(const char *text, uint64_t *ret_bitps,
                        struct nsp_diag *reterr) NSP_MUSTCHECK;

/* ns, us, ms, s, min, h. */
int nsp_units_read_time(const char *text, uint64_t *ret_ns,
                        struct nsp_diag *reterr) NSP_MUSTCHECK;

/* A probability: the % sign is required. To 1 ppm; finer is refused. */
int nsp_units_read_percent(const char *text, uint32_t *ret_ppm,
                           struct nsp_diag *reterr) NSP_MUSTCHECK;

/* b, kb/k, mb/m, gb/g as in tc (powers of 1024), kib.. the same. */
int nsp_units_read_bytes(const char *text, uint64_t *ret_bytes,
                         struct nsp_diag *reterr) NSP_MUSTCHECK;

/* A queue limit: a time ("50ms"), a size ("64kb") or packets ("100p",
 * "100packets"). */
int nsp_units_read_queue(const char *text, uint64_t *ret_limit,
                         uint8_t *ret_unit,
                         struct nsp_diag *reterr) NSP_MUSTCHECK;

/* Writers: shortest exact or 4-digit text with a unit ("20 Mbit/s", "40 ms",
 * "1.5 KiB", "0.1 %"), always terminated; return 'ret'. */
char *nsp_units_write_rate(char *ret, size_t bytes, uint64_t bitps);
char *nsp_units_write_time(char *ret, size_t bytes, uint64_t ns);
char *nsp_units_write_bytes(char *ret, size_t bytes, uint64_t count);
char *nsp_units_write_percent(char *ret, size_t bytes, uint32_t ppm);

#endif /* NSP_CONFIG_UNITS_H */
