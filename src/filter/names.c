#include <string.h>

#include "filter/compile.h"
#include "netshaper/filter.h"

/* Whether a test asks for one of the two ports, and no others around them. */
static bool
asks_for_ports(const struct nsp_ir *ir, const struct nsp_ir_test *test,
               uint16_t first, uint16_t last)
{
    for (uint32_t i = 0; i < test->range_count; i++) {
        const struct nsp_range *range = &ir->ranges[test->first_range + i];

        if (range->lo.hi == 0 && range->hi.hi == 0 && range->lo.lo >= first &&
            range->hi.lo <= last)
            return true;
    }
    return false;
}

static bool
is_port(const struct nsp_field *field)
{
    static const char *const names[] = { "udp.SrcPort", "udp.DstPort",
                                         "localPort", "remotePort" };

    for (size_t i = 0; i < NSP_ARRAY_LEN(names); i++)
        if (strcmp(field->name, names[i]) == 0)
            return true;
    return false;
}

static bool
test_names(const struct nsp_ir *ir, const struct nsp_ir_test *test,
           enum nsp_essential essential)
{
    const struct nsp_field *field = test->operand ? test->operand : test->field;

    switch (essential) {
    case NSP_ESSENTIAL_NEIGHBOURS:
        return strcmp(field->name, "icmpv6.Type") == 0;
    case NSP_ESSENTIAL_DHCP:
        return is_port(field) && asks_for_ports(ir, test, NSP_PORT_DHCP_SERVER,
                                                NSP_PORT_DHCP_CLIENT);
    case NSP_ESSENTIAL_DHCPV6:
        return is_port(field) &&
               asks_for_ports(ir, test, NSP_PORT_DHCPV6_CLIENT,
                              NSP_PORT_DHCPV6_SERVER);
    default:
        return false;
    }
}

bool
nsp_filter_names(const struct nsp_filter *filter, enum nsp_essential essential)
{
    const struct nsp_ir *ir = nsp_filter_ir(filter);

    for (uint32_t i = 0; i < ir->count; i++)
        if (test_names(ir, &ir->tests[i], essential))
            return true;
    return false;
}
