/* Options that every command with a manifest has: what its columns mean, where its scans are, how they are read. */
#ifndef OQ_CLI_JOB_OPTIONS_H
#define OQ_CLI_JOB_OPTIONS_H

#include "cli.h"

/* The job, and the choices that are put into it by oq_cli_job_finish. */
typedef struct oq_cli_job {
	oq_job job;
	int coords, geometry, nonfinite, mask_point;
} oq_cli_job;

extern const char *const oq_cli_geometries[], *const oq_cli_coordinates[], *const oq_cli_mask_points[], *const oq_cli_nonfinites[];

/* How one scan is read. */
#define OQ_SCAN_OPTIONS(j)                                                                                                                       \
	{.name = "--geometry", .kind = OQ_OPTION_CHOICE, .target = &(j).geometry, .value_name = "itk|nibabel|strict", .choices = oq_cli_geometries, .help = "which of two conflicting transforms to follow"}, \
	{.name = "--volume", .kind = OQ_OPTION_INT, .target = &(j).job.scan.volume, .value_name = "N", .low = 1, .high = 1 << 20, .help = "of 4-D NIfTI files, from 1 (default: they are refused)"}, \
	{.name = "--nonfinite", .kind = OQ_OPTION_CHOICE, .target = &(j).nonfinite, .value_name = "error|air", .choices = oq_cli_nonfinites, .help = "NaN voxels: refuse (default), or take as -1024 HU"}, \
	{.name = "--assume-orientation", .kind = OQ_OPTION_FLAG, .target = &(j).job.scan.assume_orientation, .help = "read NIfTI without qform and sform as ITK does"}, \
	{.name = "--allow-shear", .kind = OQ_OPTION_FLAG, .target = &(j).job.scan.allow_shear, .help = "read tilted gantries, through the full affine"}, \
	{.name = "--dicom", .kind = OQ_OPTION_FLAG, .target = &(j).job.scan.dicom, .help = "folders are DICOM series; dcm2niix converts them"}

/* Where a manifest's scans are, and what messages call them. */
#define OQ_PATH_OPTIONS(j)                                                                                                                       \
	{.name = "--root", .kind = OQ_OPTION_TEXT, .target = &(j).job.root, .value_name = "DIR", .help = "folder of the manifest's relative paths (default: its own)"}, \
	{.name = "--path-map", .kind = OQ_OPTION_TEXT, .target = &(j).job.path_map, .value_name = "OLD=NEW", .help = "paths that begin with OLD begin with NEW instead"}, \
	{.name = "--log-paths", .kind = OQ_OPTION_FLAG, .target = &(j).job.log_paths, .help = "name scans by their paths in messages"}

/* What a manifest's rows say. */
#define OQ_MANIFEST_OPTIONS(j)                                                                                                                   \
	{.name = "--coords", .kind = OQ_OPTION_CHOICE, .target = &(j).coords, .value_name = "lps|ras|voxel", .choices = oq_cli_coordinates, .help = "what the manifest's coordinates mean (lps: millimetres)"}, \
	OQ_PATH_OPTIONS(j), \
	{.name = "--mask-column", .kind = OQ_OPTION_TEXT, .target = &(j).job.mask_column, .value_name = "COLUMN", .help = "seeds are points of the label masks named there"}, \
	{.name = "--label", .kind = OQ_OPTION_INT, .target = &(j).job.mask_label, .value_name = "N", .low = 1, .high = 1000000, .help = "of masks (default: the only one)"}, \
	{.name = "--mask-point", .kind = OQ_OPTION_CHOICE, .target = &(j).mask_point, .value_name = "centroid|box", .choices = oq_cli_mask_points, .help = "of the label: centroid (default), centre of its box"}, \
	{.name = "--boxes", .kind = OQ_OPTION_FLAG, .target = &(j).job.boxes, .help = "seeds are centres of minX,minY,minZ,maxX,maxY,maxZ"}, \
	{.name = "--strict", .kind = OQ_OPTION_FLAG, .target = &(j).job.strict, .help = "a row with a warning fails"}

/* Puts the choices into the job; 0, or an exit code after a message. */
int oq_cli_job_finish(oq_cli_job *job);

#endif
