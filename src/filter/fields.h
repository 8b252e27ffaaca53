#ifndef NSP_FILTER_FIELDS_H
#define NSP_FILTER_FIELDS_H
#include "filter/number.h"
#include "netshaper/filter.h"
#include "netshaper/flow.h"
#include "netshaper/packet.h"

/* The fields of the language, and everything that is known about each: one
 * table that the lexer, the type check, the evaluator, the printer and the
 * documentation read. */

/* Layers a field may be used on: a bit for each enum nsp_layer. */
enum nsp_layer_set {
    NSP_ON_NETWORK = 1 << NSP_LAYER_NETWORK,
    NSP_ON_FORWARD = 1 << NSP_LAYER_NETWORK_FORWARD,
    NSP_ON_FLOW = 1 << NSP_LAYER_FLOW,
    NSP_ON_SOCKET = 1 << NSP_LAYER_SOCKET,
    NSP_ON_REFLECT = 1 << NSP_LAYER_REFLECT,
};

enum nsp_field_type {
    NSP_TYPE_CONSTANT, /* Always 'arg'. */
    NSP_TYPE_BOOL,     /* 0 or 1. */
    NSP_TYPE_NUMBER,   /* 0 .. 2^bits - 1. */
    NSP_TYPE_SIGNED,   /* -2^(bits-1) .. 2^(bits-1) - 1. */
    NSP_TYPE_IPV4,     /* ::ffff:0.0.0.0 .. ::ffff:255.255.255.255. */
    NSP_TYPE_IPV6,     /* Any 128 bits. */
    NSP_TYPE_EVENT,    /* Number of an event of the layer. */
    NSP_TYPE_LAYER,    /* enum nsp_layer. */
    NSP_TYPE_PRIORITY, /* -30000 .. 30000. */
    NSP_TYPE_MAC,      /* 48 bits. */
    NSP_TYPE_TEXT,
};

/* What a packet must have for the field to have a value. Without it every test
 * on the field fails. */
enum nsp_field_need {
    NSP_NEED_NOTHING,
    NSP_NEED_IPV4,
    NSP_NEED_IPV6,
    NSP_NEED_TCP,
    NSP_NEED_UDP,
    NSP_NEED_ICMP,
    NSP_NEED_ICMPV6,
    NSP_NEED_IP,      /* Either version. */
    NSP_NEED_SIDE,    /* A direction. */
    NSP_NEED_IP_SIDE, /* Both. */
    NSP_NEED_EVENT,   /* A record that is no packet. */
    /* What the analysis does not follow: */
    NSP_NEED_ARP,
    NSP_NEED_ETHERNET,
    NSP_NEED_VLAN,
    NSP_NEED_MSS,  /* TCP with that option. */
    NSP_NEED_UID,  /* A known owner. */
    NSP_NEED_FLOW, /* A flow that is tracked: IP. */
};

/* How the value is found in a packet; 'arg', 'offset' and 'shift' qualify. */
enum nsp_fetch {
    NSP_FETCH_NEVER,   /* Packets have none. */
    NSP_FETCH_ZERO,    /* Always 0 here. */
    NSP_FETCH_IS,      /* 1 if the byte at 'offset' of nsp_pkt is 'arg'. */
    NSP_FETCH_BYTE,    /* The byte at 'offset' of nsp_pkt. */
    NSP_FETCH_FLAG,    /* Bit 'shift' of nsp_pkt's flags. */
    NSP_FETCH_LENGTH,  /* IP length. */
    NSP_FETCH_IFINDEX, /* Of the interface it came or goes by. */
    NSP_FETCH_L3,      /* Bits at 'shift' of the network-order word at
                        * 'offset' of network header 'arg'. */
    NSP_FETCH_L4,      /* The same in transport header 'arg'. */
    NSP_FETCH_PAYLOAD_LENGTH, /* Of transport 'arg'. */
    NSP_FETCH_LOCAL_PORT,
    NSP_FETCH_REMOTE_PORT,
    NSP_FETCH_RANDOM, /* Bits at 'shift' of the packet's hash. */
    NSP_FETCH_MARK,
    NSP_FETCH_UID,
    NSP_FETCH_ETHER_TYPE,
    NSP_FETCH_VLAN, /* Identifier of the outermost tag. */
    NSP_FETCH_MSS,  /* Value of the TCP option. */
    NSP_FETCH_FLOW, /* The byte at 'offset' of the flow's view. */
    /* Of tests that read more than one field: */
    NSP_FETCH_MASKED,   /* Some bits of it. */
    NSP_FETCH_COMPARED, /* 0, 1, 2: less than, equal to, more than another. */
    NSP_FETCH_IN_SET,   /* 1 if in a named set, else 0. */
    NSP_FETCH_LATER,    /* Known to no device yet: does not compile. */
    NSP_FETCH_BYTES,    /* Indexed; from the IP header if 'arg' is 0, else from
                         * the payload of transport 'arg'. */
    /* Of more than 32 bits: */
    NSP_FETCH_ADDR6, /* 16 bytes at 'offset' of the IPv6 header. */
    NSP_FETCH_LOCAL_ADDR,
    NSP_FETCH_REMOTE_ADDR,
    NSP_FETCH_TIMESTAMP,
    NSP_FETCH_FLOW_COUNT, /* The 64 bits at 'offset' of the flow's view. */
    NSP_FETCH_MAC, /* 6 bytes at 'offset' of the link header, or, if 'arg' is
                    * not 0, of that network header. */
};

