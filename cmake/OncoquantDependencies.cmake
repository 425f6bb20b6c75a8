# What the build needs from outside: oneDNN 3.2 or newer on OpenMP, OpenMP, libnifti2, cJSON, zlib.
set(OQ_LOCAL_ONEDNN ${PROJECT_SOURCE_DIR}/.deps/onednn)
if(NOT dnnl_DIR AND EXISTS ${OQ_LOCAL_ONEDNN}/lib/cmake/dnnl)
	list(APPEND CMAKE_PREFIX_PATH ${OQ_LOCAL_ONEDNN})
endif()
find_package(dnnl 3.2 CONFIG QUIET)
if(NOT dnnl_FOUND)
	message(FATAL_ERROR "oneDNN 3.2 or newer was not found (libdnnl of Debian 12 is 2.6, of Ubuntu 24.04 is 3.1: both too old). "
		"Run scripts/setup.sh, which unpacks one below .deps/, or give -Ddnnl_DIR=<folder with dnnl-config.cmake>.")
endif()
if(NOT DNNL_CPU_RUNTIME STREQUAL "OMP")
	message(FATAL_ERROR "oneDNN at ${dnnl_DIR} has the CPU runtime '${DNNL_CPU_RUNTIME}'; OncoQuant needs one built with OMP. "
		"Run scripts/setup.sh or give another -Ddnnl_DIR=.")
endif()
message(STATUS "oneDNN ${dnnl_VERSION} (${DNNL_CPU_RUNTIME}) at ${dnnl_DIR}")
find_package(OpenMP 4.5 REQUIRED COMPONENTS C)
find_package(ZLIB REQUIRED)
find_package(NIFTI2 REQUIRED)
find_package(CJSON REQUIRED)
find_package(ISAL QUIET) # faster gzip when it is there
find_package(Threads REQUIRED)
