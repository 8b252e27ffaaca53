#ifndef NSP_FILTER_OBJECT_H
#define NSP_FILTER_OBJECT_H
#include "filter/error.h"
#include "filter/ir.h"

/* WinDivert's text form of a compiled filter: the list of its tests, each with
 * the two that follow it.
 *
 *     object := '@WinDiv_' version count {test}
 *     test   := '_' field relation negative word {word} [position] target
 * target target := 'A' | 'X' | 'L' test
 *
 * All else are numbers in base 32 whose last digit is of another alphabet, so
 * that no separator is needed. A value has one word of 32 bits, or two or four,
 * lowest first; an indexed field a position, plus 65535. */

#define NSP_OBJECT_PREFIX "@WinDiv_"

/* Words in a value of 'field'. */
uint32_t nsp_object_words(const struct nsp_field *field);

/* Tells whether 'text' is an object, right or wrong. */
bool nsp_object_is(const char *text);

/* Reads an object for 'layer'. Returns NSP_OK, NSP_INVALID_FILTER or
 * NSP_NO_MEMORY with the source's diagnosis filled. */
int nsp_object_read(const struct nsp_source *source, enum nsp_layer layer,
                    const struct nsp_allocator *allocator,
                    struct nsp_ir *ret) NSP_MUSTCHECK;

#endif /* NSP_FILTER_OBJECT_H */
