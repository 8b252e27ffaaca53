#ifndef NETSHAPER_VERSION_H
#define NETSHAPER_VERSION_H
#include "netshaper/api.h"

NSP_BEGIN_DECLS

#define NSP_VERSION_MAJOR 0
#define NSP_VERSION_MINOR 1
#define NSP_VERSION_PATCH 0
#define NSP_VERSION_TEXT  "0.1.0"

/* Returns the version of the library that is running, e.g. "0.1.0". Static
 * storage; any thread. */
NSP_API const char *nsp_version(void);

/* Returns what the library was built with, e.g. "+nfqueue +tap +bridge
 * +pcapfile +memory". Static storage; any thread. */
NSP_API const char *nsp_features(void);

NSP_END_DECLS
#endif /* NETSHAPER_VERSION_H */
