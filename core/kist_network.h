/* Networks. Part of kist.h, which has the conventions. */
#ifndef KIST_NETWORKS_H
#define KIST_NETWORKS_H

#include "core/base/error.h"
#include "core/kist_config.h"

struct json_object;
struct kist;
struct kist_container;

/* The network that is always there. */
#define KIST_DEFAULT_NETWORK "kist"

struct kist_network_subnet {
	char *subnet;  /* "10.89.0.0/24" */
	char *gateway; /* NULL: the first address */
	char *range;   /* where addresses are given from, CIDR or FIRST-LAST; NULL: the whole */
};
struct kist_network_new {
	char *name;      /* NULL: networkN */
	char *driver;    /* bridge macvlan ipvlan; NULL: bridge */
	char *interface; /* the bridge's name; the parent of the others; NULL: chosen */
	struct kist_network_subnet *subnets;
	size_t n_subnets;
	char **routes; /* "DESTINATION,GATEWAY[,METRIC]" */
	bool ipv6, internal, disable_dns;
	char **dns_servers, **labels, **options; /* options: "key=value", podman-network-create(1) */
};
/* *name: the name it got; the caller frees. KIST_ERR_EXISTS names what is in the way. */
int kist_network_create(struct kist *k, const struct kist_network_new *config, char **name, struct kist_error *err);
/* The name of the network that a user means: by name, id or the unique beginning of an id. The caller frees. */
int kist_network_find(struct kist *k, const char *name_or_id, char **name, struct kist_error *err);
/* Names, sorted; the default network is one of them. The caller frees. */
int kist_network_list(struct kist *k, char ***names, struct kist_error *err);
/* podman's document. */
int kist_network_inspect(struct kist *k, const char *name_or_id, struct json_object **out, struct kist_error *err);
/* Ids of the containers that are on it, running or not; the caller frees. */
char **kist_network_users(struct kist *k, const char *name);
/* KIST_ERR_IN_USE names the containers; with KIST_REMOVE_FORCE they are removed first (timeout as for
 * kist_container_remove). */
int kist_network_remove(struct kist *k, const char *name_or_id, unsigned flags, int64_t timeout,
                        struct kist_error *err);
/* Servers that a network with names forwards to. */
int kist_network_update(struct kist *k, const char *name_or_id, char *const *dns_add, char *const *dns_drop,
                        struct kist_error *err);
/* A container that runs gets the link at once, others at their next start. */
int kist_container_connect(struct kist_container *c, const struct kist_network_config *network, struct kist_error *err);
int kist_container_disconnect(struct kist_container *c, const char *network, struct kist_error *err);
/* Makes again what a firewall or a person took away. Nothing is changed where all is right. */
int kist_container_reload_network(struct kist_container *c, struct kist_error *err);

#endif
