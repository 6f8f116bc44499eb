# NVIDIA's cudnn-frontend, headers only. They come in the Python package nvidia-cudnn-frontend; tools/setup puts them into
# .deps. Looked for in CUDNN_FRONTEND_ROOT, .deps/cudnn-frontend and the Python environment.
#   CudnnFrontend::headers, CudnnFrontend_VERSION
include(${CMAKE_CURRENT_LIST_DIR}/PythonSites.cmake)
python_sites(frontend_sites)
find_path(CUDNN_FRONTEND_INCLUDE_DIR cudnn_frontend_version.h
          HINTS ${CUDNN_FRONTEND_ROOT} $ENV{CUDNN_FRONTEND_ROOT} ${CMAKE_SOURCE_DIR}/.deps/cudnn-frontend
          PATHS ${frontend_sites} PATH_SUFFIXES include)
mark_as_advanced(CUDNN_FRONTEND_INCLUDE_DIR)
if(CUDNN_FRONTEND_INCLUDE_DIR)
    file(READ ${CUDNN_FRONTEND_INCLUDE_DIR}/cudnn_frontend_version.h frontend_header)
    foreach(part MAJOR MINOR PATCH)
        string(REGEX MATCH "#define CUDNN_FRONTEND_${part}_VERSION ([0-9]+)" matched "${frontend_header}")
        list(APPEND frontend_parts ${CMAKE_MATCH_1})
    endforeach()
    list(JOIN frontend_parts "." CudnnFrontend_VERSION)
    unset(frontend_parts)
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(CudnnFrontend REQUIRED_VARS CUDNN_FRONTEND_INCLUDE_DIR
                                  VERSION_VAR CudnnFrontend_VERSION)
if(CudnnFrontend_FOUND AND NOT TARGET CudnnFrontend::headers)
    add_library(CudnnFrontend::headers INTERFACE IMPORTED)
    target_include_directories(CudnnFrontend::headers INTERFACE ${CUDNN_FRONTEND_INCLUDE_DIR})
    # Functions of cuDNN are looked up when called (cuda/cudnn/library.cpp); our own JSON library stays the only one.
    target_compile_definitions(CudnnFrontend::headers INTERFACE
                               NV_CUDNN_FRONTEND_USE_DYNAMIC_LOADING CUDNN_FRONTEND_SKIP_JSON_LIB)
endif()
