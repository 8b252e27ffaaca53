#include "netshaper/io.h"

extern const struct nsp_io_ops nsp_pcapfile_ops;
const struct nsp_io_ops nsp_pcapfile_ops = { .name = "pcapfile" };
