#ifndef NSP_OS_LINUX_LINK_WATCH_H
#define NSP_OS_LINUX_LINK_WATCH_H
#include <net/if.h>

#include "base/base.h"

/* What interfaces there are, and what becomes of them while packets are taken
 * there.
 *
 * Threads  One at a time. */
struct nsp_link_watch {
    int fd;    /* Readable when there is news; -1 when closed. */
    bool lost; /* Some did not fit, and what there is was not asked for yet. */
};

/* An interface as it is now, and whether it changed. */
struct nsp_link_news {
    uint32_t ifindex;
    bool removed; /* Then the rest is not known, ... */
    bool moved;   /* ... but that it is in another network namespace now. */
    bool filters; /* Of its traffic control changed; the rest is not told. */
    bool up;
    char name[IF_NAMESIZE]; /* Empty: not told. */
    uint16_t type;          /* ARPHRD_*. */
    bool has_master;        /* It is a part of another (bridge or bond). */
    uint32_t mtu;           /* 0: not told. */
    uint32_t xdp_prog_id;   /* Of the XDP program there; 0 without one. */
    bool tells_xdp;         /* Else 'xdp_prog_id' is not known. */
};
typedef void nsp_link_news_fn(void *context, const struct nsp_link_news *news);

/* Hands all interfaces of the calling thread's network namespace to 'tell'.
 * Returns 0 or a negative errno. */
int nsp_link_list(nsp_link_news_fn *tell, void *context) NSP_MUSTCHECK;

/* Describes interface 'name'. Returns 0, -ENODEV, or another negative errno. */
int nsp_link_find(const char *name, struct nsp_link_news *ret) NSP_MUSTCHECK;

/* Watches the calling thread's network namespace, filters of traffic control
 * included where asked to. Returns 0 or a negative errno. */
int nsp_link_watch_open(struct nsp_link_watch *watch,
                        bool filters) NSP_MUSTCHECK;
void nsp_link_watch_close(struct nsp_link_watch *watch);

/* Hands what there is to 'tell', without waiting. Where the kernel had more
 * news than room for it, 'tell' hears of all interfaces that there are, and
 * true is returned: those that it does not hear of may be gone. */
bool nsp_link_watch_read(struct nsp_link_watch *watch, nsp_link_news_fn *tell,
                         void *context);

/* Tells that interface 'ifindex' was removed, if there is none. */
void nsp_link_watch_miss(uint32_t ifindex, nsp_link_news_fn *tell,
                         void *context);

#endif /* NSP_OS_LINUX_LINK_WATCH_H */
