# Finds libdeflate, which inflates whole files faster than zlib. Optional.
# Defines LIBDEFLATE_FOUND and the target LIBDEFLATE::libdeflate.
find_path(LIBDEFLATE_INCLUDE_DIR libdeflate.h)
find_library(LIBDEFLATE_LIBRARY deflate)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LIBDEFLATE REQUIRED_VARS LIBDEFLATE_LIBRARY LIBDEFLATE_INCLUDE_DIR)
if(LIBDEFLATE_FOUND AND NOT TARGET LIBDEFLATE::libdeflate)
	add_library(LIBDEFLATE::libdeflate UNKNOWN IMPORTED)
	set_target_properties(LIBDEFLATE::libdeflate PROPERTIES IMPORTED_LOCATION ${LIBDEFLATE_LIBRARY}
		INTERFACE_INCLUDE_DIRECTORIES ${LIBDEFLATE_INCLUDE_DIR} INTERFACE_SYSTEM_INCLUDE_DIRECTORIES ${LIBDEFLATE_INCLUDE_DIR})
endif()
mark_as_advanced(LIBDEFLATE_INCLUDE_DIR LIBDEFLATE_LIBRARY)
