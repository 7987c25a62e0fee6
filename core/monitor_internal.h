/* What the monitor's files share. */
#ifndef KIST_MONITOR_INTERNAL_H
#define KIST_MONITOR_INTERNAL_H

#include "core/internal.h"
#include "core/launch.h"
#include "core/monitor.h"

#include "core/base/str.h"

struct kist_dns;
struct kist_proxy;
struct monitor_health;
struct monitor;
struct watch;

/* One fd in the loop. */
struct watch {
	int fd;
	uint32_t events; /* what epoll is asked for */
	bool added;
	void (*ready)(struct monitor *m, struct watch *w, uint32_t events);
};

struct client {
	struct watch watch; /* first: the loop hands watches out */
	struct client *next;
	bool output;           /* wants stdout and stderr */
	unsigned health;       /* 1: waits for a check to begin, 2: for its end */
	bool owner;            /* paced without bound */
	bool gone;             /* freed after the round */
	struct kist_str queue; /* packets that did not fit: uint32_t length, then the bytes */
	uint32_t debt;         /* bytes of stdin that it has not been told of: KIST_MSG_TAKEN */
	int64_t stalled;       /* boot time when the queue began, 0: empty */
};

struct exec_session {
	struct exec_session *next;
	pid_t pid;
	struct kist_exec_session *record;
	struct client *client; /* who hears of its end; NULL: nobody */
	/* The terminal's master, held for the time after a detach: when the last holder goes the process is hung up. */
	int console;         /* -1: none */
	struct watch listen; /* reads it, and throws away, once nobody else does */
};

struct monitor_notify {
	char *address;        /* NOTIFY_SOCKET of who started it; NULL: nobody listens */
	int ready_fd;         /* gets a newline; -1 */
	struct watch proxy;   /* the container's socket */
	struct kist_str late; /* could not be sent yet */
	int64_t second;       /* boot time: since then */
	unsigned count;       /* so many messages came from the container */
	bool healthy;         /* of this run, and told */
};

enum monitor_phase { MONITOR_GATE, MONITOR_RUNNING, MONITOR_DEAD };

/* What the record says of the last run, which a start that fails leaves as it was. */
struct monitor_before {
	bool ran, exited, oom_killed;
	uint32_t run;
	int64_t started, finished;
	int exit_code;
};

struct monitor {
	void (*spare)(void); /* gives memory back that only the command line needs; may be NULL */
	struct kist *k;
	struct kist_container *c;
	struct kist_launch launch;
	struct monitor_before before;
	struct kist_log_writer *log;
	enum monitor_phase phase;
	int epoll;
	struct kist_dns *dns; /* NULL: no network of its answers names */
	struct watch dns_watch;
	struct kist_proxy *proxy; /* NULL: no port is published on ::1 */
	struct watch proxy_watch;
	struct watch signals, listener, out, err, in, console;
	struct client *clients, *control;
	bool control_left; /* the starting command went on purpose */
	bool abandoned;    /* it went without a word, and the container waits at the gate */
	bool hung;         /* nobody has the terminal open now; its next user wakes us */
	struct exec_session *execs;
	struct monitor_health *health; /* NULL: no check, or it does not run */
	struct monitor_notify notify;
	struct kist_str input; /* for the container's stdin, not yet taken */
	bool input_ends;       /* EOF follows the input */
	struct kist_exit end;  /* how it ended, once it did */
	int mounts;            /* the mount namespace of a run that is over, until the end is told; -1 */
	int64_t began;         /* the last run; boot time */
	int64_t delay;         /* between the last two runs, 0: there was one */
	bool host_stops;       /* SIGTERM came: no further run */
	bool stops_itself;     /* this run, for its health: no command tells of the stop */
	int64_t stop_by;       /* boot time: SIGKILL ends this run; 0: no stop is under way */
};

/* loop (monitor.c) */
void monitor_watch(struct monitor *m, struct watch *w, int fd, uint32_t events,
                   void (*ready)(struct monitor *, struct watch *, uint32_t));
void monitor_rewatch(struct monitor *m, struct watch *w, uint32_t events);
void monitor_unwatch(struct monitor *m, struct watch *w); /* and closes the fd */
void monitor_round(struct monitor *m, int timeout);       /* waits for one set of events, milliseconds */
/* The container's lock without standing still for it: its holder may be waiting for an answer of ours. */
int monitor_lock(struct monitor *m, struct kist_error *err);
bool monitor_owns(const struct monitor *m); /* with the lock */

/* runs (monitor.c) */
int monitor_launch(struct monitor *m, bool go, unsigned preserve, struct kist_error *err);
void monitor_child_kill(struct monitor *m);
void monitor_run_close(struct monitor *m);
/* Cleans up after the last run, or removes what removes itself. Needs the lock; gives it up. */
void monitor_run_over(struct monitor *m);
/* A stop's last moment, boot time. Of several the first one holds. Who asked for it may be gone by then. */
void monitor_stop_by(struct monitor *m, int64_t moment);

