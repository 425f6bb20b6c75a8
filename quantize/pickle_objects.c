#include "pickle_objects.h"

#include <string.h>

/* Modules whose functions act on the machine. They could do nothing here, where nothing is called, but a checkpoint that
 * names them was made to harm whoever loads it elsewhere: say so. */
static const char *const refused_modules[] = {"os", "posix", "nt", "subprocess", "sys", "runpy", "importlib", "shutil", "socket", "pty", "ctypes",
	"code", "codeop", "pdb", "pickle", "_pickle", "cloudpickle", "webbrowser", "urllib", "requests", "http", "ftplib", "multiprocessing",
	"signal", "tempfile", "timeit", "cProfile", "profile", "bdb", "pip", "asyncio", "threading", "operator", "types", "marshal", NULL};
static const char *const allowed_builtins[] = {"set", "frozenset", "dict", "list", "tuple", "int", "float", "bool", "str", "complex", "slice",
	"object", "bytearray", "bytes", "range", "long", "unicode", NULL};

static bool listed(const char *const *list, const char *name, size_t length)
{
	for (int i = 0; list[i]; i++)
		if (strlen(list[i]) == length && !memcmp(list[i], name, length))
			return true;
	return false;
}

oq_status oq_pickle_check_global(const char *full, const char *where, oq_error *err)
{
	size_t package = strcspn(full, ".");
	const char *name = strrchr(full, '.') + 1;
	bool builtin = !strncmp(full, "builtins.", 9) || !strncmp(full, "__builtin__.", 12);
	if (listed(refused_modules, full, package) || (builtin && !listed(allowed_builtins, name, strlen(name))))
		return oq_fail(err, OQ_E_MODEL, "E_PICKLE", "%s: the pickle names %s, which no checkpoint needs; it was not executed, the file is refused", where, full);
	return OQ_OK;
}

static const struct {
	const char *name;
	oq_dtype dtype;
} storages[] = {
	{"torch.FloatStorage", OQ_F32}, {"torch.HalfStorage", OQ_F16}, {"torch.BFloat16Storage", OQ_BF16}, {"torch.DoubleStorage", OQ_F64},
	{"torch.LongStorage", OQ_I64}, {"torch.IntStorage", OQ_I32}, {"torch.ShortStorage", OQ_I16}, {"torch.CharStorage", OQ_I8},
	{"torch.ByteStorage", OQ_U8}, {"torch.BoolStorage", OQ_BOOL},
};

oq_status oq_pickle_make_storage(const oq_pickle_value *id, const char *where, oq_pickle_value *out, oq_error *err)
{
	bool good = id->kind == OQ_PICKLE_SEQUENCE && id->count >= 5 && id->items[0]->kind == OQ_PICKLE_STRING && !strcmp(id->items[0]->text, "storage")
		&& id->items[1]->kind == OQ_PICKLE_GLOBAL && id->items[2]->kind == OQ_PICKLE_STRING && id->items[4]->kind == OQ_PICKLE_INT
		&& id->items[4]->integer >= 0;
	if (!good)
		return oq_fail(err, OQ_E_MODEL, "E_PICKLE", "%s: a persistent id of the pickle is not a storage", where);
	for (size_t i = 0; i < sizeof storages / sizeof *storages; i++)
		if (!strcmp(storages[i].name, id->items[1]->text)) {
			*out = (oq_pickle_value){.kind = OQ_PICKLE_STORAGE, .text = id->items[2]->text, .integer = id->items[4]->integer, .dtype = storages[i].dtype};
			return OQ_OK;
		}
	/* A storage of a type that no network here has (complex, quantised): inert. */
	*out = (oq_pickle_value){.kind = OQ_PICKLE_OPAQUE};
	return OQ_OK;
}

static bool read_extents(const oq_pickle_value *sequence, int *rank, int64_t *out)
{
	if (sequence->kind != OQ_PICKLE_SEQUENCE || sequence->count > OQ_PICKLE_MAX_RANK)
		return false;
	*rank = (int)sequence->count;
	for (size_t i = 0; i < sequence->count; i++) {
		if (sequence->items[i]->kind != OQ_PICKLE_INT || sequence->items[i]->integer < 0)
			return false;
		out[i] = sequence->items[i]->integer;
	}
	return true;
}

/* The last element that shape and stride reach must lie in the storage. */
static bool inside(const oq_pickle_value *t)
{
	int64_t last = t->integer;
	for (int i = 0; i < t->rank; i++) {
		if (t->shape[i] == 0)
			return true; /* an empty tensor touches nothing */
		int64_t reach;
		if (__builtin_mul_overflow(t->shape[i] - 1, t->stride[i], &reach) || __builtin_add_overflow(last, reach, &last))
			return false;
	}
	return last < t->storage->integer;
}

/* (storage, offset, size, stride, ...) */
static oq_status make_tensor(const oq_pickle_value *a, const char *where, oq_pickle_value *out, oq_error *err)
{
	int strides;
	*out = (oq_pickle_value){.kind = OQ_PICKLE_OPAQUE};
	if (a->count >= 4 && a->items[0]->kind == OQ_PICKLE_OPAQUE)
		return OQ_OK;
	bool good = a->count >= 4 && a->items[0]->kind == OQ_PICKLE_STORAGE && a->items[1]->kind == OQ_PICKLE_INT && a->items[1]->integer >= 0;
	if (good) {
		*out = (oq_pickle_value){.kind = OQ_PICKLE_TENSOR, .storage = a->items[0], .integer = a->items[1]->integer};
		good = read_extents(a->items[2], &out->rank, out->shape) && read_extents(a->items[3], &strides, out->stride) && strides == out->rank && inside(out);
	}
	return good ? OQ_OK : oq_fail(err, OQ_E_MODEL, "E_PICKLE", "%s: a tensor of the pickle is damaged or reaches behind its storage", where);
}

static oq_status make_ordered_dict(const oq_pickle_value *a, const char *where, oq_pickle_value *out, oq_error *err)
{
	*out = (oq_pickle_value){.kind = OQ_PICKLE_DICT};
	/* OrderedDict() as torch.save writes it; with arguments (a list of pairs) it is not a state dictionary of this century. */
	return a->count == 0 ? OQ_OK : oq_fail(err, OQ_E_MODEL, "E_PICKLE", "%s: an OrderedDict of the pickle has arguments, expected none", where);
}

oq_status oq_pickle_make(const char *callable, const oq_pickle_value *a, const char *where, oq_pickle_value *out, oq_error *err)
{
	*out = (oq_pickle_value){.kind = OQ_PICKLE_OPAQUE};
	if (!strcmp(callable, "collections.OrderedDict"))
		return make_ordered_dict(a, where, out, err);
	if (!strcmp(callable, "torch._utils._rebuild_tensor_v2") || !strcmp(callable, "torch._utils._rebuild_tensor"))
		return make_tensor(a, where, out, err);
	if (!strcmp(callable, "torch._utils._rebuild_parameter") && a->count >= 1)
		*out = *a->items[0];
	if (!strcmp(callable, "torch.Size") && a->count == 1 && a->items[0]->kind == OQ_PICKLE_SEQUENCE)
		*out = *a->items[0];
	return OQ_OK;
}
