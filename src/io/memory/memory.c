#include "netshaper/io.h"

extern const struct nsp_io_ops nsp_memory_ops;
const struct nsp_io_ops nsp_memory_ops = { .name = "memory" };
