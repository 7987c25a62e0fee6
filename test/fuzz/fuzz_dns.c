/* DNS packets: the first byte chooses how, the rest is the packet. Every answer must be one that this parser can read,
 * be no longer than the room, and answer the question that was asked. */
#include "net/dns.h"
#include "test/fuzz/fuzz_main.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static int addresses(void *arg, const char *name, struct kist_net_addr *out, size_t room)
{
	size_t n = strlen(name) % 80;

	(void)arg;
	if (n % 7 == 6)
		return n % 2 ? KIST_DNS_NONE : KIST_DNS_FOREIGN;
	if (n > room)
		n = room;
	for (size_t i = 0; i < n; i++)
		out[i] = (struct kist_net_addr){ .family = i % 2 ? AF_INET : AF_INET6, .bytes = { 10, (uint8_t)i } };
	return (int)n;
}

static int names(void *arg, const struct kist_net_addr *addr, char (*out)[KIST_DNS_NAME], size_t room)
{
	static const char *const some[] = { "web", "a..b", "", "x.y.z", "." };
	size_t n = addr->bytes[addr->family == AF_INET ? 3 : 15] % 6u;

	(void)arg;
	if (n == 5)
		return KIST_DNS_NONE;
	for (size_t i = 0; i < n && i < room; i++)
		snprintf(out[i], KIST_DNS_NAME, "%s", some[i]);
	return (int)n;
}

static void check(const uint8_t *query, size_t len, const uint8_t *answer, ssize_t n, size_t room)
{
	struct kist_dns_question question;

	if (n < 12 || (size_t)n > room || memcmp(query, answer, 2) != 0 || !(answer[2] & 0x80))
		abort();
	/* As a query it would be well formed. */
	uint8_t *copy = malloc((size_t)n);
	memcpy(copy, answer, (size_t)n);
	copy[2] &= 0x7f;
	if ((answer[5] == 1 && kist_dns_parse(copy, (size_t)n, &question) < 0) ||
	    (answer[5] == 1 && !kist_dns_matches(query, len, answer, (size_t)n) &&
	     kist_dns_parse(query, len, &question) == 0))
		abort();
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct kist_dns_source source = { addresses, names, NULL };
	uint8_t how = size ? data[0] : 0;
	bool tcp = how & 1;
	size_t room = tcp ? KIST_DNS_MAX : 512u + (how & 0x70u) * 32u;

	if (size < 1)
		return 0;
	/* Exactly as long as they are, so that a sanitizer sees a byte too many. */
	size_t len = size - 1;
	uint8_t *query = malloc(len ? len : 1), *out = malloc(room);
	memcpy(query, data + 1, len);
	ssize_t n = kist_dns_answer(&source, query, len, tcp, how & 2, out, room);
	if (n > 0)
		check(query, len, out, n, room);
	n = kist_dns_fail(query, len, 2, out, room);
	if (n > 0)
		check(query, len, out, n, room);
	/* The packet as an answer to a query that is half of it. */
	kist_dns_matches(query, len / 2 > 12 ? len / 2 : len, query, len);
	free(query);
	free(out);
	return 0;
}
