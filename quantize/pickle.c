#include "pickle.h"

#include "pickle_objects.h"

#include <stdio.h>
#include <string.h>

#define MAX_STACK 1000000

typedef struct machine {
	const unsigned char *data;
	size_t bytes, at;
	const char *name;
	oq_arena *arena;
	oq_error *err;
	oq_pickle_value **stack, **memo;
	size_t depth, stack_room, memo_room, memo_count;
	bool stopped;
	oq_pickle_value mark; /* marks are entries of the stack that point here */
} machine;

static oq_status refuse(const machine *m, const char *what)
{
	return oq_fail(m->err, OQ_E_MODEL, "E_PICKLE", "%s: pickle byte %zu: %s", m->name, m->at, what);
}

static oq_status take(machine *m, size_t bytes, const unsigned char **out)
{
	if (bytes > m->bytes - m->at)
		return oq_fail(m->err, OQ_E_MODEL, "E_MODEL_TRUNCATED", "%s: the pickle ends at byte %zu, %zu more bytes were expected", m->name, m->bytes, bytes);
	*out = m->data + m->at;
	m->at += bytes;
	return OQ_OK;
}

static oq_status take_little(machine *m, int bytes, uint64_t *out)
{
	const unsigned char *p;
	OQ_TRY(take(m, (size_t)bytes, &p));
	*out = 0;
	for (int i = bytes - 1; i >= 0; i--)
		*out = *out << 8 | p[i];
	return OQ_OK;
}

static oq_status no_memory(const machine *m)
{
	return oq_fail_memory(m->err, m->name, sizeof(oq_pickle_value));
}

static oq_status grow(const machine *m, oq_pickle_value ***array, size_t *room, size_t need)
{
	if (need <= *room)
		return OQ_OK;
	size_t more = *room * 2 > need ? *room * 2 : need + 16;
	oq_pickle_value **moved = oq_realloc(*array, more * sizeof *moved);
	if (!moved)
		return no_memory(m);
	memset(moved + *room, 0, (more - *room) * sizeof *moved);
	*array = moved;
	*room = more;
	return OQ_OK;
}

static oq_status push(machine *m, oq_pickle_value *value)
{
	if (m->depth >= MAX_STACK)
		return refuse(m, "its stack is too deep");
	OQ_TRY(grow(m, &m->stack, &m->stack_room, m->depth + 1));
	m->stack[m->depth++] = value;
	return OQ_OK;
}

static oq_status push_new(machine *m, oq_pickle_value value)
{
	oq_pickle_value *v = oq_arena_alloc(m->arena, sizeof *v);
	if (!v)
		return no_memory(m);
	*v = value;
	return push(m, v);
}

static oq_status pop(machine *m, oq_pickle_value **out)
{
	if (!m->depth || m->stack[m->depth - 1] == &m->mark)
		return refuse(m, "takes a value from an empty stack");
	*out = m->stack[--m->depth];
	return OQ_OK;
}

static oq_status top(const machine *m, oq_pickle_kind kind, oq_pickle_value **out)
{
	if (!m->depth || m->stack[m->depth - 1] == &m->mark)
		return refuse(m, "looks at an empty stack");
	*out = m->stack[m->depth - 1];
	/* An inert object swallows what is added to it. */
	return (*out)->kind == kind || (*out)->kind == OQ_PICKLE_OPAQUE ? OQ_OK : refuse(m, "adds to a value that is no such container");
}

static oq_status append(const machine *m, oq_pickle_value *to, oq_pickle_value *item)
{
	if (to->kind == OQ_PICKLE_OPAQUE)
		return OQ_OK;
	if (to->count == to->room) {
		size_t room = to->room ? 2 * to->room : 8;
		oq_pickle_value **items = oq_arena_alloc(m->arena, room * sizeof *items);
		if (!items)
			return no_memory(m);
		if (to->count)
			memcpy(items, to->items, to->count * sizeof *items);
		to->items = items;
		to->room = room;
	}
	to->items[to->count++] = item;
	return OQ_OK;
}

/* Position of the first value after the last mark. */
static oq_status last_mark(const machine *m, size_t *first)
{
	for (size_t i = m->depth; i > 0; i--)
		if (m->stack[i - 1] == &m->mark) {
			*first = i;
			return OQ_OK;
		}
	return refuse(m, "has no mark on its stack");
}

