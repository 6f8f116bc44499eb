# Looks for nvcc and, where it is, enables the CUDA language. Sets LETHE_CUDA_FOUND.
set(LETHE_CUDA AUTO CACHE STRING "Build the CUDA backend: ON, OFF, or AUTO (where nvcc is found)")
set_property(CACHE LETHE_CUDA PROPERTY STRINGS AUTO ON OFF)

set(LETHE_CUDA_FOUND OFF)
if(LETHE_CUDA)
    find_program(LETHE_NVCC nvcc HINTS $ENV{CUDA_HOME}/bin PATHS /usr/local/cuda/bin)
    mark_as_advanced(LETHE_NVCC)
    if(LETHE_NVCC)
        # Nothing asks a GPU: machine code for Hopper, and PTX from which drivers of later chips compile their own.
        if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
            set(CMAKE_CUDA_ARCHITECTURES 90)
        endif()
        set(CMAKE_CUDA_COMPILER ${LETHE_NVCC})
        enable_language(CUDA)
        # CMake 3.25 does not know yet that nvcc 12 and later speak C++20.
        set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
        set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
        set(CMAKE_CUDA_STANDARD 20)
        find_package(CUDAToolkit REQUIRED)
        find_package(CUDNN 9.8 QUIET)
        find_package(CudnnFrontend 1.32 QUIET)
        set(LETHE_CUDA_FOUND ON)
    elseif(NOT LETHE_CUDA STREQUAL AUTO)
        message(FATAL_ERROR "LETHE_CUDA is ${LETHE_CUDA}, but nvcc was found neither on PATH nor in /usr/local/cuda/bin; "
            "install the CUDA Toolkit, or configure with -DLETHE_CUDA=OFF")
    endif()
endif()
