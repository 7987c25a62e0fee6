/* Addresses, prefixes, MACs: text and arithmetic. */
#include "net/net.h"

#include "core/base/fs.h"
#include "core/base/str.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

static unsigned family_bits(uint32_t family)
{
	return family == AF_INET ? 32 : family == AF_INET6 ? 128 : 0;
}

int kist_net_addr_parse(const char *text, struct kist_net_addr *out)
{
	struct kist_net_addr addr = { 0 };

	if (!text)
		return -EINVAL;
	/* inet_pton takes no leading zeros, no zone and no short forms. */
	addr.family = strchr(text, ':') ? AF_INET6 : AF_INET;
	if (inet_pton((int)addr.family, text, addr.bytes) != 1)
		return -EINVAL;
	*out = addr;
	return 0;
}

int kist_net_prefix_parse(const char *text, struct kist_net_prefix *out)
{
	char address[KIST_NET_ADDR_TEXT];
	const char *slash = text ? strchr(text, '/') : NULL;
	struct kist_net_prefix prefix;

	if (!slash || (size_t)(slash - text) >= sizeof(address) || !slash[1] || (slash[1] == '0' && slash[2]))
		return -EINVAL;
	memcpy(address, text, (size_t)(slash - text));
	address[slash - text] = '\0';
	if (kist_net_addr_parse(address, &prefix.addr) < 0 || kist_parse_u32(slash + 1, &prefix.len) < 0 ||
	    prefix.len > family_bits(prefix.addr.family))
		return -EINVAL;
	*out = prefix;
	return 0;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int kist_net_mac_parse(const char *text, struct kist_net_mac *out)
{
	static const struct kist_net_mac none;
	struct kist_net_mac mac;

	if (!text || strlen(text) != 17)
		return -EINVAL;
	for (size_t i = 0; i < 6; i++, text += 3) {
		int high = hex_value(text[0]), low = hex_value(text[1]);

		if (high < 0 || low < 0 || (i < 5 && text[2] != ':' && text[2] != '-'))
			return -EINVAL;
		mac.bytes[i] = (uint8_t)(high << 4 | low);
	}
	if ((mac.bytes[0] & 1) || memcmp(&mac, &none, sizeof(mac)) == 0)
		return -EINVAL;
	*out = mac;
	return 0;
}

char *kist_net_addr_text(char out[KIST_NET_ADDR_TEXT], const struct kist_net_addr *addr)
{
	if (!family_bits(addr->family) || !inet_ntop((int)addr->family, addr->bytes, out, KIST_NET_ADDR_TEXT))
		out[0] = '\0';
	return out;
}

char *kist_net_prefix_text(char out[KIST_NET_PREFIX_TEXT], const struct kist_net_prefix *prefix)
{
	char address[KIST_NET_ADDR_TEXT];

	kist_net_addr_text(address, &prefix->addr);
	snprintf(out, KIST_NET_PREFIX_TEXT, "%s/%u", address, prefix->len % 1000);
	return out;
}

char *kist_net_mac_text(char out[KIST_NET_MAC_TEXT], const struct kist_net_mac *mac)
{
	const uint8_t *b = mac->bytes;

	snprintf(out, KIST_NET_MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5]);
	return out;
}

void kist_net_mac_random(struct kist_net_mac *out)
{
	kist_random(out->bytes, sizeof(out->bytes));
	out->bytes[0] = (uint8_t)((out->bytes[0] & 0xfc) | 2);
}

bool kist_net_addr_equal(const struct kist_net_addr *a, const struct kist_net_addr *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

int kist_net_addr_compare(const struct kist_net_addr *a, const struct kist_net_addr *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

bool kist_net_addr_is_any(const struct kist_net_addr *addr)
{
	static const uint8_t zero[16];

	return family_bits(addr->family) && memcmp(addr->bytes, zero, sizeof(zero)) == 0;
}

bool kist_net_addr_is_loopback(const struct kist_net_addr *addr)
{
	static const uint8_t one[16] = { [15] = 1 };

	if (addr->family == AF_INET)
		return addr->bytes[0] == 127;
	return addr->family == AF_INET6 && memcmp(addr->bytes, one, sizeof(one)) == 0;
}

/* The bits of byte number i that belong to the network. */
static uint8_t mask_byte(uint32_t len, size_t i)
{
	uint32_t bits = len <= i * 8 ? 0 : len >= (i + 1) * 8 ? 8 : len - (uint32_t)i * 8;

	return (uint8_t)((0xff00U >> bits) & 0xffU);
}

bool kist_net_prefix_contains(const struct kist_net_prefix *prefix, const struct kist_net_addr *addr)
{
	if (prefix->addr.family != addr->family)
		return false;
	for (size_t i = 0; i < sizeof(addr->bytes); i++) {
		if ((prefix->addr.bytes[i] ^ addr->bytes[i]) & mask_byte(prefix->len, i))
			return false;
	}
	return true;
}

bool kist_net_prefix_overlaps(const struct kist_net_prefix *a, const struct kist_net_prefix *b)
{
	return a->len <= b->len ? kist_net_prefix_contains(a, &b->addr) : kist_net_prefix_contains(b, &a->addr);
}

void kist_net_prefix_mask(struct kist_net_prefix *prefix)
{
	for (size_t i = 0; i < sizeof(prefix->addr.bytes); i++)
		prefix->addr.bytes[i] &= mask_byte(prefix->len, i);
}

void kist_net_prefix_bounds(const struct kist_net_prefix *prefix, struct kist_net_addr *first,
                            struct kist_net_addr *last)
{
	struct kist_net_prefix low = *prefix;

	kist_net_prefix_mask(&low);
	*first = low.addr;
	*last = low.addr;
	for (size_t i = 0; i < family_bits(prefix->addr.family) / 8; i++)
		last->bytes[i] |= (uint8_t)~mask_byte(prefix->len, i);
}

bool kist_net_addr_add(struct kist_net_addr *addr, uint64_t n)
{
	struct kist_net_addr sum = *addr;

	for (size_t i = family_bits(addr->family) / 8; i-- > 0 && n;) {
		uint64_t byte = sum.bytes[i] + (n & 0xff);

		sum.bytes[i] = (uint8_t)byte;
		n = (n >> 8) + (byte >> 8);
	}
	if (n)
		return false;
	*addr = sum;
	return true;
}
