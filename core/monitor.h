/* Between a command and a monitor: one SOCK_SEQPACKET connection, one message a packet, the type in its first byte.
 *
 * The command that starts a container holds one end of a socketpair; later ones connect to runroot/containers/ID/attach
 * (0600, and the monitor checks SO_PEERCRED). */
#ifndef KIST_MONITOR_H
#define KIST_MONITOR_H

#include "core/base/error.h"

#include <stdint.h>

#define KIST_MSG_DATA 32768 /* most data bytes in one packet */
/* A command sends at most this much stdin ahead of KIST_MSG_TAKEN: the monitor never stops reading a connection, so
 * that a signal is not stuck behind input that the container does not want, and never keeps more than this for each. */
#define KIST_MSG_WINDOW 131072

enum kist_msg_type {
	/* command -> monitor */
	KIST_MSG_ATTACH = 'A',    /* struct kist_msg_attach */
	KIST_MSG_START = 'S',     /* opens the gate of a container that waits at it; NOTIFY_SOCKET; a ready fd */
	KIST_MSG_LEAVE = 'L',     /* the command goes, the container stays as it is */
	KIST_MSG_STDIN = 'I',     /* data */
	KIST_MSG_EOF = 'E',       /* stdin ended */
	KIST_MSG_SIZE = 'W',      /* struct kist_msg_size */
	KIST_MSG_SIGNAL = 'K',    /* int32_t: to the container's init */
	KIST_MSG_BROKEN = 'P',    /* uint8_t stream: its reader is gone */
	KIST_MSG_HEALTH = 'H',    /* runs the health check; answered by EXITED: 0 it passed, 1 it failed */
	KIST_MSG_EXEC = 'X',      /* key=value text of struct kist_msg_exec; fds 0-2, and further ones to preserve */
	KIST_MSG_EXEC_SIZE = 'V', /* struct kist_msg_exec_size */
	KIST_MSG_ORDER = 'B',     /* to a monitor that was started ahead: text "ID FLAGS ROWS COLS"; fd: the lock */
	KIST_MSG_STOP = 'Q',    /* struct kist_msg_stop: a command stops it, and may be killed before it has done so */
	KIST_MSG_CONFIG = 'U',  /* the health check is another one: read it again; the same comes back */
	KIST_MSG_NETWORK = 'N', /* the state has other networks: read it again; the same comes back.
	                         * uint32_t: index in the container of a link to remove, or 0 */
	/* monitor -> command */
	KIST_MSG_CREATED = 'C',
	KIST_MSG_STARTED = 'G',
	KIST_MSG_FAILED = 'F',  /* struct kist_error */
	KIST_MSG_WARNING = '!', /* text: the start goes on without something that was asked for */
	KIST_MSG_STDOUT = 'O',  /* data */
	KIST_MSG_STDERR = 'R',  /* data */
	KIST_MSG_TAKEN = 'T',   /* uint32_t: bytes of stdin that went on to the container, or nowhere */
	KIST_MSG_EXITED = 'Z',  /* int32_t exit code; of an exec session on the connection that asked for it */
	KIST_MSG_RUNNING = 'Y', /* int32_t pid of an exec session; with a terminal, its master as fd */
};

struct kist_msg_attach {
	uint8_t output; /* wants stdout and stderr */
	uint8_t owner;  /* the foreground command: the container is paced by its reader without bound */
};

struct kist_msg_stop {
	int64_t moment; /* boot time: SIGKILL ends it */
	uint32_t run;   /* which one is meant */
};

struct kist_msg_size {
	uint16_t rows, cols;
};

struct kist_msg_exec_size {
	char id[64];
	uint16_t rows, cols;
};

/* What an exec session needs to know, and what its record says of it; the monitor has the rest. */
struct kist_msg_exec {
	char *session; /* its id */
	char **args, **env;
	char *user, *workdir, *detach_keys;
	bool tty, stdin_, privileged, detach;
	uint32_t rows, cols, preserve_fds;
};
extern const struct kist_table kist_msg_exec_table; /* exec.c */

/* Sends one message; MSG_NOSIGNAL. 0 or a negative errno. */
int kist_msg_send(int sock, char type, const void *data, size_t len);
/* Receives one; *type is 0 at the end of the connection. Returns the payload's length. */
ssize_t kist_msg_recv(int sock, char *type, void *data, size_t room);

/* How the monitor is told what to do: argv of the re-executed binary, in this order. */
enum {
	KIST_MONITOR_ARG_NAME,    /* "kist-monitor" */
	KIST_MONITOR_ARG_VERSION, /* of who starts it: a library that is not of the same build is refused */
	KIST_MONITOR_ARG_ROOT,
	KIST_MONITOR_ARG_RUNROOT,
	KIST_MONITOR_ARG_ID,    /* "-" with KIST_MONITOR_AHEAD */
	KIST_MONITOR_ARG_FLAGS, /* letters below, or "-" */
	KIST_MONITOR_ARG_ROWS,
	KIST_MONITOR_ARG_COLS,
	KIST_MONITOR_ARG_PRESERVE,
	KIST_MONITOR_ARG_LOG, /* log level, a number */
	KIST_MONITOR_ARGS,
};
#define KIST_MONITOR_VOLATILE 'v'
#define KIST_MONITOR_PASS     'p' /* the container gets the command's own stdio */
#define KIST_MONITOR_SILENT   'q' /* writes no events */
#define KIST_MONITOR_AHEAD    'w' /* waits for KIST_MSG_ORDER, which has the other letters */
#define KIST_MONITOR_START    's' /* open the gate at once */
#define KIST_MONITOR_ATTACH   'a' /* the starting command wants the output */
#define KIST_MONITOR_RESTART                                                                                           \
	'r' /* the container ended: wait for its next run; nobody hears, the lock is the caller's */

#define KIST_MONITOR_READY 'n' /* there is a third descriptor */

/* Fds of a fresh monitor: 0-2 as the command had them until it is ready, 3..3+preserve-1 for the container, then these.
 * One that was started ahead has no lock. The program stays open for as long as the monitor lives: the last close of
 * the read-only mount that it comes from waits for the kernel, a millisecond and more, which is nobody's to wait for
 * but a monitor's that has ended. */
#define KIST_MONITOR_FD_CONTROL(preserve) (3 + (int)(preserve))
#define KIST_MONITOR_FD_LOCK(preserve)    (4 + (int)(preserve))
#define KIST_MONITOR_FD_READY(preserve)   (5 + (int)(preserve))
#define KIST_MONITOR_FD_PROGRAM(preserve) (6 + (int)(preserve))

#endif
