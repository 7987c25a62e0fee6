/* What the files of networks share.
 *
 *   root/networks/NAME                   the record: key=value with a checksum line (the default network needs none)
 *   runroot/net/NAME/leases/ADDRESS      addresses in use (net/net.h)
 *   runroot/net/lock                     held while a network is made or removed
 *
 * What a container has is in its state, written before it is made: whoever finds its monitor dead takes it down by
 * that. */
#ifndef KIST_CORE_NETWORK_H
#define KIST_CORE_NETWORK_H

#include "core/internal.h"
#include "net/net.h"

struct kist_str;

/* --- network.c: records ---------------------------------------------------------------------------------------------
 */

/* out is initialised here; release it on success. */
int kist_network_load(struct kist *k, const char *name, struct kist_net_network *out, struct kist_error *err);
/* id and name: the object's that it happened to; network: what a container was connected to, else NULL. */
void kist_network_event(struct kist *k, const char *status, const char *id, const char *name, const char *network);
/* When all networks are gone: what only makes the next start faster goes too, unless another store has something there.
 */
void kist_network_tidy(struct kist *k);
/* The directory runroot/net/NAME. A negative errno. */
int kist_network_run_dir(struct kist *k, const char *name, bool make);

/* --- network_run.c, network_links.c: a container's links, addresses and ports ---------------------------------------
 */

/* For create: networks are there, addresses and ports make sense. Names of networks become whole. */
int kist_network_check_config(struct kist_container *c, struct kist_error *err);
/* In the command that starts a container: what the host cannot do is said before anything is made. */
int kist_network_check_host(struct kist_container *c, struct kist_error *err);
/* In the monitor, before the plan: takes addresses and ports, and writes them down. */
int kist_network_prepare(struct kist_container *c, struct kist_error *err);
/* Links, routes and published ports for the process whose network namespace is new. The monitor keeps the namespace
 * until kist_network_teardown: the kernel would begin to take it apart as the last process ends, and keep everybody
 * from changing links for 10 to 30 ms just then. */
int kist_network_attach(struct kist_container *c, pid_t pid, struct kist_error *err);
/* Everything that the state knows of goes. Best effort: what is left is found by the next call. With files_later, the
 * links of a container that is removed are silent, and left to kist_network_finish. */
void kist_network_teardown(struct kist_container *c);
void kist_network_finish(struct kist_container *c);
/* The host's ends of its links, by the state; the caller frees. */
char **kist_network_links(const struct kist_container *c);
/* Returns when they are gone. */
void kist_network_links_remove(char *const *links);
/* network_live.c: the monitor answers names and ::1 by what records say, and reads them again. gone: the index inside
 * the container of a link that it removes then, or 0. */
int kist_network_tell(struct kist_container *c, uint32_t gone, struct kist_error *err);
/* A running container's name has changed; before: kist_hosts_own under the old one. */
void kist_network_renamed(struct kist_container *c, const char *before);
/* What another handle or record of the same container knows is taken over. */
void kist_network_adopt(struct kist_container *c, const struct kist_container_state *from);

/* --- network_names.c ------------------------------------------------------------------------------------------------
 */

void kist_network_names_add(struct kist_container *c, const struct kist_network_state *place);
void kist_network_names_remove(struct kist *k, const char *network, const char *id);
/* Addresses of a name in lower case; how many. */
size_t kist_network_names_find(struct kist *k, const char *network, const char *name, struct kist_net_addr *out,
                               size_t room);
/* The name of the container that has the address; NULL, or the caller frees. */
char *kist_network_names_of(struct kist *k, const char *network, const struct kist_net_addr *addr);
/* Whether one of the networks that it is on answers names. */
bool kist_network_answers_names(const struct kist_container *c);

/* --- config.c -------------------------------------------------------------------------------------------------------
 */

void kist_container_state_forget_network(struct kist_container_state *state);
void kist_network_state_drop(struct kist_container_state *state, size_t at);
void kist_network_config_add(struct kist_container_config *config, const struct kist_network_config *network);
void kist_network_config_drop(struct kist_container_config *config, size_t at);

/* --- hosts.c, plan_files.c ------------------------------------------------------------------------------------------
 */

/* At create: what the user gave for /etc/hosts and /etc/resolv.conf. */
int kist_hosts_check(const struct kist_container_config *config, struct kist_error *err);
/* The text of /etc/hosts for a start. rootfs: -1 when it is not at hand. */
int kist_hosts_text(const struct kist_container *c, int rootfs, bool host_net, struct kist_str *text,
                    struct kist_error *err);
/* The lines of it that say where the container itself and its host are. */
void kist_hosts_own(const struct kist_container *c, struct kist_str *text);
/* The line that a container of mode container:ID has in the file of that one. The caller frees. */
char *kist_hosts_shared_line(const struct kist_container *c);
void kist_resolv_text(const struct kist_container *c, bool host_net, struct kist_str *text);
/* Lines of 'before' that are not in 'after' go from a file in the run directory of the container id, those of 'after'
 * come. The inode stays: it is mounted in containers. */
int kist_run_file_rewrite(struct kist *k, const char *id, const char *name, const char *before, const char *after,
                          struct kist_error *err);
#define KIST_NAMES_LOCK "names.lock" /* of those who change the files in a run directory */

#endif
