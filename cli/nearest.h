/* What a mistyped word was meant to be: word set, the rest zero; then each candidate is offered, and best is the one
 * that is like it, or NULL. */
#ifndef KIST_NEAREST_H
#define KIST_NEAREST_H

#include <stddef.h>

struct kist_nearest {
	const char *word;
	const char *best;
	size_t away;
};
void kist_nearest_offer(struct kist_nearest *nearest, const char *candidate);

#endif
