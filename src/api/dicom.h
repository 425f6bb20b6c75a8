/* A folder of DICOM files, converted by the command dcm2niix. */
#ifndef OQ_API_DICOM_H
#define OQ_API_DICOM_H

#include "io/volume.h"

/* Opens the one series of a folder, as oq_volume_open does a file. E_DICOM with dcm2niix's own words: no dcm2niix, no series, several series, slices at
 * uneven distances, a tilted gantry. Its warnings become W_DICOM. E_MEMORY when it was killed. Signals that stop a run do not reach it. */
oq_status oq_dicom_read(const char *folder, const oq_volume_options *options, oq_volume **out, oq_error *err);

#endif
