/* DNS packets: reading a query, writing an answer. Pure: no socket, no time, no memory but the caller's. */
#include "net/dns.h"

#include "core/base/error.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

enum {
	HEADER = 12,
	TYPE_A = 1,
	TYPE_PTR = 12,
	TYPE_AAAA = 28,
	TYPE_OPT = 41,
	TYPE_ANY = 255,
	CLASS_IN = 1,
	CLASS_ANY = 255
};
enum { FORMERR = 1, NXDOMAIN = 3, NOTIMP = 4, REFUSED = 5, BADVERS = 16 };
enum { FLAG_QR = 0x80, FLAG_AA = 0x04, FLAG_TC = 0x02, FLAG_RD = 0x01 /* third byte */, FLAG_RA = 0x80 /* fourth */ };
#define OPCODE 0x78

/* How many records one answer can have; a name with more is cut, not refused. */
#define RECORDS 64

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static void put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/* --- reading --------------------------------------------------------------------------------------------------------
 */

/* A name at 'at', with or without compression. text may be NULL; else room for KIST_DNS_NAME, lower case, *plain tells
 * whether it can be told from the text alone. Returns where the name ends in the packet, or 0 for a malformed one.
 * A pointer must lead before the label sequence it stands in, so that there is no loop; RFC 1035 4.1.4 'prior
 * occurrence'. */
