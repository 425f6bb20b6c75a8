# What `cmake --install` puts where: command, header, shared and static library, CMake package, pkg-config file, licence, docs.
# The tree can be moved after installation: every path inside it is relative to the file that holds it.
include(CMakePackageConfigHelpers)

# A oneDNN below the checkout would vanish with the checkout, so it is installed along, out of the way of other programs.
get_filename_component(OQ_ONEDNN_ROOT "${dnnl_DIR}/../../.." ABSOLUTE)
string(FIND "${OQ_ONEDNN_ROOT}/" "${PROJECT_SOURCE_DIR}/.deps/" OQ_ONEDNN_IS_LOCAL)
if(OQ_ONEDNN_IS_LOCAL EQUAL 0)
	set(OQ_INSTALL_ONEDNN_DEFAULT ON)
else()
	set(OQ_INSTALL_ONEDNN_DEFAULT OFF)
endif()
option(OQ_INSTALL_ONEDNN "Install the oneDNN library along, in lib/oncoquant" ${OQ_INSTALL_ONEDNN_DEFAULT})

set(OQ_PRIVATE_LIBDIR ${CMAKE_INSTALL_LIBDIR}/oncoquant)
set(OQ_CMAKEDIR ${CMAKE_INSTALL_LIBDIR}/cmake/oncoquant)

if(OQ_INSTALL_ONEDNN)
	get_target_property(OQ_ONEDNN_FILE DNNL::dnnl IMPORTED_LOCATION_RELEASE)
	if(NOT OQ_ONEDNN_FILE)
		get_target_property(OQ_ONEDNN_FILE DNNL::dnnl IMPORTED_LOCATION)
	endif()
	get_filename_component(OQ_ONEDNN_REAL "${OQ_ONEDNN_FILE}" REALPATH)
	install(PROGRAMS ${OQ_ONEDNN_REAL} DESTINATION ${OQ_PRIVATE_LIBDIR} RENAME libdnnl.so.3)
	foreach(notice LICENSE THIRD-PARTY-PROGRAMS)
		if(EXISTS ${OQ_ONEDNN_ROOT}/share/doc/onednn/${notice})
			install(FILES ${OQ_ONEDNN_ROOT}/share/doc/onednn/${notice} DESTINATION ${CMAKE_INSTALL_DOCDIR}/onednn)
		endif()
	endforeach()
	set_target_properties(oncoquant PROPERTIES INSTALL_RPATH "$ORIGIN/../${OQ_PRIVATE_LIBDIR}")
	set_target_properties(oncoquant_shared PROPERTIES INSTALL_RPATH "$ORIGIN/oncoquant")
else()
	set_target_properties(oncoquant oncoquant_shared PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)
endif()

# Before 1.0 a minor version may change the interface.
set_target_properties(oncoquant_shared PROPERTIES EXPORT_NAME shared SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
set_target_properties(oncoquant_static PROPERTIES EXPORT_NAME static)

install(TARGETS oncoquant RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
foreach(kind shared static)
	install(TARGETS oncoquant_${kind} EXPORT oncoquant_${kind} DESTINATION ${CMAKE_INSTALL_LIBDIR})
	install(EXPORT oncoquant_${kind} NAMESPACE oncoquant:: FILE oncoquant-${kind}.cmake DESTINATION ${OQ_CMAKEDIR})
endforeach()
install(FILES ${PROJECT_SOURCE_DIR}/include/oncoquant.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/oncoquantConfig.cmake.in ${PROJECT_BINARY_DIR}/oncoquantConfig.cmake
	INSTALL_DESTINATION ${OQ_CMAKEDIR} PATH_VARS OQ_PRIVATE_LIBDIR)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/oncoquantConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/oncoquantConfig.cmake ${PROJECT_BINARY_DIR}/oncoquantConfigVersion.cmake
	DESTINATION ${OQ_CMAKEDIR})
file(GLOB OQ_FIND_MODULES ${CMAKE_CURRENT_LIST_DIR}/Find*.cmake)
install(FILES ${OQ_FIND_MODULES} DESTINATION ${OQ_CMAKEDIR})

# From lib/pkgconfig the prefix is two levels up, from lib/x86_64-linux-gnu/pkgconfig three.
file(RELATIVE_PATH OQ_PC_TO_PREFIX /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
if(OQ_INSTALL_ONEDNN)
	set(OQ_PC_ONEDNN "-L\${libdir}/oncoquant -l:libdnnl.so.3 -Wl,-rpath,\${libdir}/oncoquant")
else()
	set(OQ_PC_ONEDNN "-ldnnl")
endif()
set(OQ_PC_ISAL "")
if(ISAL_FOUND)
	set(OQ_PC_ISAL "-lisal")
endif()
configure_file(${CMAKE_CURRENT_LIST_DIR}/oncoquant.pc.in ${PROJECT_BINARY_DIR}/oncoquant.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/oncoquant.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

install(FILES ${PROJECT_SOURCE_DIR}/LICENSE ${PROJECT_SOURCE_DIR}/NOTICE ${PROJECT_SOURCE_DIR}/README.md
	${PROJECT_SOURCE_DIR}/CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR} FILES_MATCHING PATTERN "*.md" PATTERN "*.png" PATTERN "*.svg")
