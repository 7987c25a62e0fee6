/* What a mistyped word was meant to be. */
#include "cli/nearest.h"

#include <string.h>

#define LONGEST 40

/* Letters to change, add, leave out, or swap with their neighbour, that make one word of the other. */
static size_t distance(const char *a, const char *b)
{
	size_t rows[3][LONGEST + 1], n = strlen(a), m = strlen(b);

	if (n > LONGEST || m > LONGEST)
		return LONGEST;
	for (size_t j = 0; j <= m; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= n; i++) {
		size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *two = rows[(i + 1) % 3];
		row[0] = i;
		for (size_t j = 1; j <= m; j++) {
			size_t best = above[j - 1] + (a[i - 1] != b[j - 1]);
			if (above[j] + 1 < best)
				best = above[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && two[j - 2] + 1 < best)
				best = two[j - 2] + 1;
			row[j] = best;
		}
	}
	return rows[n % 3][m];
}

void kist_nearest_offer(struct kist_nearest *nearest, const char *candidate)
{
	size_t n = strlen(nearest->word), far = n < 3 ? 0 : n < 6 ? 1 : 2;
	size_t away = distance(nearest->word, candidate);

	if (away > far || (nearest->best && away >= nearest->away))
		return;
	nearest->best = candidate;
	nearest->away = away;
}
