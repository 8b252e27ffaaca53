#define _GNU_SOURCE
#include "bench/arguments.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

double
bench_read_number(const char *text, double low, double high)
{
    char *end;
    double value = strtod(text, &end);

    if (end != text && *end == '\0' && value >= low && value <= high)
        return value;
    fprintf(stderr, "%s: %s: expected %g to %g\n",
            program_invocation_short_name, text, low, high);
    exit(2);
}

uint16_t
bench_read_port(const char *text)
{
    return (uint16_t)bench_read_number(text, 1, UINT16_MAX);
}

struct sockaddr_in
bench_read_address(const char *address, const char *port)
{
    struct sockaddr_in ret = { .sin_family = AF_INET };

    ret.sin_port = htons(bench_read_port(port));
    if (inet_pton(AF_INET, address, &ret.sin_addr) == 1)
        return ret;
    fprintf(stderr, "%s: %s: expected an IPv4 address\n",
            program_invocation_short_name, address);
    exit(2);
}
