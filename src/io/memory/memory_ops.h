#ifndef NSP_IO_MEMORY_OPS_H
#define NSP_IO_MEMORY_OPS_H
#include "netshaper/io.h"
#include "netshaper/memory.h"

/* The memory backend has two tables, for what a device can do is a constant of
 * its table: frames that arrive when pushed, and frames that carry their time.
 * Both are called "memory". */
extern const struct nsp_io_ops nsp_memory_ops;
extern const struct nsp_io_ops nsp_memory_virtual_ops;
extern const struct nsp_io_ops nsp_memory_repeat_ops;

/* Returns the table that fits 'memory'; NULL gets the live one, whose open then
 * says what is missing. */
const struct nsp_io_ops *nsp_memory_get_ops(const struct nsp_memory *memory);

#endif /* NSP_IO_MEMORY_OPS_H */