struct nsp_field {
    const char *name;
    const char *doc; /* One line for the manual. */
    uint8_t id;      /* In WinDivert's object format; NSP_FIELD_NO_ID. */
    uint8_t layers;  /* enum nsp_layer_set. */
    uint8_t type;    /* enum nsp_field_type. */
    uint8_t bits;    /* Width of a value. */
    uint8_t need;    /* enum nsp_field_need. */
    uint8_t fetch;   /* enum nsp_fetch. */
    uint8_t arg;
    uint8_t shift;
    uint8_t element_bytes; /* Of an indexed field: 1, 2, 4; else 0. */
    uint16_t offset;
};

#define NSP_FIELD_NO_ID 255
#define NSP_FIELDS_MAX  128

extern const struct nsp_field nsp_fields[];
extern const uint32_t nsp_field_count;

/* Rows of the table that have no layers and that no text can name: they stand
 * in the decision graph for a test whose fields are its operands. */
extern const struct nsp_field *const nsp_field_masked;
extern const struct nsp_field *const nsp_field_compared;
extern const struct nsp_field *const nsp_field_in_set;

/* A name that stands for a number. */
struct nsp_macro {
    const char *name;
    uint8_t value;
    uint8_t layers;
    uint8_t value_on_reflect;
    uint8_t state_layers; /* Where it is a state of flows, which WinDivert does
                           * not have. */
};

extern const struct nsp_macro nsp_macros[];
extern const uint32_t nsp_macro_count;

/* Values a field can have: min .. min + span. Inside the compiler a value is
 * kept as its distance from min, so that all are unsigned. */
struct nsp_field_range {
    struct nsp_number min;
    struct nsp_u128 span;
};

/* Tells whether WinDivert has no such field. */
static inline bool
nsp_field_is_addition(const struct nsp_field *field)
{
    return field->id == NSP_FIELD_NO_ID && field->type != NSP_TYPE_CONSTANT;
}

/* Tells whether values are times in ms, which may be written with a unit. */
static inline bool
nsp_field_is_time(const struct nsp_field *field)
{
    return field->fetch == NSP_FETCH_FLOW_COUNT &&
           field->offset == offsetof(struct nsp_flow_view, age_ms);
}

/* Tells whether values are of enum nsp_flow_state. */
static inline bool
nsp_field_is_state(const struct nsp_field *field)
{
    return field->fetch == NSP_FETCH_FLOW &&
           field->offset == offsetof(struct nsp_flow_view, state);
}

/* Layers where 'macro' stands for a number. */
static inline uint8_t
nsp_macro_layers(const struct nsp_macro *macro, bool strict)
{
    return strict ? macro->layers
                  : (uint8_t)(macro->layers | macro->state_layers);
}

/* Finds a field or macro by its exact name; NULL if there is none. */
const struct nsp_field *nsp_field_find(const char *name, size_t bytes);
const struct nsp_macro *nsp_macro_find(const char *name, size_t bytes);

/* The field that is 1 exactly when 'need' (a header) is met; NULL for needs
 * that no field tells. */
const struct nsp_field *nsp_field_of_need(enum nsp_field_need need);

struct nsp_field_range nsp_field_range(const struct nsp_field *field,
                                       enum nsp_layer layer);

/* The word of the language (field, macro or operator) most like the misspelt
 * 'name', or NULL if none is near. Names of 'layer' are preferred; additions to
 * WinDivert left out if 'strict'. */
const char *nsp_field_suggest(const char *name, size_t bytes,
                              enum nsp_layer layer, bool strict);

#endif /* NSP_FILTER_FIELDS_H */
