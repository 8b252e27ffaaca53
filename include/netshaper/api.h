#ifndef NETSHAPER_API_H
#define NETSHAPER_API_H

/* Attributes of the public interface. Every public header includes this one
 * and otherwise the C library alone. */

#if defined(__GNUC__)
#define NSP_API       __attribute__((visibility("default")))
#define NSP_MUSTCHECK __attribute__((warn_unused_result))
#else
#define NSP_API
#define NSP_MUSTCHECK
#endif

#ifdef __cplusplus
#define NSP_BEGIN_DECLS extern "C" {
#define NSP_END_DECLS   }
#else
#define NSP_BEGIN_DECLS
#define NSP_END_DECLS
#endif

#endif /* NETSHAPER_API_H */