/* The values after the mark become one sequence or dictionary. */
static oq_status collect(machine *m, oq_pickle_kind kind)
{
	size_t first;
	OQ_TRY(last_mark(m, &first));
	oq_pickle_value *v = oq_arena_alloc(m->arena, sizeof *v);
	if (!v)
		return no_memory(m);
	v->kind = kind;
	for (size_t i = first; i < m->depth; i++)
		OQ_TRY(append(m, v, m->stack[i]));
	if (kind == OQ_PICKLE_DICT && v->count % 2)
		return refuse(m, "a dictionary has a key without a value");
	m->depth = first - 1;
	return push(m, v);
}

/* The values after the mark are added to the container below it. */
static oq_status extend(machine *m, oq_pickle_kind kind)
{
	size_t first, end = m->depth;
	oq_pickle_value *to;
	OQ_TRY(last_mark(m, &first));
	if (kind == OQ_PICKLE_DICT && (end - first) % 2)
		return refuse(m, "a dictionary has a key without a value");
	m->depth = first - 1;
	OQ_TRY(top(m, kind, &to));
	for (size_t i = first; i < end; i++)
		OQ_TRY(append(m, to, m->stack[i]));
	return OQ_OK;
}

static oq_status add_last(machine *m, oq_pickle_kind kind, int values)
{
	oq_pickle_value *items[2] = {NULL, NULL}, *to;
	for (int i = values - 1; i >= 0; i--)
		OQ_TRY(pop(m, &items[i]));
	OQ_TRY(top(m, kind, &to));
	for (int i = 0; i < values; i++)
		OQ_TRY(append(m, to, items[i]));
	return OQ_OK;
}

static oq_status push_tuple(machine *m, int count)
{
	oq_pickle_value *items[3], *v = oq_arena_alloc(m->arena, sizeof *v);
	if (!v)
		return no_memory(m);
	v->kind = OQ_PICKLE_SEQUENCE;
	for (int i = count - 1; i >= 0; i--)
		OQ_TRY(pop(m, &items[i]));
	for (int i = 0; i < count; i++)
		OQ_TRY(append(m, v, items[i]));
	return push(m, v);
}

static oq_status push_text(machine *m, int length_bytes)
{
	uint64_t length;
	const unsigned char *p;
	OQ_TRY(take_little(m, length_bytes, &length));
	if (length > m->bytes)
		return refuse(m, "a string is longer than the file");
	OQ_TRY(take(m, (size_t)length, &p));
	char *copy = oq_arena_alloc(m->arena, (size_t)length + 1);
	if (!copy)
		return no_memory(m);
	memcpy(copy, p, (size_t)length);
	/* A NUL inside would make two different keys look the same. */
	if (memchr(copy, 0, (size_t)length))
		return push_new(m, (oq_pickle_value){.kind = OQ_PICKLE_OPAQUE});
	return push_new(m, (oq_pickle_value){.kind = OQ_PICKLE_STRING, .text = copy});
}

static oq_status skip_bytes(machine *m, int length_bytes)
{
	uint64_t length;
	const unsigned char *p;
	OQ_TRY(take_little(m, length_bytes, &length));
	if (length > m->bytes)
		return refuse(m, "a byte string is longer than the file");
	OQ_TRY(take(m, (size_t)length, &p));
	return push_new(m, (oq_pickle_value){.kind = OQ_PICKLE_OPAQUE});
}

/* Two's complement of any length; beyond 64 bits it is kept as an inert value. */
static oq_status push_long(machine *m, int length_bytes)
{
	uint64_t length, value = 0;
	const unsigned char *p;
	OQ_TRY(take_little(m, length_bytes, &length));
	if (length > m->bytes)
		return refuse(m, "an integer is longer than the file");
	OQ_TRY(take(m, (size_t)length, &p));
	if (length > 8)
		return push_new(m, (oq_pickle_value){.kind = OQ_PICKLE_OPAQUE});
	for (uint64_t i = 0; i < length; i++)
		value |= (uint64_t)p[i] << 8 * i;
	if (length && length < 8 && p[length - 1] & 0x80)
		value |= ~(uint64_t)0 << 8 * length;
	return push_new(m, (oq_pickle_value){.kind = OQ_PICKLE_INT, .integer = (int64_t)value});
}

