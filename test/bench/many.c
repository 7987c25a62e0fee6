/* many ROOT RUNROOT N [created|exited [IMAGE]]: makes N containers by the engine's interface, each with labels and an
 * environment, as a person's would have: created ones, which were never started, or ones whose state says that they
 * ended. Without IMAGE their root is a directory of the host. Nothing is synced: the store is for measuring. */
#include "core/internal.h"

#include "core/base/clock.h"
#include "core/base/str.h"

#include <stdlib.h>
#include <string.h>

static int make(struct kist *k, uint64_t i, bool exited, const struct kist_image *image, struct kist_error *err)
{
	struct kist_container_config config;
	struct kist_container *c = NULL;

	kist_container_config_init(&config);
	config.name = kist_asprintf("many-%llu", (unsigned long long)i);
	if (image) {
		config.image = kist_strdup(image->id);
		config.layers = kist_strv_copy(image->layers);
	} else {
		config.rootfs = kist_strdup("/tmp");
	}
	config.image_name = kist_strdup("localhost/busybox:latest");
	kist_strv_add(&config.command, "/bin/sh");
	kist_strv_add(&config.command, "-c");
	kist_strv_add(&config.command, "while :; do serve --port 8080; done");
	kist_strv_add(&config.env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	kist_strv_add(&config.env, "MODE=production");
	kist_strv_take(&config.labels, kist_asprintf("tier=%s", i % 2 ? "web" : "db"));
	kist_strv_add(&config.labels, "org.example.version=1.2.3");
	for (int word = 0; word < 8; word++)
		kist_strv_add(&config.create_command, "--label=something=or-other");
	config.auto_remove = true; /* no sync */
	int r = kist_container_create(k, &config, &c, err);
	if (r == 0 && exited) {
		c->state.status = KIST_EXITED;
		c->state.exited = true;
		c->state.run = 1;
		c->state.started = kist_now_wall() - 60 * KIST_NSEC_PER_SEC;
		c->state.finished = kist_now_wall();
		c->state.exit_code = (int)(i % 4);
		r = kist_container_save(c, err);
	}
	kist_container_free(c);
	kist_container_config_clear(&config);
	return r;
}

int main(int argc, char **argv)
{
	struct kist_error err = { 0 };
	struct kist_image *image = NULL;
	struct kist *k = NULL;
	uint64_t n = 0;

	if (argc < 4 || kist_parse_u64(argv[3], &n) < 0) {
		fprintf(stderr, "usage: many ROOT RUNROOT N [created|exited [IMAGE]]\n");
		return 2;
	}
	struct kist_options options = { .root = argv[1], .runroot = argv[2], .config_file = "/dev/null" };
	int r = kist_open(&k, &options, &err);
	bool exited = argc > 4 && kist_streq(argv[4], "exited");
	if (r == 0 && argc > 5)
		r = kist_image_open(k, argv[5], &image, &err);
	for (uint64_t i = 0; r == 0 && i < n; i++)
		r = make(k, i, exited, image, &err);
	kist_image_free(image);
	kist_close(k);
	if (r < 0)
		fprintf(stderr, "many: %s\n", err.text);
	return r < 0;
}