static size_t read_name(const uint8_t *packet, size_t len, size_t at, char *text, bool *plain)
{
	size_t end = 0, used = 0, wire = 0, limit = at;
	bool is_plain = true;

	for (;;) {
		if (at >= len)
			return 0;
		uint8_t label = packet[at];
		if ((label & 0xc0) == 0xc0) {
			if (at + 2 > len)
				return 0;
			size_t to = get16(packet + at) & 0x3fffu;
			if (!end)
				end = at + 2;
			if (to >= limit || to < HEADER)
				return 0;
			at = limit = to;
			continue;
		}
		if (label & 0xc0)
			return 0;
		wire += (size_t)label + 1;
		if (wire > 255 || at + 1 + label > len)
			return 0;
		if (!label)
			break;
		if (text && used)
			text[used++] = '.';
		for (size_t i = 0; text && i < label; i++) {
			uint8_t c = packet[at + 1 + i];

			if (c <= ' ' || c == '.' || c == '\\' || c >= 0x7f)
				is_plain = false;
			text[used++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
		}
		at += (size_t)label + 1;
	}
	if (text)
		text[is_plain ? used : 0] = '\0';
	if (plain)
		*plain = is_plain;
	return end ? end : at + 1;
}

/* Steps over a record; *type and where its fixed part begins. 0: malformed. */
static size_t read_record(const uint8_t *packet, size_t len, size_t at, uint16_t *type, size_t *fixed)
{
	at = read_name(packet, len, at, NULL, NULL);
	if (!at || at + 10 > len || at + 10 + get16(packet + at + 8) > len)
		return 0;
	*type = get16(packet + at);
	*fixed = at;
	return at + 10 + get16(packet + at + 8);
}

int kist_dns_parse(const uint8_t *packet, size_t len, struct kist_dns_question *out)
{
	struct kist_dns_question q = { .udp_size = KIST_DNS_UDP };
	size_t at, records;

	if (len < HEADER || (packet[2] & FLAG_QR))
		return -EBADMSG;
	*out = q;
	if (get16(packet + 4) != 1)
		return -EINVAL;
	at = read_name(packet, len, HEADER, q.name, &q.plain);
	if (!at || at + 4 > len)
		return -EINVAL;
	q.type = get16(packet + at);
	q.class = get16(packet + at + 2);
	q.end = at + 4;
	*out = q;
	/* A query has no other records; whatever is there is stepped over to find OPT. */
	at = q.end;
	records = (size_t)get16(packet + 6) + get16(packet + 8) + get16(packet + 10);
	for (size_t i = 0; i < records; i++) {
		uint16_t type;
		size_t fixed;

		at = read_record(packet, len, at, &type, &fixed);
		if (!at || (type == TYPE_OPT && q.edns))
			return -EINVAL;
		if (type != TYPE_OPT)
			continue;
		q.edns = true;
		q.edns_version = packet[fixed + 5];
		q.udp_size = get16(packet + fixed + 2);
		if (q.udp_size < KIST_DNS_UDP)
			q.udp_size = KIST_DNS_UDP;
	}
	*out = q;
	return 0;
}

bool kist_dns_matches(const uint8_t *query, size_t query_len, const uint8_t *answer, size_t answer_len)
{
	struct kist_dns_question q;
	char name[KIST_DNS_NAME];
	bool plain;
	size_t end;

	if (query_len < HEADER || answer_len < HEADER || !(answer[2] & FLAG_QR) || memcmp(query, answer, 2) != 0 ||
	    (answer[2] & OPCODE) != (query[2] & OPCODE) || kist_dns_parse(query, query_len, &q) < 0)
		return false;
	/* Servers that understood nothing may leave the question out. */
	if (get16(answer + 4) == 0)
		return (answer[3] & 0x0f) == FORMERR || (answer[3] & 0x0f) == NOTIMP;
	end = read_name(answer, answer_len, HEADER, name, &plain);
	if (!end || end + 4 > answer_len || get16(answer + 4) != 1)
		return false;
	return plain == q.plain && strcmp(name, q.name) == 0 && get16(answer + end) == q.type &&
	       get16(answer + end + 2) == q.class;
}

/* --- writing --------------------------------------------------------------------------------------------------------
 */

struct writer {
	uint8_t *out;
	size_t len, room; /* room leaves what OPT needs aside */
	unsigned answers;
	bool cut;
};

/* Header and question, taken over from the query as they are: resolvers compare them byte by byte. */
static void write_head(struct writer *w, const uint8_t *query, const struct kist_dns_question *q, unsigned code,
                       bool ours)
{
	memset(w->out, 0, HEADER);
	memcpy(w->out, query, 2);
	w->out[2] = (uint8_t)(FLAG_QR | (query[2] & (OPCODE | FLAG_RD)) | (ours ? FLAG_AA : 0));
	w->out[3] = (uint8_t)(FLAG_RA | (code & 0x0f));
	w->len = HEADER;
	if (q->end > HEADER && q->end <= w->room) {
		memcpy(w->out + HEADER, query + HEADER, q->end - HEADER);
		w->len = q->end;
		put16(w->out + 4, 1);
	}
}

/* A record about the question's name. TTL 0: a container that stops is gone at once. */
static void write_record(struct writer *w, unsigned type, const void *data, size_t len)
{
	uint8_t *at = w->out + w->len;

	if (w->len + 12 + len > w->room) {
		w->cut = true;
		return;
	}
	put16(at, 0xc000 | HEADER);
	put16(at + 2, type);
	put16(at + 4, CLASS_IN);
	memset(at + 6, 0, 4);
	put16(at + 10, (unsigned)len);
	memcpy(at + 12, data, len);
	w->len += 12 + len;
	w->answers++;
}

#define OPT_LEN 11

static size_t write_end(struct writer *w, const struct kist_dns_question *q, unsigned code)
{
	put16(w->out + 6, w->answers);
	if (w->cut)
		w->out[2] |= FLAG_TC;
	if (q->edns) {
		uint8_t *at = w->out + w->len;

		memset(at, 0, OPT_LEN);
		put16(at + 1, TYPE_OPT);
		put16(at + 3, KIST_DNS_UDP_LARGE);
		at[5] = (uint8_t)(code >> 4); /* the upper bits of the code */
		put16(w->out + 10, 1);
		w->len += OPT_LEN;
	}
	return w->len;
}

static ssize_t write_empty(const uint8_t *query, const struct kist_dns_question *q, unsigned code, bool ours,
                           uint8_t *out, size_t room)
{
	struct writer w = { .out = out, .room = room - (q->edns ? OPT_LEN : 0) };

	if (room < KIST_DNS_UDP)
		return -EBADMSG;
	write_head(&w, query, q, code, ours);
	return (ssize_t)write_end(&w, q, code);
}

ssize_t kist_dns_fail(const uint8_t *query, size_t len, unsigned code, uint8_t *out, size_t room)
{
	struct kist_dns_question q;

	int r = kist_dns_parse(query, len, &q);
	if (r == -EBADMSG)
		return r;
	return write_empty(query, &q, r < 0 ? FORMERR : code, false, out, room);
}

/* --- reverse names ---------------------------------------------------------------------------------------------------
 */

/* "4.3.2.1.in-addr.arpa" */
static bool reverse_v4(const char *name, size_t len, struct kist_net_addr *out)
{
	char text[16];
	unsigned part = 0;
	size_t end = len;

	/* The last label is the first byte. */
	*out = (struct kist_net_addr){ .family = AF_INET };
	while (part < 4) {
		size_t begin = end;
		unsigned value = 0;

		while (begin > 0 && name[begin - 1] != '.')
			begin--;
		if (end - begin < 1 || end - begin > 3)
			return false;
		snprintf(text, sizeof(text), "%.*s", (int)(end - begin), name + begin);
		for (const char *c = text; *c; c++) {
			if (*c < '0' || *c > '9')
				return false;
			value = value * 10 + (unsigned)(*c - '0');
		}
		if (value > 255)
			return false;
		out->bytes[part++] = (uint8_t)value;
		if (begin == 0)
			return part == 4;
		end = begin - 1;
	}
	return false;
}

/* "b.a.9.8. ... .ip6.arpa": 32 nibbles, the last first. */
static bool reverse_v6(const char *name, size_t len, struct kist_net_addr *out)
{
	if (len != 63)
		return false;
	*out = (struct kist_net_addr){ .family = AF_INET6 };
	for (size_t i = 0; i < 32; i++) {
		char c = name[62 - 2 * i];
		int value = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;

		if (value < 0 || (i < 31 && name[61 - 2 * i] != '.'))
			return false;
		out->bytes[i / 2] |= (uint8_t)(i % 2 ? value : value << 4);
	}
	return true;
}

static bool is_reverse(const char *name, struct kist_net_addr *out)
{
	static const char v4[] = ".in-addr.arpa", v6[] = ".ip6.arpa";
	size_t len = strlen(name);

	if (kist_has_suffix(name, v4))
		return reverse_v4(name, len - (sizeof(v4) - 1), out);
	return kist_has_suffix(name, v6) && reverse_v6(name, len - (sizeof(v6) - 1), out);
}

/* Text to labels; 0 when it is no name. */
static size_t encode_name(const char *text, uint8_t out[KIST_DNS_NAME])
{
	size_t len = 0;

	while (*text) {
		size_t label = strcspn(text, ".");

		if (label == 0 || label > 63 || len + label + 2 > 255)
			return 0;
		out[len] = (uint8_t)label;
		memcpy(out + len + 1, text, label);
		len += label + 1;
		text += label + (text[label] == '.');
	}
	out[len] = 0;
	return len ? len + 1 : 0;
}

/* --- answering ------------------------------------------------------------------------------------------------------
 */

static void write_addresses(struct writer *w, const struct kist_dns_question *q, unsigned turn,
                            const struct kist_net_addr *addrs, int n)
{
	/* A name that several have is told in another order each time, so that they share the work. */
	for (int i = 0; i < n; i++) {
		const struct kist_net_addr *addr = &addrs[((unsigned)i + turn) % (unsigned)n];

		if (addr->family == AF_INET && (q->type == TYPE_A || q->type == TYPE_ANY))
			write_record(w, TYPE_A, addr->bytes, 4);
		if (addr->family == AF_INET6 && (q->type == TYPE_AAAA || q->type == TYPE_ANY))
			write_record(w, TYPE_AAAA, addr->bytes, 16);
	}
}

static int answer_reverse(const struct kist_dns_source *source, const struct kist_dns_question *q, struct writer *w)
{
	char names[8][KIST_DNS_NAME];
	struct kist_net_addr addr;

	if (!source->names || !is_reverse(q->name, &addr))
		return KIST_DNS_FOREIGN;
	int n = source->names(source->arg, &addr, names, KIST_COUNT(names));
	for (int i = 0; i < n && (q->type == TYPE_PTR || q->type == TYPE_ANY); i++) {
		uint8_t encoded[KIST_DNS_NAME];
		size_t len = encode_name(names[i], encoded);

		if (len)
			write_record(w, TYPE_PTR, encoded, len);
	}
	return n;
}

static int answer_records(const struct kist_dns_source *source, const uint8_t *query, const struct kist_dns_question *q,
                          struct writer *w)
{
	struct kist_net_addr addrs[RECORDS];

	if (!q->plain || !q->name[0])
		return KIST_DNS_FOREIGN;
	if (kist_has_suffix(q->name, ".arpa"))
		return answer_reverse(source, q, w);
	int n = source->addresses(source->arg, q->name, addrs, KIST_COUNT(addrs));
	if (n > 0)
		write_addresses(w, q, get16(query), addrs, n);
	return n;
}

ssize_t kist_dns_answer(const struct kist_dns_source *source, const uint8_t *query, size_t len, bool tcp, bool forward,
                        uint8_t *out, size_t room)
{
	struct kist_dns_question q;
	struct writer w = { .out = out };

	int r = kist_dns_parse(query, len, &q);
	if (r == -EBADMSG || room < KIST_DNS_UDP)
		return -EBADMSG;
	if (!tcp && room > q.udp_size)
		room = q.udp_size;
	if (query[2] & OPCODE)
		return write_empty(query, &q, NOTIMP, false, out, room);
	if (r < 0)
		return write_empty(query, &q, FORMERR, false, out, room);
	if (q.edns && q.edns_version)
		return write_empty(query, &q, BADVERS, false, out, room);
	if (q.class != CLASS_IN && q.class != CLASS_ANY)
		return write_empty(query, &q, REFUSED, false, out, room);
	w.room = room - (q.edns ? OPT_LEN : 0);
	write_head(&w, query, &q, 0, true);
	r = answer_records(source, query, &q, &w);
	if (r == KIST_DNS_FOREIGN)
		return forward ? 0 : write_empty(query, &q, NXDOMAIN, false, out, room);
	if (r < 0)
		return write_empty(query, &q, NXDOMAIN, true, out, room);
	return (ssize_t)write_end(&w, &q, 0);
}
