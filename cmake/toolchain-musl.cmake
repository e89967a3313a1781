# Programs for musl, beside glibc. musl brings no headers of the kernel, so
# musl-gcc gets those of the system: nothing else of /usr/include.
set(CMAKE_C_COMPILER musl-gcc)

set(headers ${CMAKE_BINARY_DIR}/kernel-headers)
file(MAKE_DIRECTORY ${headers})
foreach(name linux asm asm-generic)
  foreach(place /usr/include /usr/include/${CMAKE_HOST_SYSTEM_PROCESSOR}-linux-gnu)
    if(EXISTS ${place}/${name})
      file(CREATE_LINK ${place}/${name} ${headers}/${name} SYMBOLIC)
    endif()
  endforeach()
endforeach()
set(CMAKE_C_FLAGS_INIT "-idirafter ${headers}")
