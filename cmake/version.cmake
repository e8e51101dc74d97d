# The version stands in include/millrace/core/config.hpp and is read from there.
function(millrace_read_version out)
  set(header ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/../include/millrace/core/config.hpp)
  foreach(part MAJOR MINOR PATCH)
    file(STRINGS ${header} line REGEX "^#define MILLRACE_VERSION_${part} [0-9]+$")
    if(NOT line MATCHES "([0-9]+)$")
      message(FATAL_ERROR "${header} does not define MILLRACE_VERSION_${part}")
    endif()
    list(APPEND parts ${CMAKE_MATCH_1})
  endforeach()
  list(JOIN parts . version)
  set(${out} ${version} PARENT_SCOPE)

  # A new version in the header must reach the package files without a fresh configure.
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${header})
endfunction()
