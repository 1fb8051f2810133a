# Configures, builds and installs the kernels into RESULT. If a step fails, RESULT gets its first error instead, for
# ops/build.py to quote, or with REQUIRED this fails.
cmake_minimum_required(VERSION 3.18...3.31)

# Sets `error` to one line of `output`: the compiler's or linker's first error, else CMake's, else the last line.
function(first_error output)
  string(REPLACE "${ROOT}/" "" output "${output}")
  string(REPLACE "${BUILD}/" "" output "${output}")
  string(REGEX MATCH "[^\n]*(error( [A-Z]+[0-9]+)?: |ld: (cannot|library)|[Uu]ndefined (reference|symbol))[^\n]*" found
    "${output}")
  if(found STREQUAL "" AND output MATCHES "CMake Error[^\n]*\n( [^\n]*\n|\n)*")
    string(REGEX REPLACE "It fails with the following output.*" "" found "${CMAKE_MATCH_0}")
    string(REGEX REPLACE "^CMake Error at [^\n]*\\(message\\):" "CMake:" found "${found}")
    string(REGEX REPLACE "[ \n]+" " " found "${found}")
  elseif(found STREQUAL "")
    string(REGEX MATCH "[^\n]*\n*$" found "${output}")
  endif()
  string(STRIP "${found}" found)
  set(error "${found}" PARENT_SCOPE)
endfunction()

# In English, so that first_error finds the word, and apart from a make that calls this.
set(RUN ${CMAKE_COMMAND} -E env LC_ALL=C --unset=MAKEFLAGS --unset=MAKELEVEL ${CMAKE_COMMAND})
set(options -G ${GENERATOR})
if(PLATFORM)
  list(APPEND options -A ${PLATFORM})
endif()
if(TOOLSET)
  list(APPEND options -T ${TOOLSET})
endif()
if(NOT DEFINED ENV{CMAKE_BUILD_PARALLEL_LEVEL})
  cmake_host_system_information(RESULT cores QUERY NUMBER_OF_LOGICAL_CORES)
  set(parallel --parallel ${cores})
endif()

file(REMOVE_RECURSE ${RESULT})
set(configure -S ${CMAKE_CURRENT_LIST_DIR} -B ${BUILD} -C ${SETTINGS} ${options})
set(build --build ${BUILD} --config "${CONFIG}" ${parallel})
set(install --install ${BUILD} --config "${CONFIG}" --prefix ${RESULT})
foreach(step configure build install)
  execute_process(COMMAND ${RUN} ${${step}} RESULT_VARIABLE failed OUTPUT_VARIABLE output ERROR_VARIABLE output
    ECHO_OUTPUT_VARIABLE ECHO_ERROR_VARIABLE)
  if(failed)
    first_error("${output}")
    if(REQUIRED)
      message(FATAL_ERROR "The C++ kernels could not be built:\n  ${error}")
    endif()
    message(WARNING "The C++ kernels could not be built. The package is installed with the readable reference kernels "
      "alone, some 300 times slower; SHIFTLEARN_REQUIRE_KERNELS=1 makes this an error.\n  ${error}")
    file(REMOVE_RECURSE ${RESULT})
    file(WRITE ${RESULT}/shiftlearn/ops/_build_error.txt "${error}\n")
    return()
  endif()
endforeach()
