#ifndef NSP_FLOW_FLOW_AGE_H
#define NSP_FLOW_FLOW_AGE_H
#include "flow/flow_table.h"

/* How long flows live without packets: the timeout of each state, and the walk
 * that removes what is dead, nsp_flow_table_age(). */

/* Sets the timeouts of 'table' as 'cfg', which is valid, asks. */
void nsp_flow_age_init(struct nsp_flow_table *table,
                       const struct nsp_flow_config *cfg);

#endif /* NSP_FLOW_FLOW_AGE_H */
