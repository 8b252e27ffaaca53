#ifndef BENCH_ARGUMENTS_H
#define BENCH_ARGUMENTS_H
#include <netinet/in.h>
#include <stdint.h>

/* Reads what a program is told on its command line. What is wrong is said on
 * the standard error, and ends the program with 2. */

/* A number from 'low' to 'high'. */
double bench_read_number(const char *text, double low, double high);

uint16_t bench_read_port(const char *text);

/* Of IPv4. */
struct sockaddr_in bench_read_address(const char *address, const char *port);

#endif /* BENCH_ARGUMENTS_H */
