# 32-bit programs of a 64-bit x86 machine, by the compiler of the main build.
set(CMAKE_C_FLAGS_INIT -m32)
