# The same sources built once more for other kinds of programs ("variants"):
#
#	m32    32-bit ones of a 64-bit machine, with glibc
#	musl   those for musl
#
# Each is a build of this tree with a toolchain file, in a directory of its own
# below the build directory: build/m32/libushm-preload.so, build/m32/libushm.a.
# USHM_VARIANTS_BUILT has the names of those that the compilers can make.
#
# any/ lets one LD_PRELOAD serve a tree of mixed processes; see doc/abi.md.
include(CheckCSourceCompiles)
include(ExternalProject)

option(USHM_VARIANTS "Build the libraries for 32-bit and musl programs too, if the compilers can" ON)

set(USHM_VARIANTS_BUILT)
file(REMOVE_RECURSE ${CMAKE_BINARY_DIR}/any)
if(NOT USHM_VARIANTS)
  return()
endif()

check_c_source_compiles("
  #include <features.h>
  #if !defined(__GLIBC__) || !defined(__x86_64__) || defined(__ILP32__)
  #error the variants go with 64-bit glibc
  #endif
  int main(void) { return 0; }" USHM_HAS_VARIANTS)
if(NOT USHM_HAS_VARIANTS)
  return()
endif()

# By gcc only: clang calls libatomic for 64 bits that are aligned as i386
# demands, though our fields are aligned better than that.
set(CMAKE_REQUIRED_FLAGS -m32)
check_c_source_compiles("
  #include <sys/shm.h>
  int main(void) { return shmdt(0); }" USHM_HAS_M32)
unset(CMAKE_REQUIRED_FLAGS)
if(USHM_HAS_M32 AND CMAKE_C_COMPILER_ID STREQUAL GNU)
  list(APPEND USHM_VARIANTS_BUILT m32)
endif()
find_program(USHM_MUSL_GCC musl-gcc)
if(USHM_MUSL_GCC)
  list(APPEND USHM_VARIANTS_BUILT musl)
endif()

foreach(variant ${USHM_VARIANTS_BUILT})
  set(compiler -DCMAKE_C_COMPILER=${CMAKE_C_COMPILER})
  if(variant STREQUAL musl)
    set(compiler) # the toolchain file's
  endif()
  ExternalProject_Add(${variant}
    PREFIX ${CMAKE_BINARY_DIR}/CMakeFiles/variants
    SOURCE_DIR ${CMAKE_SOURCE_DIR}
    BINARY_DIR ${CMAKE_BINARY_DIR}/${variant}
    CMAKE_ARGS
      ${compiler}
      -DCMAKE_TOOLCHAIN_FILE=${CMAKE_CURRENT_LIST_DIR}/toolchain-${variant}.cmake
      -DCMAKE_BUILD_TYPE=${CMAKE_BUILD_TYPE}
      -DUSHM_VARIANT=${variant}
      -DUSHM_WERROR=${USHM_WERROR}
      -DUSHM_TESTS=${USHM_TESTS}
    BUILD_ALWAYS ON
    INSTALL_COMMAND "")
  install(FILES
    ${CMAKE_BINARY_DIR}/${variant}/libushm-preload.so
    ${CMAKE_BINARY_DIR}/${variant}/libushm-filemap.so
    ${CMAKE_BINARY_DIR}/${variant}/libushm.a
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/ushm/${variant})
endforeach()

# any/NAME leads to the library of those programs whose dynamic linker makes
# NAME of $LIB. glibc's has a name built in, which differs between systems:
# all that mean one machine only, and what the linkers here say. musl's knows
# nothing of $LIB and takes it as it is.
set(names_main lib64 lib/x86_64-linux-gnu)
set(names_m32 lib32 lib/i386-linux-gnu)
set(names_musl "\$LIB")
set(linker_main /lib64/ld-linux-x86-64.so.2)
set(linker_m32 /lib/ld-linux.so.2)

if(USHM_VARIANTS_BUILT)
  foreach(variant main ${USHM_VARIANTS_BUILT})
    if(DEFINED linker_${variant})
      execute_process(COMMAND ${linker_${variant}} --list-diagnostics
        OUTPUT_VARIABLE said ERROR_QUIET)
      if(said MATCHES "dl_dst_lib=\"(lib[^\"]*)\"")
        list(APPEND names_${variant} ${CMAKE_MATCH_1})
      endif()
    endif()
    list(REMOVE_DUPLICATES names_${variant})

    foreach(name ${names_${variant}})
      # Up from any/NAME, and down into the variant's directory.
      string(REGEX REPLACE "[^/]+" ".." to ${name})
      if(NOT variant STREQUAL main)
        string(APPEND to /${variant})
      endif()
      set(link ${CMAKE_BINARY_DIR}/any/${name})
      get_filename_component(parent ${link} DIRECTORY)
      file(MAKE_DIRECTORY ${parent})
      file(CREATE_LINK ${to} ${link} SYMBOLIC)
    endforeach()
  endforeach()
  install(DIRECTORY ${CMAKE_BINARY_DIR}/any DESTINATION ${CMAKE_INSTALL_LIBDIR}/ushm)
endif()
