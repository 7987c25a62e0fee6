/* A main for compilers without libFuzzer: -DKIST_FUZZ_MAIN, runs each file given once. */
#ifndef KIST_FUZZ_MAIN_H
#define KIST_FUZZ_MAIN_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#ifdef KIST_FUZZ_MAIN
#include "core/base/fs.h"
#include "core/base/str.h"

#include <fcntl.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		KIST_STR struct kist_str text = { 0 };

		if (kist_read_file(AT_FDCWD, argv[i], 1 << 26, &text) < 0) {
			fprintf(stderr, "cannot read %s\n", argv[i]);
			return 1;
		}
		LLVMFuzzerTestOneInput((const uint8_t *)kist_str_get(&text), text.len);
	}
	return 0;
}
#endif

#endif
