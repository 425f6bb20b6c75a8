# Finds libnifti2 (nifti2_io.h). Debian's own CMake config for it is broken and it has no pkg-config file.
# Defines NIFTI2_FOUND and the target NIFTI2::nifti2.
find_path(NIFTI2_INCLUDE_DIR nifti2_io.h PATH_SUFFIXES nifti)
find_library(NIFTI2_LIBRARY nifti2)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(NIFTI2 REQUIRED_VARS NIFTI2_LIBRARY NIFTI2_INCLUDE_DIR
	REASON_FAILURE_MESSAGE "install libnifti2-dev (Debian, Ubuntu)")
if(NIFTI2_FOUND AND NOT TARGET NIFTI2::nifti2)
	add_library(NIFTI2::nifti2 UNKNOWN IMPORTED)
	set_target_properties(NIFTI2::nifti2 PROPERTIES IMPORTED_LOCATION ${NIFTI2_LIBRARY}
		INTERFACE_INCLUDE_DIRECTORIES ${NIFTI2_INCLUDE_DIR} INTERFACE_SYSTEM_INCLUDE_DIRECTORIES ${NIFTI2_INCLUDE_DIR})
endif()
mark_as_advanced(NIFTI2_INCLUDE_DIR NIFTI2_LIBRARY)
