/* PNG writer: 8-bit RGB, through zlib. */
#ifndef OQ_IO_PNG_H
#define OQ_IO_PNG_H

#include "io/overlay.h"

oq_status oq_png_write_rgb(const char *path, int width, int height, const unsigned char *rgb, oq_error *err);

/* Axial, coronal and sagittal plane through the seed side by side (radiological convention, soft-tissue window
 * level 40 width 400 unless given), pixels square in mm, crosshair at the seed, the patch's outline (box_mm wide) drawn. */
typedef struct oq_view_options {
	double level_hu, width_hu; /* width 0 = default window */
	double box_mm[3];          /* x,y,z extent of the patch; 0 = none; with an overlay its own place counts */
	double field_mm[3];        /* x,y,z extent of the picture around the seed; 0 = the whole scan */
	const oq_overlay *overlay; /* laid over it in colour; may be NULL */
	double overlay_high;       /* value of the brightest colour; 0 is transparent */
} oq_view_options;
oq_status oq_view_write_png(const oq_volume *volume, const double seed_lps_mm[3], const oq_view_options *options, const char *path, oq_error *err);

#endif
