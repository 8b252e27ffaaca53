#include "filter/explain_test.h"

#include "filter/literal.h"

void
nsp_explain_number(struct nsp_text *text, const struct nsp_field *field,
                   struct nsp_number number)
{
    char literal[NSP_LITERAL_BYTES];

    if (field->type == NSP_TYPE_MAC)
        nsp_literal_print_mac(number.magnitude, literal);
    else if (field->type == NSP_TYPE_IPV4 || field->type == NSP_TYPE_IPV6)
        nsp_literal_print_address(number.magnitude, literal);
    else
        nsp_literal_print_number(number.magnitude, literal);
    nsp_text_print(text, "%s%s", number.negative ? "-" : "", literal);
}

void
nsp_explain_operand(struct nsp_text *text, const struct nsp_field *field,
                    int32_t position, uint32_t mask)
{
    nsp_text_print(text, "%s", field->name);
    if (field->element_bytes > 0)
        nsp_text_print(text, "[%db]", position);
    if (mask != 0)
        nsp_text_print(text, " & 0x%x", mask);
}

void
nsp_explain_value(struct nsp_text *text, const struct nsp_ir *ir,
                  const struct nsp_ir_test *test, struct nsp_u128 distance)
{
    bool is_signed = !test->operand && test->field->type == NSP_TYPE_SIGNED;
    struct nsp_number number = { .magnitude = distance };

    if (!test->operand)
        number.magnitude = nsp_u128_add(
            nsp_number_wrap(nsp_field_range(test->field, ir->layer).min),
            distance);
    number.negative = number.magnitude.hi >> 63 && is_signed;
    if (number.negative)
        number.magnitude = nsp_u128_sub(nsp_u128(0), number.magnitude);
    nsp_explain_number(text, test->field, number);
}

void
nsp_explain_ranges(struct nsp_text *text, const struct nsp_ir *ir,
                   const struct nsp_ir_test *test, uint32_t ranges_max)
{
    for (uint32_t i = 0; i < test->range_count; i++) {
        struct nsp_range range = ir->ranges[test->first_range + i];

        nsp_text_print(text, i > 0 ? ", " : "");
        if (i == ranges_max) {
            nsp_text_print(text, "and %u more", test->range_count - i);
            return;
        }
        nsp_explain_value(text, ir, test, range.lo);
        if (nsp_u128_equal(range.lo, range.hi))
            continue;
        nsp_text_print(text, "..");
        nsp_explain_value(text, ir, test, range.hi);
    }
}
