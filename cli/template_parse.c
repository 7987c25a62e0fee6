#include "cli/template_internal.h"

#include "core/base/error.h"
#include "core/base/str.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

/* One pass over the text, no token list: the grammar is small and position-dependent (blanks part operands, a field
 * must touch what it belongs to). */
struct parser {
	struct kist_template *t;
	const char *text;
	size_t len;
	size_t at;
	size_t depth; /* of blocks and parentheses together */
	size_t loops; /* enclosing ranges */
	bool unescape;
	bool trim_left; /* the last action ended in -}} */
	const char **variables;
	size_t n_variables;
	struct kist_error *err;
};

/* What ended a list of nodes. */
enum ending { END_TEXT, END_END, END_ELSE, END_ELSE_IF };

static int parse_list(struct parser *p, struct template_node **list, enum ending *ending, size_t *where);
static int parse_pipe(struct parser *p, struct template_pipe **out, bool in_parentheses, bool range);

static void *arena(struct kist_template *t, size_t size)
{
	struct template_block *block = kist_alloc(sizeof(*block) + size);

	block->next = t->blocks;
	t->blocks = block;
	return block->data;
}

static const char *arena_text(struct kist_template *t, const char *text, size_t len)
{
	char *copy = arena(t, len + 1);

	memcpy(copy, text, len);
	return copy;
}

void template_position(const struct kist_template *t, size_t offset, unsigned *line, unsigned *column)
{
	*line = 1;
	*column = 1;
	for (size_t i = 0; i < offset && t->text[i]; i++) {
		*column += 1;
		if (t->text[i] == '\n') {
			*line += 1;
			*column = 1;
		}
	}
}

