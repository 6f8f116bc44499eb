# The highest useful level. -Wconversion is on except for the sign and float-to-float kinds, which drown the rest.
add_library(lethe_warnings INTERFACE)
target_compile_options(lethe_warnings INTERFACE
    -Wall -Wextra -Wpedantic -Wnon-virtual-dtor -Wold-style-cast -Wcast-align -Woverloaded-virtual
    -Wnull-dereference -Wdouble-promotion -Wformat=2 -Wimplicit-fallthrough
    # Files that are compiled together have each other's constants in scope.
    $<IF:$<BOOL:${CMAKE_UNITY_BUILD}>,$<$<CXX_COMPILER_ID:GNU>:-Wshadow=local>,-Wshadow>
    $<$<CXX_COMPILER_ID:GNU>:-Wduplicated-cond -Wlogical-op>
    # False positives of g++ 12 inside its own string and inside nlohmann-json at -O3 (GCC bug 105651 and its kin).
    $<$<AND:$<CXX_COMPILER_ID:GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>:-Wno-restrict -Wno-array-bounds -Wno-stringop-overflow -Wno-maybe-uninitialized>
    $<$<BOOL:${LETHE_WERROR}>:-Werror>)
