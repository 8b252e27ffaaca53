#ifndef NSP_CLI_EFFECT_TEXT_H
#define NSP_CLI_EFFECT_TEXT_H
#include <stddef.h>

#include "netshaper/policy.h"

/* Effects in a few words, for people: "loss 1 %, delay 40 ms +- 10 ms". */

/* Words with commas between them, cut where 'bytes' end. */
struct nsp_text_list {
    char *text;
    size_t bytes, used;
};

void nsp_text_list_add(struct nsp_text_list *list, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Adds the rate of 'link', if it has one. */
void nsp_effect_text_add_rate(struct nsp_text_list *list,
                              const struct nsp_link_rate *link);

/* Adds what 'effects' do before packets queue for a rate, and after. */
void nsp_effect_text_add_arrival(struct nsp_text_list *list,
                                 const struct nsp_effects *effects);
void nsp_effect_text_add_departure(struct nsp_text_list *list,
                                   const struct nsp_effects *effects);

#endif /* NSP_CLI_EFFECT_TEXT_H */
