/* The table of families. */
#include "arch/arch.h"
#include "emit.h"

#include <string.h>

static const struct {
	const char *name;
	oq_status (*build)(const oq_json *parameters, const char *where, oq_json **graph, oq_error *err);
} families[] = {
	{"segresenc", oq_arch_segresenc}, {"resnet3d", oq_arch_resnet3d}, {"i3resnet", oq_arch_i3resnet},
	{"unet3d", oq_arch_unet3d}, {"nnunet", oq_arch_nnunet}, {"swin", oq_arch_swin},
	{"ctvit", oq_arch_ctvit}, {"davit", oq_arch_davit},
};

oq_status oq_arch_build(const char *family, const oq_json *parameters, const char *where, oq_json **graph, oq_error *err)
{
	for (size_t i = 0; i < sizeof families / sizeof *families; i++)
		if (!strcmp(families[i].name, family))
			return families[i].build(parameters, where, graph, err);
	return oq_fail(err, OQ_E_MODEL, "E_FAMILY", "%s: family \"%s\" is unknown to this version", where, family);
}
