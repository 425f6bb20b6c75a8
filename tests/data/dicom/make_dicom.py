#!/usr/bin/env python3
"""Makes the small DICOM series of the tests, with pydicom: python3 make_dicom.py
Invented voxels, 12 x 10 of 0.8 x 0.9 mm, 6 slices 2.5 mm apart; the patient is called DOE^JANE, whom no output may name."""
import os

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

HERE = os.path.dirname(os.path.abspath(__file__))
ROWS, COLUMNS, SLICES = 10, 12, 6


def voxels(k):
    j, i = np.mgrid[0:ROWS, 0:COLUMNS]
    return (24 + 100 * k + 10 * j + i).astype(np.int16)  # HU -1000 + ...


def write(folder, place):
    """place(k) -> position of slice k in LPS mm"""
    os.makedirs(os.path.join(HERE, folder), exist_ok=True)
    uids = [generate_uid(entropy_srcs=[folder, name]) for name in ("study", "series", "frame")]
    for k in range(SLICES):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[folder, str(k)])
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        d = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        d.SOPClassUID, d.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        d.StudyInstanceUID, d.SeriesInstanceUID, d.FrameOfReferenceUID = uids
        d.Modality, d.Manufacturer, d.PatientName, d.PatientID = "CT", "GE MEDICAL SYSTEMS", "DOE^JANE", "MRN12345"
        d.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        d.StudyDate, d.StudyTime, d.SeriesNumber, d.AcquisitionNumber, d.InstanceNumber = "20200101", "120000", 1, 1, k + 1
        d.ImagePositionPatient = list(place(k))
        d.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        d.PatientPosition = "HFS"
        d.PixelSpacing, d.SliceThickness, d.GantryDetectorTilt = [0.9, 0.8], 2.5, 20 if folder == "tilted" else 0
        d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME2"
        d.Rows, d.Columns, d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = ROWS, COLUMNS, 16, 16, 15, 1
        d.RescaleSlope, d.RescaleIntercept, d.RescaleType = 1, -1024, "HU"
        d.PixelData = voxels(k).tobytes()
        d.save_as(os.path.join(HERE, folder, f"{k}.dcm"), enforce_file_format=True)


write("even", lambda k: (-40, -30, 100 + 2.5 * k))
write("uneven", lambda k: (-40, -30, 100 + 2.5 * k + (1.5 if k > 2 else 0)))
write("tilted", lambda k: (-40, -30 + 2.5 * np.tan(np.radians(20)) * k, 100 + 2.5 * k))
