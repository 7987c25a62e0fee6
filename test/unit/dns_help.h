/* DNS packets, and a network of names, for the tests of the resolver. */
#ifndef DNS_HELP_H
#define DNS_HELP_H

#include "net/dns.h"
#include "test/unit/net_help.h"

enum { A = 1, NS = 2, PTR = 12, TXT = 16, AAAA = 28, SRV = 33, ANY = 255 };
enum { NOERROR = 0, FORMERR = 1, SERVFAIL = 2, NXDOMAIN = 3, NOTIMP = 4, REFUSED = 5 };

/* --- a network of names
 * -------------------------------------------------------------------------------------------------
 */

static KIST_UNUSED int addresses(void *arg, const char *name, struct kist_net_addr *out, size_t room)
{
	(void)arg;
	if (strcmp(name, "web") == 0) {
		out[0] = net_addr("10.88.0.2");
		out[1] = net_addr("fd12::2");
		return 2;
	}
	if (strcmp(name, "v4") == 0) {
		out[0] = net_addr("10.88.0.3");
		return 1;
	}
	if (strcmp(name, "crowd") == 0) {
		for (size_t i = 0; i < room; i++) {
			out[i] = net_addr("10.88.1.0");
			out[i].bytes[3] = (uint8_t)i;
		}
		return (int)room;
	}
	if (strcmp(name, "stopped") == 0)
		return KIST_DNS_NONE;
	return KIST_DNS_FOREIGN;
}

static KIST_UNUSED int names(void *arg, const struct kist_net_addr *addr, char (*out)[KIST_DNS_NAME], size_t room)
{
	struct kist_net_addr v4 = net_addr("10.88.0.2"), v6 = net_addr("fd12::2");

	(void)arg;
	(void)room;
	if (!kist_net_addr_equal(addr, &v4) && !kist_net_addr_equal(addr, &v6))
		return addr->bytes[0] == 10 ? KIST_DNS_NONE : KIST_DNS_FOREIGN;
	snprintf(out[0], KIST_DNS_NAME, "web");
	snprintf(out[1], KIST_DNS_NAME, "web.kist");
	return 2;
}

static const struct kist_dns_source source = { addresses, names, NULL };

/* --- packets
 * ------------------------------------------------------------------------------------------------------------
 */

struct packet {
	uint8_t data[4096];
	size_t len;
};

static KIST_UNUSED void put(struct packet *p, const void *data, size_t len)
{
	memcpy(p->data + p->len, data, len);
	p->len += len;
}

static KIST_UNUSED void put16(struct packet *p, unsigned value)
{
	uint8_t bytes[2] = { (uint8_t)(value >> 8), (uint8_t)value };

	put(p, bytes, 2);
}

static KIST_UNUSED unsigned get16(const uint8_t *at)
{
	return (unsigned)(at[0] << 8 | at[1]);
}

static KIST_UNUSED void put_name(struct packet *p, const char *name)
{
	while (*name) {
		size_t len = strcspn(name, ".");

		p->data[p->len++] = (uint8_t)len;
		put(p, name, len);
		name += len + (name[len] == '.');
	}
	p->data[p->len++] = 0;
}

static KIST_UNUSED struct packet query(const char *name, unsigned type)
{
	struct packet p = { .len = 0 };

	put16(&p, 0x1234);
	put16(&p, 0x0100); /* RD */
	put16(&p, 1);
	put16(&p, 0);
	put16(&p, 0);
	put16(&p, 0);
	put_name(&p, name);
	put16(&p, type);
	put16(&p, 1);
	return p;
}

static KIST_UNUSED void put_opt(struct packet *p, unsigned size, unsigned version)
{
	static const uint8_t end[4];

	p->data[11]++;
	p->data[p->len++] = 0;
	put16(p, 41);
	put16(p, size);
	put16(p, version);
	put(p, end, 4);
}

static KIST_UNUSED unsigned answers(const struct packet *p)
{
	return get16(p->data + 6);
}

static KIST_UNUSED unsigned code(const struct packet *p)
{
	return p->data[3] & 15u;
}

static KIST_UNUSED bool is_cut(const struct packet *p)
{
	return p->data[2] & 2;
}

static KIST_UNUSED struct packet ask_full(const struct packet *q, bool tcp, bool forward, ssize_t *result)
{
	static uint8_t large[KIST_DNS_MAX];
	struct packet p = { .len = 0 };

	*result = kist_dns_answer(&source, q->data, q->len, tcp, forward, tcp ? large : p.data,
	                          tcp ? KIST_DNS_MAX : sizeof(p.data));
	if (*result > 0) {
		assert_true((size_t)*result <= sizeof(p.data));
		p.len = (size_t)*result;
		if (tcp)
			memcpy(p.data, large, p.len);
		assert_memory_equal(p.data, q->data, 2);
		assert_true(p.data[2] & 0x80);
	}
	return p;
}

static KIST_UNUSED struct packet ask(const char *name, unsigned type)
{
	struct packet q = query(name, type), p;
	ssize_t r;

	p = ask_full(&q, false, false, &r);
	assert_true(r > 12);
	/* The question is as it was asked. */
	assert_memory_equal(p.data + 12, q.data + 12, q.len - 12);
	assert_int_equal(get16(p.data + 4), 1);
	return p;
}

/* The data of answer number n; all names in answers are pointers. */
static const uint8_t *answer_data(const struct packet *p, unsigned n, unsigned *type, size_t *len)
{
	size_t at = 12;

	while (p->data[at])
		at += p->data[at] + 1u;
	at += 5;
	for (;; n--) {
		assert_true(at + 12 <= p->len);
		assert_int_equal(get16(p->data + at), 0xc00c);
		*type = get16(p->data + at + 2);
		*len = get16(p->data + at + 10);
		if (n == 0)
			return p->data + at + 12;
		at += 12 + *len;
	}
}

static KIST_UNUSED void expect_address(const struct packet *p, unsigned n, const char *text)
{
	struct kist_net_addr addr = net_addr(text);
	unsigned type;
	size_t len;
	const uint8_t *data = answer_data(p, n, &type, &len);

	assert_int_equal(type, addr.family == AF_INET ? A : AAAA);
	assert_int_equal(len, addr.family == AF_INET ? 4 : 16);
	assert_memory_equal(data, addr.bytes, len);
}

#endif
