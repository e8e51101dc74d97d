# Installs BUILD, and moves what was installed to STAGE: a package that names its first place is of no use there.
file(REMOVE_RECURSE ${STAGE} ${STAGE}.first)
execute_process(COMMAND ${CMAKE_COMMAND} --install ${BUILD} --prefix ${STAGE}.first COMMAND_ERROR_IS_FATAL ANY)
file(RENAME ${STAGE}.first ${STAGE})
