#ifndef NSP_IO_TAP_WATCH_H
#define NSP_IO_TAP_WATCH_H
#include "base/base.h"

/* What becomes of interfaces while packets are taken there.
 *
 * Threads  One at a time. */
struct nsp_tap_watch {
    int fd; /* Readable when there is news; -1 when closed. */
};

enum nsp_tap_news {
    NSP_TAP_REMOVED = 0,
    NSP_TAP_DOWN,
    NSP_TAP_UP, /* Or something else about one that is up. */
};
typedef void nsp_tap_news_fn(void *context, uint32_t ifindex,
                             enum nsp_tap_news news);

/* Watches the calling thread's network namespace. Returns 0 or a negative
 * errno. */
int nsp_tap_watch_open(struct nsp_tap_watch *watch) NSP_MUSTCHECK;
void nsp_tap_watch_close(struct nsp_tap_watch *watch);

/* Hands what there is to 'tell', without waiting. */
void nsp_tap_watch_read(struct nsp_tap_watch *watch, nsp_tap_news_fn *tell,
                        void *context);

#endif /* NSP_IO_TAP_WATCH_H */
