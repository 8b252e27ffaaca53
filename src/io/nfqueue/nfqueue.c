#include "netshaper/io.h"

extern const struct nsp_io_ops nsp_nfqueue_ops;
const struct nsp_io_ops nsp_nfqueue_ops = { .name = "nfqueue" };
