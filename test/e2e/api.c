/* Calls of kist.h that no command makes, one test a word: api TEST CONTAINER. Prints the step that failed. Compiled by
 * 230-library.bats against the installed tree. */
#include <kist/kist.h>

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct kist *k;
static struct kist_container *c;
static struct kist_error err;

/* The condition must hold; what kist said is shown. */
#define MUST(condition)                                                                                                \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			fprintf(stderr, "api: line %d: %s: %s\n", __LINE__, #condition, err.text);                     \
			exit(1);                                                                                       \
		}                                                                                                      \
		kist_error_clear(&err);                                                                                \
	} while (0)

/* The call must be refused with that kind. */
#define REFUSED(kind_, call)                                                                                           \
	do {                                                                                                           \
		int result_ = (call);                                                                                  \
		if (result_ >= 0 || err.kind != (kind_)) {                                                             \
			fprintf(stderr, "api: line %d: %s: %d, %s: %s\n", __LINE__, #call, result_,                    \
			        kist_error_kind_name(err.kind), err.text);                                             \
			exit(1);                                                                                       \
		}                                                                                                      \
		kist_error_clear(&err);                                                                                \
	} while (0)

static void exec_detached(const char *script, bool tty, char id[65])
{
	char *args[] = { "sh", "-c", (char *)script, NULL };
	const struct kist_exec exec = { .args = args, .detach = true, .tty = tty };
	int code;

	MUST(kist_container_exec(c, &exec, id, &code, &err) == 0);
}

static size_t exec_count(void)
{
	struct kist_exec_session **list;
	size_t n;

	MUST(kist_exec_list(c, &list, &n, &err) == 0);
	kist_exec_list_free(list, n);
	return n;
}

static void exec_sessions(void)
{
	struct kist_exec_session *session;
	struct kist_container *found = NULL;
	char one[65], two[65], prefix[13];
	int code = 0;

	exec_detached("exit 9", false, one);
	MUST(kist_exec_wait(c, one, &code, &err) == 0 && code == 9);
	MUST(kist_exec_open(c, one, &session, &err) == 0);
	MUST(!session->running && session->exit_code == 9 && session->finished >= session->started &&
	     session->detached && strcmp(session->args[2], "exit 9") == 0);
	kist_exec_session_free(session);
	REFUSED(KIST_ERR_STOPPED, kist_exec_stop(c, one, 0, &err));
	REFUSED(KIST_ERR_STATE, kist_exec_resize(c, one, 10, 10, &err));

	exec_detached("trap 'stty size >/size; exit 4' TERM; echo >/ready; while :; do sleep 0.1; done", true, two);
	MUST(exec_count() == 2);
	snprintf(prefix, sizeof(prefix), "%.12s", two);
	MUST(kist_container_open_by_exec(k, prefix, &found, &err) == 0 &&
	     strcmp(kist_container_id(found), kist_container_id(c)) == 0);
	kist_container_free(found);
	REFUSED(KIST_ERR_NOT_FOUND, kist_container_open_by_exec(k, "0123456789ab0123", &found, &err));
	REFUSED(KIST_ERR_NOT_FOUND, kist_exec_open(c, "../../x", &session, &err));

	MUST(kist_exec_open(c, prefix, &session, &err) == 0 && session->running && session->pid > 0);
	struct json_object *document = kist_exec_inspect(session), *running, *owner;
	MUST(json_object_object_get_ex(document, "Running", &running) && json_object_get_boolean(running));
	MUST(json_object_object_get_ex(document, "ContainerID", &owner) &&
	     strcmp(json_object_get_string(owner), kist_container_id(c)) == 0);
	json_object_put(document);
	kist_exec_session_free(session);

	struct kist_path_stat st;
	for (int i = 0; i < 500 && kist_container_stat(c, "/ready", &st, NULL) < 0; i++)
		usleep(20000);
	MUST(kist_container_stat(c, "/ready", &st, &err) == 0);
	kist_path_stat_clear(&st);
	MUST(kist_exec_resize(c, two, 44, 99, &err) == 0);
	REFUSED(KIST_ERR_STATE, kist_exec_remove(c, two, false, &err));
	MUST(kist_exec_stop(c, two, 30, &err) == 0);
	MUST(kist_exec_wait(c, two, &code, &err) == 0 && code == 4);
	MUST(kist_exec_remove(c, one, false, &err) == 0 && exec_count() == 1);
	exec_detached("sleep 1000", false, one);
	MUST(kist_exec_remove(c, one, true, &err) == 0 && exec_count() == 1);
	REFUSED(KIST_ERR_NOT_FOUND, kist_exec_wait(c, one, &code, &err));
	exec_detached("sleep 1000", false, one);
}

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {
	{ "exec", exec_sessions },
};

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	MUST(kist_open(&k, NULL, &err) == 0);
	MUST(kist_container_open(k, argv[2], &c, &err) == 0);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		if (strcmp(tests[i].name, argv[1]) == 0) {
			tests[i].run();
			kist_container_free(c);
			kist_close(k);
			return 0;
		}
	return 2;
}
