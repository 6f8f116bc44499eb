# python_sites(VARIABLE): the site-packages folders of the python3 that is first on the path, be it a virtual environment's.
function(python_sites result)
    set(sites "")
    find_program(PYTHON_FOR_SITES python3)
    mark_as_advanced(PYTHON_FOR_SITES)
    if(PYTHON_FOR_SITES)
        execute_process(COMMAND ${PYTHON_FOR_SITES} -c
                        "import site; print(*site.getsitepackages(), site.getusersitepackages(), sep=';')"
                        OUTPUT_VARIABLE sites OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    endif()
    set(${result} ${sites} PARENT_SCOPE)
endfunction()