static int fail_at(struct parser *p, size_t position, const char *fmt, ...) KIST_PRINTF(3, 4);
static int fail_at(struct parser *p, size_t position, const char *fmt, ...)
{
	unsigned line, column;
	va_list ap;

	template_position(p->t, position, &line, &column);
	va_start(ap, fmt);
	kist_vfail(p->err, KIST_ERR_INVALID, EINVAL, fmt, ap);
	va_end(ap);
	return kist_context(p->err, "template: %s:%u:%u", p->t->name, line, column);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static char peek(const struct parser *p, size_t ahead)
{
	return p->at + ahead < p->len ? p->text[p->at + ahead] : 0;
}

static bool skip_blanks(struct parser *p)
{
	size_t from = p->at;

	while (p->at < p->len && is_blank(p->text[p->at]))
		p->at++;
	return p->at > from;
}

/* "}}" here, or a blank followed by "-}}". Consumes nothing. */
static bool at_close(const struct parser *p)
{
	if (peek(p, 0) == '}' && peek(p, 1) == '}')
		return true;
	return peek(p, 0) == '-' && peek(p, 1) == '}' && peek(p, 2) == '}' && p->at > 0 && is_blank(p->text[p->at - 1]);
}

/* The end of an action; blanks in front of it are taken too. */
static int take_close(struct parser *p, size_t opened)
{
	skip_blanks(p);
	if (p->at >= p->len)
		return fail_at(p, opened, "this action is not closed: '}}' is missing");
	if (!at_close(p))
		return fail_at(p, p->at, "unexpected '%.*s'; expected '}}'",
		               p->len - p->at < 12 ? (int)(p->len - p->at) : 12, p->text + p->at);
	p->trim_left = peek(p, 0) == '-';
	p->at += p->trim_left ? 3 : 2;
	return 0;
}

static size_t word_length(const struct parser *p)
{
	size_t n = 0;

	if (!is_letter(peek(p, 0)))
		return 0;
	while (is_letter(peek(p, n)) || is_digit(peek(p, n)))
		n++;
	return n;
}

static bool at_word(const struct parser *p, const char *word)
{
	size_t n = word_length(p);

	return n == strlen(word) && memcmp(p->text + p->at, word, n) == 0;
}

/* --- literals ------------------------------------------------------------------------------------------------- */

static void set_literal(struct parser *p, struct template_operand *o, struct json_object *literal)
{
	struct kist_template *t = p->t;

	t->literals = kist_grow(t->literals, t->n_literals + 1, sizeof(*t->literals));
	t->literals[t->n_literals++] = literal;
	o->kind = OPERAND_LITERAL;
	o->literal = literal;
}

static void add_utf8(struct kist_str *s, uint32_t c)
{
	if (c < 0x80) {
		kist_str_addc(s, (char)c);
	} else if (c < 0x800) {
		kist_str_addc(s, (char)(0xc0 | c >> 6));
		kist_str_addc(s, (char)(0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		kist_str_addc(s, (char)(0xe0 | c >> 12));
		kist_str_addc(s, (char)(0x80 | (c >> 6 & 0x3f)));
		kist_str_addc(s, (char)(0x80 | (c & 0x3f)));
	} else {
		kist_str_addc(s, (char)(0xf0 | c >> 18));
		kist_str_addc(s, (char)(0x80 | (c >> 12 & 0x3f)));
		kist_str_addc(s, (char)(0x80 | (c >> 6 & 0x3f)));
		kist_str_addc(s, (char)(0x80 | (c & 0x3f)));
	}
}

static int digit_value(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 99;
}

/* Go's escapes. p->at is behind the backslash. *byte: \x and \000 make one byte, the others a code point. */
static int parse_escape(struct parser *p, char quote, uint32_t *out, bool *byte)
{
	static const char from[] = "abfnrtv\\";
	static const char to[] = "\a\b\f\n\r\t\v\\";
	size_t start = p->at - 1;
	char c = peek(p, 0);
	const char *simple = c ? strchr(from, c) : NULL;
	int base = 16, digits = 0;
	uint32_t value = 0;

	*byte = c == 'x' || (c >= '0' && c <= '7');
	if (simple || (c && c == quote)) {
		*out = (unsigned char)(simple ? to[simple - from] : c);
		p->at++;
		return 0;
	}
	if (c >= '0' && c <= '7') {
		base = 8;
		digits = 3;
	} else if (c == 'x' || c == 'u' || c == 'U') {
		digits = c == 'x' ? 2 : c == 'u' ? 4 : 8;
		p->at++;
	}
	for (int i = 0; i < digits; i++, p->at++) {
		int d = digit_value(peek(p, 0));

		if (d >= base)
			return fail_at(p, start, "bad escape in a quoted text");
		value = value * (uint32_t)base + (uint32_t)d;
	}
	if (!digits || (*byte ? value > 255 : value > 0x10ffff || (value >= 0xd800 && value < 0xe000)))
		return fail_at(p, start, "bad escape in a quoted text");
	*out = value;
	return 0;
}

static int parse_quoted(struct parser *p, struct template_operand *o)
{
	KIST_STR struct kist_str s = { 0 };
	size_t start = p->at++;

	for (;;) {
		char c = peek(p, 0);
		uint32_t escaped;
		bool byte;
		int r;

		if (p->at >= p->len || c == '\n')
			return fail_at(p, start, "this quoted text is not closed");
		p->at++;
		if (c == '"')
			break;
		if (c != '\\') {
			kist_str_addc(&s, c);
			continue;
		}
		r = parse_escape(p, '"', &escaped, &byte);
		if (r < 0)
			return r;
		if (byte)
			kist_str_addc(&s, (char)escaped);
		else
			add_utf8(&s, escaped);
	}
	set_literal(p, o, json_object_new_string_len(kist_str_get(&s), (int)s.len));
	return 0;
}

static int parse_raw(struct parser *p, struct template_operand *o)
{
	const char *from = p->text + p->at + 1;
	const char *to = memchr(from, '`', p->len - p->at - 1);

	if (!to)
		return fail_at(p, p->at, "this raw text is not closed");
	set_literal(p, o, json_object_new_string_len(from, (int)(to - from)));
	p->at = (size_t)(to - p->text) + 1;
	return 0;
}

static int parse_character(struct parser *p, struct template_operand *o)
{
	size_t start = p->at++;
	uint32_t value = (unsigned char)peek(p, 0);
	bool byte = false;
	int r;

	if (p->at >= p->len || value == '\n' || value == '\'')
		return fail_at(p, start, "bad character constant");
	p->at++;
	if (value == '\\') {
		r = parse_escape(p, '\'', &value, &byte);
		if (r < 0)
			return r;
	} else if (value >= 0x80) {
		size_t more = value >= 0xf0 ? 3 : value >= 0xe0 ? 2 : 1;

		value &= 0x3fU >> more;
		for (; more > 0 && ((unsigned char)peek(p, 0) & 0xc0) == 0x80; more--, p->at++)
			value = value << 6 | ((unsigned char)peek(p, 0) & 0x3f);
		if (more > 0)
			return fail_at(p, start, "bad character constant");
	}
	if (peek(p, 0) != '\'')
		return fail_at(p, start, "bad character constant");
	p->at++;
	set_literal(p, o, json_object_new_int64(value));
	return 0;
}

/* text: a number with its sign, without underscores. Go's bases: 0x 0o 0b, and a leading 0 for octal. */
static struct json_object *number_literal(const char *text)
{
	bool negative = *text == '-';
	const char *digits = text + (negative || *text == '+');
	int base = 10;
	unsigned long long value;
	char *end;

	if (digits[0] == '0' && digits[1]) {
		char kind = (char)(digits[1] | 0x20);

		base = kind == 'x' ? 16 : kind == 'b' ? 2 : 8;
		if (kind == 'x' || kind == 'b' || kind == 'o')
			digits += 2;
	}
	if (digit_value(*digits) < base) {
		errno = 0;
		value = strtoull(digits, &end, base);
		if (!*end && errno == 0) {
			if (negative)
				return value <= (unsigned long long)INT64_MAX + 1
				               ? json_object_new_int64((int64_t)(0 - value))
				               : NULL;
			return value <= INT64_MAX ? json_object_new_int64((int64_t)value)
			                          : json_object_new_uint64(value);
		}
		if (!*end)
			return NULL;
	}
	if ((base != 10 && base != 8) || !strpbrk(text, ".eE"))
		return NULL;
	for (const char *c = text; *c; c++)
		if (!strchr("0123456789.eE+-", *c))
			return NULL;
	errno = 0;
	double real = strtod(text, &end);
	return *end || end == text || errno == ERANGE ? NULL : json_object_new_double(real);
}

static int parse_number(struct parser *p, struct template_operand *o)
{
	KIST_STR struct kist_str digits = { 0 };
	size_t start = p->at;
	struct json_object *literal;

	for (;; p->at++) {
		char c = peek(p, 0);
		bool exponent = p->at > start && (p->text[p->at - 1] | 0x20) == 'e' &&
		                !(digits.len > 1 && (digits.data[1] | 0x20) == 'x');

		if ((c == '+' || c == '-') && (p->at == start || exponent))
			kist_str_addc(&digits, c);
		else if (c == '_' && p->at > start)
			continue;
		else if (c && (is_digit(c) || is_letter(c) || c == '.'))
			kist_str_addc(&digits, c);
		else
			break;
	}
	literal = number_literal(kist_str_get(&digits));
	if (!literal)
		return fail_at(p, start, "bad number '%.*s'", (int)(p->at - start), p->text + start);
	set_literal(p, o, literal);
	return 0;
}

/* --- operands, commands, pipelines ---------------------------------------------------------------------------- */

static bool has_variable(const struct parser *p, const char *name)
{
	for (size_t i = p->n_variables; i > 0; i--)
		if (kist_streq(p->variables[i - 1], name))
			return true;
	return false;
}

static void add_variable(struct parser *p, const char *name)
{
	p->variables = kist_grow(p->variables, p->n_variables + 1, sizeof(*p->variables));
	p->variables[p->n_variables++] = name;
}

/* $ or $name at p->at. */
static const char *take_variable_name(struct parser *p)
{
	size_t n = 1;

	while (is_letter(peek(p, n)) || is_digit(peek(p, n)))
		n++;
	p->at += n;
	return arena_text(p->t, p->text + p->at - n, n);
}

/* What may follow an operand. */
static bool at_boundary(const struct parser *p)
{
	char c = peek(p, 0);

	return p->at >= p->len || is_blank(c) || c == '|' || c == ')' || c == '(' || c == ',' || c == '=' || c == ':' ||
	       at_close(p);
}

static void add_field(struct parser *p, struct template_operand *o, size_t n)
{
	const char **chain = arena(p->t, (o->n_chain + 1) * sizeof(*chain));

	if (o->n_chain)
		memcpy(chain, o->chain, o->n_chain * sizeof(*chain));
	chain[o->n_chain++] = arena_text(p->t, p->text + p->at, n);
	o->chain = chain;
	p->at += n;
}

/* .A.B behind an operand, or as one. */
static int parse_chain(struct parser *p, struct template_operand *o)
{
	while (peek(p, 0) == '.') {
		size_t n;

		p->at++;
		n = word_length(p);
		if (n == 0 && o->kind == OPERAND_DOT && o->n_chain == 0)
			break;
		if (n == 0)
			return fail_at(p, p->at, "a field name must follow the '.'");
		if (o->n_chain >= TEMPLATE_MAX_DEPTH)
			return fail_at(p, p->at, "too many fields in a row");
		add_field(p, o, n);
	}
	if (!at_boundary(p))
		return fail_at(p, p->at, "unexpected '%.8s'", p->text + p->at);
	return 0;
}

static int parse_word(struct parser *p, struct template_operand *o)
{
	static const char *const keywords[] = { "if",    "else",     "end",    "range", "with",
		                                "break", "continue", "define", "block", "template" };
	size_t n = word_length(p);
	bool yes = at_word(p, "true");

	if (yes || at_word(p, "false")) {
		set_literal(p, o, json_object_new_boolean(yes));
	} else if (at_word(p, "nil")) {
		o->kind = OPERAND_NIL;
	} else {
		for (size_t i = 0; i < KIST_COUNT(keywords); i++)
			if (at_word(p, keywords[i]))
				return fail_at(p, p->at, "'%s' cannot stand here", keywords[i]);
		o->kind = OPERAND_FUNCTION;
		o->function = template_function_find(p->text + p->at, n);
		if (!o->function)
			return fail_at(p, p->at, "there is no function '%.*s'", (int)n, p->text + p->at);
	}
	p->at += n;
	return 0;
}

static int parse_parentheses(struct parser *p, struct template_operand *o)
{
	size_t opened = p->at++;
	int r;

	if (++p->depth > TEMPLATE_MAX_DEPTH)
		return fail_at(p, opened, "nested too deeply");
	o->kind = OPERAND_PIPE;
	r = parse_pipe(p, &o->pipe, true, false);
	if (r < 0)
		return r;
	skip_blanks(p);
	if (peek(p, 0) != ')')
		return fail_at(p, opened, "this '(' is not closed");
	p->at++;
	p->depth--;
	return 0;
}

static int parse_operand(struct parser *p, struct template_operand *o)
{
	char c = peek(p, 0);
	int r = 0;

	*o = (struct template_operand){ .kind = OPERAND_DOT, .position = p->at };
	if (c == '"')
		r = parse_quoted(p, o);
	else if (c == '`')
		r = parse_raw(p, o);
	else if (c == '\'')
		r = parse_character(p, o);
	else if (is_digit(c) || ((c == '-' || c == '+') && (is_digit(peek(p, 1)) || peek(p, 1) == '.')) ||
	         (c == '.' && is_digit(peek(p, 1))))
		r = parse_number(p, o);
	else if (c == '(')
		r = parse_parentheses(p, o);
	else if (is_letter(c))
		r = parse_word(p, o);
	else if (c == '$') {
		o->kind = OPERAND_VARIABLE;
		o->name = take_variable_name(p);
		if (!has_variable(p, o->name))
			return fail_at(p, o->position, "undefined variable '%s'", o->name);
	} else if (c != '.')
		return fail_at(p, p->at, "unexpected '%.*s'", p->len - p->at < 8 ? (int)(p->len - p->at) : 8,
		               p->text + p->at);
	if (r < 0)
		return r;
	if (o->kind == OPERAND_LITERAL || o->kind == OPERAND_NIL || o->kind == OPERAND_FUNCTION) {
		if (!at_boundary(p))
			return fail_at(p, p->at, "unexpected '%.8s'", p->text + p->at);
		return 0;
	}
	return parse_chain(p, o);
}

/* The rules that Go checks when it parses or first runs a command. */
static int check_command(struct parser *p, const struct template_command *c, bool first)
{
	const struct template_operand *head = &c->operands[0];
	size_t args = c->n - 1 + (first ? 0 : 1);

	if (head->kind == OPERAND_NIL)
		return fail_at(p, head->position, "nil is not a command");
	if (head->kind == OPERAND_LITERAL && args > 0)
		return fail_at(p, head->position, "a constant takes no arguments");
	if ((head->kind == OPERAND_VARIABLE || head->kind == OPERAND_PIPE || head->kind == OPERAND_DOT) && args > 0 &&
	    head->n_chain == 0)
		return fail_at(p, head->position, "this is not a function and takes no arguments");
	if (head->kind == OPERAND_FUNCTION &&
	    (args < (size_t)head->function->min_args ||
	     (head->function->max_args >= 0 && args > (size_t)head->function->max_args)))
		return fail_at(p, head->position, "wrong number of arguments for %s: %zu", head->function->name, args);
	for (size_t i = 1; i < c->n; i++) {
		const struct template_operand *o = &c->operands[i];

		if (o->kind == OPERAND_FUNCTION && o->function->min_args > 0)
			return fail_at(p, o->position, "wrong number of arguments for %s: 0 (parentheses are missing?)",
			               o->function->name);
	}
	return 0;
}

static int parse_command(struct parser *p, struct template_command *c, bool first)
{
	struct template_operand *operands = NULL;
	size_t capacity = 0;
	int r = 0;

	for (;;) {
		bool blank = skip_blanks(p);
		char ch = peek(p, 0);

		if (p->at >= p->len || at_close(p) || ch == '|' || ch == ')')
			break;
		if (c->n > 0 && !blank) {
			r = fail_at(p, p->at, "unexpected '%.8s'", p->text + p->at);
			break;
		}
		if (c->n == capacity) {
			capacity = capacity ? capacity * 2 : 4;
			operands = kist_grow(operands, capacity, sizeof(*operands));
		}
		r = parse_operand(p, &operands[c->n]);
		if (r < 0)
			break;
		c->n++;
	}
	if (r == 0 && c->n == 0)
		r = fail_at(p, p->at, "a value is missing");
	if (r == 0) {
		c->operands = arena(p->t, c->n * sizeof(*operands));
		memcpy(c->operands, operands, c->n * sizeof(*operands));
		r = check_command(p, c, first);
	}
	free(operands);
	return r;
}

/* "$x :=", "$x =", "$i, $e :=". Nothing is consumed when there is no such thing. */
static int parse_declaration(struct parser *p, struct template_pipe *pipe, bool in_parentheses, bool range)
{
	size_t start = p->at;
	const char *names[2];
	size_t n = 0;
	bool declares;

	if (peek(p, 0) != '$')
		return 0;
	names[n++] = take_variable_name(p);
	skip_blanks(p);
	if (range && peek(p, 0) == ',') {
		p->at++;
		skip_blanks(p);
		if (peek(p, 0) != '$')
			return fail_at(p, p->at, "range takes variables such as $i, $e");
		names[n++] = take_variable_name(p);
		skip_blanks(p);
	}
	declares = peek(p, 0) == ':' && peek(p, 1) == '=';
	if (!declares && peek(p, 0) != '=') {
		if (n == 2)
			return fail_at(p, p->at, "':=' is missing after the variables of range");
		p->at = start;
		return 0;
	}
	if (in_parentheses)
		return fail_at(p, start, "no declaration inside parentheses");
	p->at += declares ? 2 : 1;
	for (size_t i = 0; i < n; i++) {
		if (declares && !names[i][1])
			return fail_at(p, start, "'$' is the document and cannot be declared");
		if (!declares && !has_variable(p, names[i]))
			return fail_at(p, start, "undefined variable '%s'", names[i]);
		pipe->variables[i] = names[i];
	}
	pipe->n_variables = n;
	pipe->assign = !declares;
	return 0;
}

static int parse_pipe(struct parser *p, struct template_pipe **out, bool in_parentheses, bool range)
{
	struct template_pipe *pipe = arena(p->t, sizeof(*pipe));
	size_t capacity = 0;
	struct template_command *commands = NULL;
	int r;

	skip_blanks(p);
	pipe->position = p->at;
	r = parse_declaration(p, pipe, in_parentheses, range);
	while (r == 0) {
		if (pipe->n == capacity) {
			capacity = capacity ? capacity * 2 : 4;
			commands = kist_grow(commands, capacity, sizeof(*commands));
		}
		commands[pipe->n] = (struct template_command){ 0 };
		r = parse_command(p, &commands[pipe->n], pipe->n == 0);
		pipe->n++;
		if (r < 0 || peek(p, 0) != '|')
			break;
		p->at++;
	}
	if (r == 0) {
		pipe->commands = arena(p->t, pipe->n * sizeof(*commands));
		memcpy(pipe->commands, commands, pipe->n * sizeof(*commands));
		/* Only now: $x is not visible in the pipeline that declares it. */
		for (size_t i = 0; i < pipe->n_variables && !pipe->assign; i++)
			add_variable(p, pipe->variables[i]);
		*out = pipe;
	}
	free(commands);
	return r;
}

/* --- text, actions, blocks ------------------------------------------------------------------------------------ */

static struct template_node *new_node(struct parser *p, enum node_kind kind, size_t position)
{
	struct template_node *node = arena(p->t, sizeof(*node));

	node->kind = kind;
	node->position = position;
	return node;
}

/* The text up to the next action, or NULL when nothing is left of it. trim_right: that action starts with {{-. */
static struct template_node *text_node(struct parser *p, size_t from, size_t to, bool trim_right)
{
	KIST_STR struct kist_str s = { 0 };
	struct template_node *node;
	const char *text;
	size_t len;

	for (size_t i = from; i < to; i++) {
		char next = i + 1 < to ? p->text[i + 1] : 0;

		if (p->unescape && p->text[i] == '\\' && (next == 't' || next == 'n')) {
			kist_str_addc(&s, next == 't' ? '\t' : '\n');
			i++;
		} else {
			kist_str_addc(&s, p->text[i]);
		}
	}
	text = kist_str_get(&s);
	len = s.len;
	while (p->trim_left && len > 0 && is_blank(*text)) {
		text++;
		len--;
	}
	while (trim_right && len > 0 && is_blank(text[len - 1]))
		len--;
	p->trim_left = false;
	if (len == 0)
		return NULL;
	node = new_node(p, NODE_TEXT, from);
	node->text = arena_text(p->t, text, len);
	node->len = len;
	return node;
}

static int skip_comment(struct parser *p, size_t opened)
{
	const char *end = memmem(p->text + p->at + 2, p->len - p->at - 2, "*/", 2);

	if (!end)
		return fail_at(p, opened, "this comment is not closed: '*/}}' is missing");
	p->at = (size_t)(end - p->text) + 2;
	if (!at_close(p) && !(is_blank(peek(p, 0)) && peek(p, 1) == '-' && peek(p, 2) == '}' && peek(p, 3) == '}'))
		return fail_at(p, p->at, "a comment must end in '*/}}'");
	return take_close(p, opened);
}

/* The rest of {{if}}, {{range}}, {{with}} after its word, up to its {{end}}. */
static int parse_block(struct parser *p, struct template_node *node, size_t opened)
{
	size_t variables = p->n_variables;
	enum ending ending;
	size_t where = opened;
	int r;

	if (++p->depth > TEMPLATE_MAX_DEPTH)
		return fail_at(p, opened, "nested too deeply");
	r = parse_pipe(p, &node->pipe, false, node->kind == NODE_RANGE);
	if (r == 0)
		r = take_close(p, opened);
	if (r < 0)
		return r;
	p->loops += node->kind == NODE_RANGE;
	r = parse_list(p, &node->body, &ending, &where);
	p->loops -= node->kind == NODE_RANGE;
	if (r == 0 && ending == END_ELSE_IF) {
		if (node->kind != NODE_IF)
			return fail_at(p, where, "'else if' belongs to 'if' only");
		/* {{else if}} is an {{if}} inside the {{else}} that shares its {{end}}. */
		node->otherwise = new_node(p, NODE_IF, where);
		r = parse_block(p, node->otherwise, where);
		ending = END_END;
	} else if (r == 0 && ending == END_ELSE) {
		r = parse_list(p, &node->otherwise, &ending, &where);
		if (r == 0 && (ending == END_ELSE || ending == END_ELSE_IF))
			return fail_at(p, where, "a second 'else'; expected 'end'");
	}
	if (r == 0 && ending == END_TEXT)
		return fail_at(p, opened, "'%s' has no 'end'",
		               node->kind == NODE_IF      ? "if"
		               : node->kind == NODE_RANGE ? "range"
		                                          : "with");
	p->n_variables = variables;
	p->depth--;
	return r;
}

/* {{end}} and {{else}}; *ending stays END_TEXT when it is neither. */
static int parse_ending(struct parser *p, size_t opened, enum ending *ending)
{
	*ending = END_TEXT;
	if (at_word(p, "end")) {
		p->at += 3;
		*ending = END_END;
	} else if (at_word(p, "else")) {
		p->at += 4;
		*ending = END_ELSE;
		if (skip_blanks(p) && at_word(p, "if")) {
			p->at += 2;
			*ending = END_ELSE_IF;
			return 0;
		}
	}
	return *ending == END_TEXT ? 0 : take_close(p, opened);
}

static int parse_action(struct parser *p, size_t opened, struct template_node **out)
{
	static const struct {
		const char *word;
		enum node_kind kind;
	} blocks[] = { { "if", NODE_IF }, { "range", NODE_RANGE }, { "with", NODE_WITH } };
	static const char *const refused[] = { "template", "define", "block" };
	struct template_node *node;
	int r;

	for (size_t i = 0; i < KIST_COUNT(blocks); i++)
		if (at_word(p, blocks[i].word)) {
			p->at += strlen(blocks[i].word);
			*out = new_node(p, blocks[i].kind, opened);
			return parse_block(p, *out, opened);
		}
	for (size_t i = 0; i < KIST_COUNT(refused); i++)
		if (at_word(p, refused[i]))
			return fail_at(p, p->at, "'%s' is not available here", refused[i]);
	if (at_word(p, "break") || at_word(p, "continue")) {
		bool leaves = at_word(p, "break");

		if (!p->loops)
			return fail_at(p, p->at, "'%s' outside of 'range'", leaves ? "break" : "continue");
		p->at += leaves ? 5 : 8;
		*out = new_node(p, leaves ? NODE_BREAK : NODE_CONTINUE, opened);
		return take_close(p, opened);
	}
	node = new_node(p, NODE_ACTION, opened);
	r = parse_pipe(p, &node->pipe, false, false);
	if (r == 0)
		r = take_close(p, opened);
	*out = node;
	return r;
}

/* A list of nodes, up to the end of the text or the {{end}} or {{else}} of the block it is in. */
static int parse_list(struct parser *p, struct template_node **list, enum ending *ending, size_t *where)
{
	struct template_node **tail = list;

	for (;;) {
		const char *open = memmem(p->text + p->at, p->len - p->at, "{{", 2);
		size_t opened = open ? (size_t)(open - p->text) : p->len;
		bool trim = open && opened + 3 < p->len && p->text[opened + 2] == '-' && is_blank(p->text[opened + 3]);
		int r;

		*tail = text_node(p, p->at, opened, trim);
		if (*tail)
			tail = &(*tail)->next;
		*where = opened;
		*ending = END_TEXT;
		p->at = opened;
		if (!open)
			return 0;
		p->at += trim ? 4 : 2;
		if (peek(p, 0) == '/' && peek(p, 1) == '*') {
			r = skip_comment(p, opened);
			if (r < 0)
				return r;
			continue;
		}
		skip_blanks(p);
		if (p->at >= p->len)
			return fail_at(p, opened, "this action is not closed: '}}' is missing");
		r = parse_ending(p, opened, ending);
		if (r < 0 || *ending != END_TEXT)
			return r;
		r = parse_action(p, opened, tail);
		if (r < 0)
			return r;
		tail = &(*tail)->next;
	}
}

int template_parse(const char *name, const char *text, bool unescape, struct kist_template **out,
                   struct kist_error *err)
{
	KIST_TEMPLATE struct kist_template *t = kist_alloc(sizeof(*t));
	struct parser p = { .t = t, .unescape = unescape, .err = err };
	enum ending ending;
	size_t where = 0;
	int r;

	t->name = kist_strdup(name);
	t->text = kist_strdup(text);
	p.text = t->text;
	p.len = strlen(text);
	if (p.len > TEMPLATE_MAX_TEXT)
		return kist_fail(err, KIST_ERR_INVALID, E2BIG, "template: %s: longer than 1 MiB", name);
	add_variable(&p, "$");
	r = parse_list(&p, &t->nodes, &ending, &where);
	if (r == 0 && ending != END_TEXT)
		r = fail_at(&p, where, "'%s' without 'if', 'range' or 'with'", ending == END_END ? "end" : "else");
	free(p.variables);
	if (r < 0)
		return r;
	for (const struct template_node *n = t->nodes; n; n = n->next)
		t->ends_line = n->kind == NODE_TEXT && n->text[n->len - 1] == '\n';
	*out = kist_steal(&t);
	return 0;
}
