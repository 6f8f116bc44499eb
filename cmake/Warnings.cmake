# The highest useful level. -Wconversion is on except for the sign and float-to-float kinds, which drown the rest.
add_library(lethe_warnings INTERFACE)
target_compile_options(lethe_warnings INTERFACE
    -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Wcast-align -Woverloaded-virtual
    -Wnull-dereference -Wdouble-promotion -Wformat=2 -Wimplicit-fallthrough
    $<$<CXX_COMPILER_ID:GNU>:-Wduplicated-cond -Wlogical-op>
    $<$<BOOL:${LETHE_WERROR}>:-Werror>)