static oq_status push_float(machine *m)
{
	const unsigned char *p;
	uint64_t bits = 0;
	double value;
	OQ_TRY(take(m, 8, &p));
	for (int i = 0; i < 8; i++)
		bits = bits << 8 | p[i];
	memcpy(&value, &bits, sizeof value);
	return push_new(m, (oq_pickle_value){.kind = OQ_PICKLE_FLOAT, .number = value});
}

static oq_status push_global(machine *m, const char *module, const char *name)
{
	size_t room = strlen(module) + strlen(name) + 2;
	char *full = oq_arena_alloc(m->arena, room);
	if (!full)
		return no_memory(m);
	snprintf(full, room, "%s.%s", module, name);
	OQ_TRY(oq_pickle_check_global(full, m->name, m->err));
	return push_new(m, (oq_pickle_value){.kind = OQ_PICKLE_GLOBAL, .text = full});
}

/* "module\nname\n" */
static oq_status read_global(machine *m)
{
	const char *parts[2];
	for (int i = 0; i < 2; i++) {
		const unsigned char *start = m->data + m->at, *end = memchr(start, '\n', m->bytes - m->at);
		if (!end || memchr(start, 0, (size_t)(end - start)))
			return refuse(m, "a global's name does not end");
		char *copy = oq_arena_alloc(m->arena, (size_t)(end - start) + 1);
		if (!copy)
			return no_memory(m);
		memcpy(copy, start, (size_t)(end - start));
		parts[i] = copy;
		m->at += (size_t)(end - start) + 1;
	}
	return push_global(m, parts[0], parts[1]);
}

static oq_status stack_global(machine *m)
{
	oq_pickle_value *name, *module;
	OQ_TRY(pop(m, &name));
	OQ_TRY(pop(m, &module));
	if (name->kind != OQ_PICKLE_STRING || module->kind != OQ_PICKLE_STRING)
		return refuse(m, "a global's name is not a string");
	return push_global(m, module->text, name->text);
}

/* callable(*arguments), or cls.__new__(cls, *arguments): looked up in a table, never called. */
static oq_status reduce(machine *m, bool keywords)
{
	oq_pickle_value *arguments, *callable, *dropped;
	if (keywords)
		OQ_TRY(pop(m, &dropped));
	OQ_TRY(pop(m, &arguments));
	OQ_TRY(pop(m, &callable));
	oq_pickle_value made = {.kind = OQ_PICKLE_OPAQUE};
	if (callable->kind == OQ_PICKLE_GLOBAL && arguments->kind == OQ_PICKLE_SEQUENCE)
		OQ_TRY(oq_pickle_make(callable->text, arguments, m->name, &made, m->err));
	return push_new(m, made);
}

static oq_status persistent(machine *m)
{
	oq_pickle_value *id, made;
	OQ_TRY(pop(m, &id));
	OQ_TRY(oq_pickle_make_storage(id, m->name, &made, m->err));
	return push_new(m, made);
}

static oq_status remember(machine *m, uint64_t index)
{
	/* PyTorch numbers its memo densely; a huge index is an attempt to make us allocate. */
	if (index > m->bytes || !m->depth)
		return refuse(m, "its memo index is out of range");
	OQ_TRY(grow(m, &m->memo, &m->memo_room, (size_t)index + 1));
	m->memo[index] = m->stack[m->depth - 1];
	m->memo_count++;
	return OQ_OK;
}

static oq_status recall(machine *m, uint64_t index)
{
	if (index >= m->memo_room || !m->memo[index])
		return refuse(m, "recalls a value that was never remembered");
	return push(m, m->memo[index]);
}

static oq_status with_index(machine *m, int bytes, oq_status (*act)(machine *m, uint64_t index))
{
	uint64_t index;
	OQ_TRY(take_little(m, bytes, &index));
	return act(m, index);
}

static oq_status push_int(machine *m, int bytes)
{
	uint64_t value;
	OQ_TRY(take_little(m, bytes, &value));
	int64_t integer = bytes == 4 ? (int64_t)(int32_t)(uint32_t)value : (int64_t)value;
	return push_new(m, (oq_pickle_value){.kind = OQ_PICKLE_INT, .integer = integer});
}

static oq_status drop(machine *m)
{
	oq_pickle_value *value;
	return pop(m, &value);
}

static oq_status drop_to_mark(machine *m)
{
	size_t first;
	OQ_TRY(last_mark(m, &first));
	m->depth = first - 1;
	return OQ_OK;
}

