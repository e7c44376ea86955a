# SPDX-License-Identifier: MIT
# cmake -DARCHIVE=x.tar.gz -DFOLDER=out [-DPATTERN=*.json] -P unpack.cmake: unpacks once, and lists the .html files (or those) in
# out/files.txt, a path a line.
# Without the archive it does nothing: the test that wants the files is skipped then.
if(EXISTS ${ARCHIVE} AND NOT EXISTS ${FOLDER}/files.txt)
  file(MAKE_DIRECTORY ${FOLDER})
  execute_process(COMMAND ${CMAKE_COMMAND} -E tar xf ${ARCHIVE} WORKING_DIRECTORY ${FOLDER} RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "cannot unpack ${ARCHIVE}: ${failed}")
  endif()
  if(NOT PATTERN)
    set(PATTERN *.html)
  endif()
  file(GLOB_RECURSE files ${FOLDER}/${PATTERN})
  list(SORT files)
  list(JOIN files "\n" files)
  file(WRITE ${FOLDER}/files.txt "${files}\n")
endif()
