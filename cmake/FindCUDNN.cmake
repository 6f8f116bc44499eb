# cuDNN 9: its headers, and the file that is opened at run time (nothing is linked). Looked for in CUDNN_ROOT, beside the
# CUDA toolkit, in the system's folders, and in the nvidia packages of the Python environment, whose lib/ has
# libcudnn.so.9 but no libcudnn.so.
#   CUDNN::headers, CUDNN_LIBRARY, CUDNN_VERSION
include(${CMAKE_CURRENT_LIST_DIR}/PythonSites.cmake)
python_sites(cudnn_sites)
set(cudnn_places ${CUDAToolkit_TARGET_DIR} ${CUDAToolkit_LIBRARY_ROOT} $ENV{CUDA_HOME} /usr/local/cuda)
list(TRANSFORM cudnn_sites APPEND /nvidia/cudnn)
find_path(CUDNN_INCLUDE_DIR cudnn_graph.h HINTS ${cudnn_places} PATHS ${cudnn_sites} PATH_SUFFIXES include)
# The library beside the headers, so that the two are of one version.
cmake_path(GET CUDNN_INCLUDE_DIR PARENT_PATH cudnn_home)
find_library(CUDNN_LIBRARY NAMES libcudnn.so.9 HINTS ${cudnn_home} ${cudnn_places} PATHS ${cudnn_sites}
             PATH_SUFFIXES lib64 lib lib/${CMAKE_LIBRARY_ARCHITECTURE})
if(CUDNN_INCLUDE_DIR AND EXISTS ${CUDNN_INCLUDE_DIR}/cudnn_version.h)
    file(READ ${CUDNN_INCLUDE_DIR}/cudnn_version.h cudnn_header)
    foreach(part MAJOR MINOR PATCHLEVEL)
        string(REGEX MATCH "#define CUDNN_${part} ([0-9]+)" matched "${cudnn_header}")
        list(APPEND cudnn_parts ${CMAKE_MATCH_1})
    endforeach()
    list(JOIN cudnn_parts "." CUDNN_VERSION)
    unset(cudnn_parts)
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(CUDNN REQUIRED_VARS CUDNN_LIBRARY CUDNN_INCLUDE_DIR VERSION_VAR CUDNN_VERSION)
mark_as_advanced(CUDNN_INCLUDE_DIR CUDNN_LIBRARY)
if(CUDNN_FOUND AND NOT TARGET CUDNN::headers)
    add_library(CUDNN::headers INTERFACE IMPORTED)
    target_include_directories(CUDNN::headers INTERFACE ${CUDNN_INCLUDE_DIR})
endif()
