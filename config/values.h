#ifndef NSP_CONFIG_VALUES_H
#define NSP_CONFIG_VALUES_H
#include "config/keys.h"

/* The kinds of scalars that policy files have. The member is a uint64_t but
 * where another type is named. */
extern const struct nsp_value_type nsp_value_text;   /* const char *. */
extern const struct nsp_value_type nsp_value_name;   /* const char *. */
extern const struct nsp_value_type nsp_value_path;   /* const char *. */
extern const struct nsp_value_type nsp_value_filter; /* const char *. */
extern const struct nsp_value_type nsp_value_bits;   /* const char *. */
extern const struct nsp_value_type nsp_value_bool;   /* bool. */
extern const struct nsp_value_type nsp_value_number;
extern const struct nsp_value_type nsp_value_signed; /* int64_t. */
extern const struct nsp_value_type nsp_value_word;
extern const struct nsp_value_type nsp_value_time;
extern const struct nsp_value_type nsp_value_rate;
extern const struct nsp_value_type nsp_value_percent;
extern const struct nsp_value_type nsp_value_size;  /* Bytes. */
extern const struct nsp_value_type nsp_value_fill;  /* struct nsp_doc_fill. */
extern const struct nsp_value_type nsp_value_burst; /* Thousandths. */
extern const struct nsp_value_type nsp_value_dscp;
extern const struct nsp_value_type nsp_value_days;  /* A set. */
extern const struct nsp_value_type nsp_value_queue; /* struct nsp_quantity. */
extern const struct nsp_value_type nsp_value_limit_rate;  /* The same. */
extern const struct nsp_value_type nsp_value_limit_burst; /* The same. */
extern const struct nsp_value_type nsp_value_hours; /* struct nsp_hours. */
extern const struct nsp_value_type nsp_value_mark;  /* nsp_doc_mark. */

/* Complains where a name in a mapping of names is none. */
void nsp_value_check_name(struct nsp_key_reader *r, const struct nsp_key *key,
                          const struct nsp_yaml_node *node);

#endif /* NSP_CONFIG_VALUES_H */