/* between runs (monitor_restart.c) */
void monitor_terminate(struct monitor *m); /* SIGTERM: the host goes down, or a command has changed the state */
/* With the lock, after an end: false when the policy wants no other run. */
bool monitor_restart_begin(struct monitor *m);
void monitor_restart_adopt(struct monitor *m); /* another monitor's container ended with it */
bool monitor_restart_await(struct monitor *m); /* until it runs again; false: it does not */

/* clients (monitor_client.c) */
struct client *monitor_client_add(struct monitor *m, int sock);
void monitor_client_send(struct monitor *m, struct client *client, char type, const void *data, size_t len);
void monitor_broadcast(struct monitor *m, char type, const void *data, size_t len); /* to those that want output */
/* A run is over that the restart policy follows up: who attached hears of it, as of podman; the owner stays for the
 * last one. */
void monitor_clients_end(struct monitor *m, int32_t code);
void monitor_clients_reap(struct monitor *m); /* frees those that are gone */
bool monitor_clients_pending(const struct monitor *m);
int monitor_clients_timeout(
        struct monitor *m); /* ms until the next stalled one is dropped, -1: none; drops those due */
void monitor_clients_credit(struct monitor *m);  /* the input was taken */
void monitor_clients_dismiss(struct monitor *m); /* at the end: those that do not wait for output */
void monitor_listen(struct monitor *m, struct kist_error *err);

/* stdio (monitor_stdio.c) */
void monitor_stdio_open(struct monitor *m);
void monitor_stdio_pace(struct monitor *m);  /* reads on or stops, as the clients keep up */
void monitor_stdio_drain(struct monitor *m); /* after the end: all that is left in the pipes */
void monitor_stdio_input(struct monitor *m, const void *data, size_t len);
void monitor_stdio_input_end(struct monitor *m);
void monitor_stdio_resize(struct monitor *m, unsigned rows, unsigned cols);
void monitor_stdio_broken(struct monitor *m, int stream); /* the owner's reader of a stream is gone */

/* exec (exec_monitor.c) */
void monitor_exec(struct monitor *m, struct client *client, const char *text, size_t len, int *fds, size_t n_fds);
struct exec_session *monitor_exec_of(struct monitor *m, const struct client *client); /* NULL: the client has none */
/* The client detached: its session goes on, with a terminal that nobody looks at. */
void monitor_exec_keep(struct monitor *m, struct client *client);
/* The client is gone: a session that was not kept loses its terminal. */
void monitor_exec_leave(struct monitor *m, struct client *client);
void monitor_exec_resize(struct monitor *m, const char id[64], unsigned rows, unsigned cols);
void monitor_exec_end_all(struct monitor *m);                    /* kills what is left of them */
bool monitor_exec_ended(struct monitor *m, pid_t pid, int code); /* false: not one of ours */

/* Starts a process in the container, with stdio and fds to preserve; the caller's child. cgroup: the container's or one
 * below it, -1: it has none. */
int monitor_exec_start(struct monitor *m, const struct kist_msg_exec *request, int cgroup, int *fds, size_t n_fds,
                       struct kist_ns_child *child, struct kist_error *err);

/* health checks (monitor_health.c) */
void monitor_health_reset(struct monitor *m);                          /* it is about to be started */
void monitor_health_begin(struct monitor *m);                          /* it was started */
void monitor_health_changed(struct monitor *m, struct client *client); /* the record has another check, or none */
void monitor_health_end(struct monitor *m);                            /* it ended */
bool monitor_health_ended(struct monitor *m, pid_t pid, int code);     /* false: not one of ours */
void monitor_health_ask(struct monitor *m, struct client *client);     /* runs the check, and tells of its end */

/* readiness (monitor_notify.c) */
void monitor_notify_to(struct monitor *m, const char *address, int fd); /* NULL, -1: as it was; fd is copied */
/* The container's own socket, where it has one: if somebody listens, or wanted (somebody may, later). */
int monitor_notify_open(struct monitor *m, bool wanted, struct kist_error *err);
void monitor_notify_started(struct monitor *m);
void monitor_notify_healthy(struct monitor *m);
void monitor_notify_close(struct monitor *m);  /* the run is over */
int monitor_notify_timeout(struct monitor *m); /* ms until something is due, -1: nothing is; does what is due */

/* names (monitor_dns.c) */
void monitor_dns_open(struct monitor *m);
/* Names are answered no more, and the ports are free for the next run. */
void monitor_network_close(struct monitor *m);
/* ::1 (monitor_proxy.c) */
int monitor_proxy_open(struct monitor *m, struct kist_error *err);
void monitor_proxy_close(struct monitor *m);
void monitor_proxy_lead(struct monitor *m); /* where the state's ports lead now */
/* A command connected or disconnected a network, and waits for our answer. */
void monitor_warn(struct monitor *m);
void monitor_network_changed(struct monitor *m, struct client *client, const void *gone);

int monitor_gate_open(struct monitor *m, struct kist_error *err);
void monitor_gate_fail(struct monitor *m); /* with the lock in a command's hands, or free */

#endif
