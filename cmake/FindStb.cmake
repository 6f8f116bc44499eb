# The stb single-header libraries (Debian: libstb-dev). data/stb.cpp holds their implementation.
find_path(STB_INCLUDE_DIR stb/stb_image.h)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Stb REQUIRED_VARS STB_INCLUDE_DIR)
if(Stb_FOUND AND NOT TARGET Stb::stb)
    add_library(Stb::stb INTERFACE IMPORTED)
    set_target_properties(Stb::stb PROPERTIES INTERFACE_INCLUDE_DIRECTORIES ${STB_INCLUDE_DIR}
                          INTERFACE_SYSTEM_INCLUDE_DIRECTORIES ${STB_INCLUDE_DIR})
endif()
