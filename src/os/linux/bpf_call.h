#ifndef NSP_OS_LINUX_BPF_CALL_H
#define NSP_OS_LINUX_BPF_CALL_H
#include <linux/bpf.h>

#include "base/base.h"
#include "netshaper/bpf.h"

/* The bpf() system call, as far as devices need it: without libbpf, whose
 * Debian 12 version knows no tcx links, and with what the kernel headers there
 * lack.
 *
 * Ownership  Functions that return a descriptor give it to the caller,
 *            close-on-exec. What it stands for goes with its last holder.
 * Errors     A negative errno: -EPERM without CAP_BPF and CAP_NET_ADMIN,
 *            -ENOSYS without CONFIG_BPF_SYSCALL. */

/* Linux 6.6: ingress and egress of an interface, ahead of clsact. */
#define NSP_BPF_TCX_INGRESS 46u
#define NSP_BPF_TCX_EGRESS  47u

#define NSP_BPF_NAME_BYTES ((uint32_t)BPF_OBJ_NAME_LEN)

/* Makes an array of 'entries' values. 'mapped' ones can be shared with
 * nsp_bpf_map_share(). */
int nsp_bpf_array_create(const char *name, uint32_t value_bytes,
                         uint32_t entries, bool mapped) NSP_MUSTCHECK;

/* The same with values for each processor, made of 64-bit words. */
int nsp_bpf_percpu_array_create(const char *name, uint32_t value_bytes,
                                uint32_t entries) NSP_MUSTCHECK;

/* Hands each processor's value 'index' to 'take'; each word is exact, together
 * they are not one instant. Returns 0, or a negative errno with none handed
 * out. */
typedef void nsp_bpf_value_fn(void *context, const void *value);
int nsp_bpf_percpu_array_read(int map_fd, uint32_t index, uint32_t value_bytes,
                              nsp_bpf_value_fn *take,
                              void *context) NSP_MUSTCHECK;

/* Makes a hash map that has 'entries' values at most, and then forgets those
 * that were not asked for longest; and sets one of a map's values. */
int nsp_bpf_lru_create(const char *name, uint32_t key_bytes,
                       uint32_t value_bytes, uint32_t entries) NSP_MUSTCHECK;
int nsp_bpf_map_set(int map_fd, const void *key,
                    const void *value) NSP_MUSTCHECK;

/* Makes the map that a program of a filter looks addresses up in. */
int nsp_bpf_prefixes_create(const char *name,
                            const struct nsp_ebpf_map *map) NSP_MUSTCHECK;

/* Returns when every program that ran at the time of the call has ended. */
int nsp_bpf_wait_for_programs(void) NSP_MUSTCHECK;

int nsp_bpf_array_set(int map_fd, uint32_t index,
                      const void *value) NSP_MUSTCHECK;

/* Maps the first 'bytes' of an array's values, readable and writable: what is
 * stored there, programs see at once. Returns 0 or a negative errno. */
int nsp_bpf_array_share(int map_fd, size_t bytes, void **ret) NSP_MUSTCHECK;
void nsp_bpf_array_unshare(void *shared, size_t bytes);

/* Makes an array of AF_XDP sockets, to be set by their descriptors; a place is
 * empty again when its socket is closed. */
int nsp_bpf_xskmap_create(const char *name, uint32_t entries) NSP_MUSTCHECK;

/* Loads a program of the tcx and clsact hooks. 'log' may be NULL, else gets the
 * verifier's words on failure. */
int nsp_bpf_tc_load(const char *name, const struct nsp_ebpf_insn insns[],
                    uint32_t count, char *log,
                    uint32_t log_bytes) NSP_MUSTCHECK;

/* The same for the XDP hook; 'pieces': it takes frames that do not lie in one,
 * of which it sees the first (Linux 5.18). */
int nsp_bpf_xdp_load(const char *name, const struct nsp_ebpf_insn insns[],
                     uint32_t count, bool pieces, char *log,
                     uint32_t log_bytes) NSP_MUSTCHECK;

/* The same for netfilter's match 'bpf', which takes programs of sockets. */
int nsp_bpf_match_load(const char *name, const struct nsp_ebpf_insn insns[],
                       uint32_t count) NSP_MUSTCHECK;

/* Stores the number by which the kernel knows a program. */
int nsp_bpf_program_id(int program_fd, uint32_t *ret) NSP_MUSTCHECK;

/* Tells whether program 'id' has a name that begins with 'prefix'. */
bool nsp_bpf_program_is(uint32_t id, const char *prefix);

/* Copies the first value of the array of 'name', with values of 'value_bytes',
 * that program 'id' uses. Returns 0 or a negative errno: -ENOENT where it uses
 * none. */
int nsp_bpf_program_read_map(uint32_t id, const char *name,
                             uint32_t value_bytes, void *ret) NSP_MUSTCHECK;

/* Attaches a program to an interface by a tcx link, behind those that are there
 * already. Detached by closing the link, or the interface's removal. */
int nsp_bpf_tcx_attach(int program_fd, uint32_t ifindex,
                       uint32_t attach_type) NSP_MUSTCHECK;

/* Puts another program in the place of a link's. */
int nsp_bpf_link_update(int link_fd, int program_fd) NSP_MUSTCHECK;

/* Tells whether a program whose name begins with 'prefix' is attached to an
 * interface by tcx. Returns 1, 0 or a negative errno. */
int nsp_bpf_tcx_find(uint32_t ifindex, uint32_t attach_type,
                     const char *prefix) NSP_MUSTCHECK;

#endif /* NSP_OS_LINUX_BPF_CALL_H */
