/* How many codes of an int8 package are clipped, layer by layer: of the values that its 8-bit layers read, those beyond the calibrated range by more
 * than half a code, counted in the quantised network itself; of its weights, those at the outermost codes. */
#ifndef OQ_API_SATURATION_H
#define OQ_API_SATURATION_H

#include "internal.h"

#define OQ_SATURATION_LIMIT 0.01 /* share of a layer's input codes: above it, a remark */

typedef struct oq_saturation oq_saturation;

/* *out stays NULL for a package that is not int8. The candidate stays open meanwhile. */
oq_status oq_saturation_open(const oq_model *candidate, int lanes, oq_saturation **out, oq_error *err);
/* Counts one patch; from several threads, each with a lane of its own. Of a network on slices: the middle slice. */
oq_status oq_saturation_count(oq_saturation *saturation, int lane, const float *patch, bool phantom, oq_error *err);
/* The largest share of any layer, of all test patches together or of all phantoms. */
double oq_saturation_worst(const oq_saturation *saturation, bool phantom);
bool oq_saturation_describe(const oq_saturation *saturation, oq_json *root);
void oq_saturation_close(oq_saturation *saturation);

#endif
