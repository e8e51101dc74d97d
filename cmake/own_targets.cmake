# What our own targets are built with. None of it reaches a target that hosts link; in a host's build there are no
# strict warnings at all.
if(PROJECT_IS_TOP_LEVEL)
  add_library(millrace_warnings INTERFACE)
  target_compile_options(
    millrace_warnings
    INTERFACE $<$<CXX_COMPILER_ID:GNU,Clang,AppleClang>:-Wall;-Wextra;-Wpedantic;-Wshadow;-Wconversion>
              $<$<CXX_COMPILER_ID:MSVC>:/W4;/permissive->
              # g++ 12 sees overlaps in std::string's operator+ that are not there.
              $<$<AND:$<CXX_COMPILER_ID:GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>:-Wno-restrict>)
endif()

# millrace_own(<target> [<library>...]): strict warnings, plain C++20, millrace::core and what else it links.
function(millrace_own target)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
  target_link_libraries(${target} PRIVATE millrace_core ${ARGN}
                                          $<BUILD_INTERFACE:$<TARGET_NAME_IF_EXISTS:millrace_warnings>>)
endfunction()
