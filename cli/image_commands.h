/* The rows of the commands that act on images, and what their files share. */
#ifndef KIST_IMAGE_COMMANDS_H
#define KIST_IMAGE_COMMANDS_H

#include "cli/cli.h"
#include "cli/template.h"

extern const struct kist_command kist_command_image, kist_command_image_exists, kist_command_image_inspect,
        kist_command_images, kist_command_import, kist_command_rmi, kist_command_tag, kist_command_untag;
extern const struct kist_command kist_command_image_mount, kist_command_image_unmount;

/* For the program's table. */
#define KIST_IMAGE_COMMANDS                                                                                            \
	&kist_command_image, &kist_command_image_exists, &kist_command_image_inspect, &kist_command_images,            \
	        &kist_command_image_mount, &kist_command_image_unmount, &kist_command_import, &kist_command_rmi,       \
	        &kist_command_tag, &kist_command_untag,

/* How templates see images: names of keys that are maps, and podman's other spellings. */
extern const char *const kist_image_maps[];
extern const struct kist_template_alias kist_image_aliases[];

#endif