static oq_status skip(machine *m, size_t bytes)
{
	const unsigned char *p;
	return take(m, bytes, &p);
}

static oq_status stop(machine *m)
{
	m->stopped = true;
	return m->depth == 1 && m->stack[0] != &m->mark ? OQ_OK : refuse(m, "ends with more than one value");
}

static oq_status step(machine *m)
{
	const unsigned char *op;
	OQ_TRY(take(m, 1, &op));
	switch (*op) {
	case 0x80: return skip(m, 1);                          /* PROTO */
	case 0x95: return skip(m, 8);                          /* FRAME */
	case '.': return stop(m);
	case '(': return push(m, &m->mark);
	case '0': return drop(m);
	case '1': return drop_to_mark(m);
	case '2': return m->depth && m->stack[m->depth - 1] != &m->mark ? push(m, m->stack[m->depth - 1]) : refuse(m, "copies from an empty stack");
	case 'N': return push_new(m, (oq_pickle_value){.kind = OQ_PICKLE_NONE});
	case 0x88: case 0x89: return push_new(m, (oq_pickle_value){.kind = OQ_PICKLE_BOOL, .integer = *op == 0x88});
	case 'J': return push_int(m, 4);
	case 'K': return push_int(m, 1);
	case 'M': return push_int(m, 2);
	case 0x8a: return push_long(m, 1);
	case 0x8b: return push_long(m, 4);
	case 'G': return push_float(m);
	case 0x8c: case 'U': return push_text(m, 1);           /* strings of Python 2 and 3 */
	case 'X': case 'T': return push_text(m, 4);
	case 0x8d: return push_text(m, 8);
	case 'C': return skip_bytes(m, 1);
	case 'B': return skip_bytes(m, 4);
	case 0x8e: case 0x96: return skip_bytes(m, 8);
	case '}': return push_new(m, (oq_pickle_value){.kind = OQ_PICKLE_DICT});
	case ']': case ')': case 0x8f: return push_new(m, (oq_pickle_value){.kind = OQ_PICKLE_SEQUENCE});
	case 't': case 'l': case 0x91: return collect(m, OQ_PICKLE_SEQUENCE);
	case 'd': return collect(m, OQ_PICKLE_DICT);
	case 0x85: case 0x86: case 0x87: return push_tuple(m, *op - 0x84);
	case 'a': return add_last(m, OQ_PICKLE_SEQUENCE, 1);
	case 's': return add_last(m, OQ_PICKLE_DICT, 2);
	case 'e': case 0x90: return extend(m, OQ_PICKLE_SEQUENCE);
	case 'u': return extend(m, OQ_PICKLE_DICT);
	case 'c': return read_global(m);
	case 0x93: return stack_global(m);
	case 'R': case 0x81: return reduce(m, false);
	case 0x92: return reduce(m, true);
	case 'b': return drop(m);                              /* BUILD: the state of an object we do not build */
	case 'Q': return persistent(m);
	case 'q': return with_index(m, 1, remember);
	case 'r': return with_index(m, 4, remember);
	case 0x94: return remember(m, m->memo_count);
	case 'h': return with_index(m, 1, recall);
	case 'j': return with_index(m, 4, recall);
	default: {
		char text[64];
		snprintf(text, sizeof text, "opcode 0x%02x is not one that torch.save writes", *op);
		return refuse(m, text);
	}
	}
}

oq_status oq_pickle_parse(const void *data, size_t bytes, const char *name, oq_arena *arena, const oq_pickle_value **out, oq_error *err)
{
	machine m = {.data = data, .bytes = bytes, .name = name, .arena = arena, .err = err};
	oq_status status = OQ_OK;
	while (status == OQ_OK && !m.stopped)
		status = step(&m);
	if (status == OQ_OK)
		*out = m.stack[0];
	oq_free(m.stack);
	oq_free(m.memo);
	return status;
}

const oq_pickle_value *oq_pickle_get(const oq_pickle_value *dict, const char *key)
{
	for (size_t i = 0; dict->kind == OQ_PICKLE_DICT && i < dict->count; i += 2)
		if (dict->items[i]->kind == OQ_PICKLE_STRING && !strcmp(dict->items[i]->text, key))
			return dict->items[i + 1];
	return NULL;
}
