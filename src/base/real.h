#ifndef NSP_BASE_REAL_H
#define NSP_BASE_REAL_H

/* Elementary functions of the four operations alone.
 *
 * The C library's may differ in the last bit between its versions and between
 * processors, and what is random must come out the same for a seed everywhere.
 * These do wherever double is IEEE 754's without excess precision, which is
 * every 64-bit system; the build forbids contraction. Relative errors are below
 * 10^-13.
 *
 * Threads  Any.  Cost  A microsecond: for making tables, not for packets. */

/* 'x' within -700..700. */
double nsp_real_exp(double x);

/* 'x' > 0, and normal. */
double nsp_real_log(double x);

/* 'x' >= 0. */
double nsp_real_sqrt(double x);

/* Of the normal distribution of mean 0 and deviation 1: the density at 'z', and
 * the probability of more than 'z'; 'z' within -30..30. */
double nsp_real_normal_density(double z);
double nsp_real_normal_tail(double z);

#endif /* NSP_BASE_REAL_H */
