#include "job_options.h"

const char *const oq_cli_geometries[] = {"itk", "nibabel", "strict", NULL}, *const oq_cli_coordinates[] = {"lps", "ras", "voxel", NULL},
	*const oq_cli_mask_points[] = {"centroid", "box", NULL}, *const oq_cli_nonfinites[] = {"error", "air", NULL};

int oq_cli_job_finish(oq_cli_job *j)
{
	if ((j->job.mask_label || j->mask_point) && !j->job.mask_column)
		return oq_cli_usage("--label and --mask-point need --mask-column");
	if (j->job.mask_column && (j->job.boxes || j->coords))
		return oq_cli_usage("--mask-column takes the place of coordinates: it cannot be used with --boxes or --coords");
	j->job.coords = (oq_coords)j->coords;
	j->job.mask_point = (oq_mask_point)j->mask_point;
	j->job.scan.geometry = (oq_geometry)j->geometry;
	j->job.scan.nonfinite_as_air = j->nonfinite == 1;
	return 0;
}
