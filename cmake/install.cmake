# Headers, libraries, CMake package and pkg-config files, all relocatable: no file names the prefix.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

foreach(room IN LISTS millrace_rooms)
  if(EXISTS ${PROJECT_SOURCE_DIR}/include/millrace/${room})
    install(DIRECTORY include/millrace/${room} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/millrace FILES_MATCHING
            PATTERN *.hpp)
  endif()
endforeach()

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/millrace)
install(TARGETS millrace_core EXPORT millrace-core INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT millrace-core FILE millrace-core-targets.cmake NAMESPACE millrace:: DESTINATION ${package_dir})
if(MILLRACE_BUILD_LIBRARY)
  install(TARGETS millrace EXPORT millrace-library ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY
          DESTINATION ${CMAKE_INSTALL_LIBDIR} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  install(EXPORT millrace-library FILE millrace-library-targets.cmake NAMESPACE millrace:: DESTINATION ${package_dir})
else()
  set(any_machine ARCH_INDEPENDENT)
endif()

configure_package_config_file(cmake/millrace-config.cmake.in millrace-config.cmake
                              INSTALL_DESTINATION ${package_dir} NO_SET_AND_CHECK_MACRO)
# Before 1.0 a new minor version may break its users.
write_basic_package_version_file(millrace-config-version.cmake COMPATIBILITY SameMinorVersion ${any_machine})
install(FILES ${PROJECT_BINARY_DIR}/millrace-config.cmake ${PROJECT_BINARY_DIR}/millrace-config-version.cmake
        DESTINATION ${package_dir})

# pkg-config finds the prefix from where the file lies.
set(pc_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH up /${pc_dir} /)
string(REGEX REPLACE "/$" "" up "${up}")
function(millrace_install_pc name description requires libs)
  configure_file(cmake/package.pc.in ${name}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/${name}.pc DESTINATION ${pc_dir})
endfunction()
millrace_install_pc(millrace-core "${PROJECT_DESCRIPTION} (headers, the standard library only)" "" "-pthread")
if(MILLRACE_BUILD_LIBRARY)
  millrace_install_pc(millrace "${PROJECT_DESCRIPTION}" "millrace-core, fmt, absl_statusor, absl_flat_hash_map, absl_flat_hash_set" "-L\${libdir} -lmillrace")
endif()
