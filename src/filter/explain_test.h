#ifndef NSP_FILTER_EXPLAIN_TEST_H
#define NSP_FILTER_EXPLAIN_TEST_H
#include "filter/ir.h"
#include "filter/text.h"

/* Tests of the decision graph as text. */

void nsp_explain_number(struct nsp_text *text, const struct nsp_field *field,
                        struct nsp_number number);

/* What is read: "packet[3b]", "tcp.Flags & 0x12". */
void nsp_explain_operand(struct nsp_text *text, const struct nsp_field *field,
                         int32_t position, uint32_t mask);

/* The values that pass: "80, 443, 8000..8080", at most 'ranges_max' ranges
 * spelt out. */
void nsp_explain_ranges(struct nsp_text *text, const struct nsp_ir *ir,
                        const struct nsp_ir_test *test, uint32_t ranges_max);

/* 'distance' from the least value of the field that 'test' is about. */
void nsp_explain_value(struct nsp_text *text, const struct nsp_ir *ir,
                       const struct nsp_ir_test *test,
                       struct nsp_u128 distance);

#endif /* NSP_FILTER_EXPLAIN_TEST_H */
