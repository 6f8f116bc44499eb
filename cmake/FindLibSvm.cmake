# libsvm (Debian: libsvm-dev), which has no CMake file of its own.
find_path(LIBSVM_INCLUDE_DIR libsvm/svm.h)
find_library(LIBSVM_LIBRARY svm)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibSvm REQUIRED_VARS LIBSVM_LIBRARY LIBSVM_INCLUDE_DIR)
if(LibSvm_FOUND AND NOT TARGET LibSvm::svm)
    add_library(LibSvm::svm UNKNOWN IMPORTED)
    set_target_properties(LibSvm::svm PROPERTIES IMPORTED_LOCATION ${LIBSVM_LIBRARY}
                          INTERFACE_INCLUDE_DIRECTORIES ${LIBSVM_INCLUDE_DIR})
endif()
