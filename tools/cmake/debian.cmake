# SPDX-License-Identifier: MIT
# Debian packages, by cpack -G DEB in a build folder configured with -DLLM_DEBIAN=ON -DCMAKE_INSTALL_PREFIX=/usr:
#   libllm0.1      the shared library; its name follows the soname
#   libllm-dev     header, archive, and what CMake and pkg-config look for
#   libllm-tools   the libllm command and the model in the box
# tests/install/test_packages.sh asks lintian of them and installs them.
if(NOT CMAKE_INSTALL_PREFIX STREQUAL "/usr")
  message(FATAL_ERROR "LLM_DEBIAN needs -DCMAKE_INSTALL_PREFIX=/usr: folders of libraries depend on it")
endif()
set(LLM_DEBIAN_MAINTAINER "libllm <libllm@example.org>" CACHE STRING "Who answers for the packages")
set(LLM_DEBIAN_DATE "Thu, 01 Jan 2026 00:00:00 +0000" CACHE STRING "Date of the packages' changelog, as date -R writes it")

set(llm_debian_revision 1)
set(llm_debian_version ${PROJECT_VERSION}-${llm_debian_revision})
set(llm_debian_name_runtime libllm${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
set(llm_debian_name_development libllm-dev)
set(llm_debian_name_tools libllm-tools)

# ---- what Debian wants beside the files: a copyright and a changelog for each package

set(folder ${CMAKE_CURRENT_BINARY_DIR}/debian)
file(READ ${PROJECT_SOURCE_DIR}/LICENSE license)
string(REGEX MATCH "Copyright [^\n]*" holder "${license}")
string(REPLACE "Copyright (c) " "" holder "${holder}")
string(REGEX REPLACE "^.*Copyright [^\n]*\n+" "" license "${license}")
string(STRIP "${license}" license)
string(REPLACE "\n\n" "\n.\n" license "${license}")
string(REPLACE "\n" "\n " license "${license}")
file(WRITE ${folder}/copyright "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: libllm\n\nFiles: *\nCopyright: ${holder}\nLicense: Expat\n\nLicense: Expat\n ${license}\n")
file(WRITE ${folder}/changelog.Debian "libllm (${llm_debian_version}) unstable; urgency=medium\n\n  * Release ${PROJECT_VERSION}.\n\n -- ${LLM_DEBIAN_MAINTAINER}  ${LLM_DEBIAN_DATE}\n")
file(WRITE ${folder}/triggers "activate-noawait ldconfig\n")
find_program(LLM_GZIP gzip REQUIRED)
execute_process(COMMAND ${LLM_GZIP} -9nkf ${folder}/changelog.Debian COMMAND_ERROR_IS_FATAL ANY)
foreach(component runtime development tools)
  install(FILES ${folder}/copyright ${folder}/changelog.Debian.gz DESTINATION share/doc/${llm_debian_name_${component}} COMPONENT ${component})
endforeach()

# ---- the packages

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME libllm)
set(CPACK_PACKAGE_VENDOR libllm)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "embeddable inference library for language models")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL runtime development tools)
set(CPACK_COMPONENTS_GROUPING ONE_PER_GROUP)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE ${llm_debian_revision})
set(CPACK_DEBIAN_PACKAGE_SOURCE libllm)
set(CPACK_DEBIAN_PACKAGE_MAINTAINER "${LLM_DEBIAN_MAINTAINER}")
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)

set(about "A program links it to run a large language model on the machine of its user,\noffline: GGUF weights on the processor, or on a GPU by Vulkan.")
set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME ${llm_debian_name_runtime})
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_CONTROL_EXTRA ${folder}/triggers)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SUGGESTS libvulkan1)
set(CPACK_COMPONENT_RUNTIME_DESCRIPTION "${about}\n.\nThis package has the shared library.")

set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME ${llm_debian_name_development})
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "${llm_debian_name_runtime} (= ${llm_debian_version})")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SHLIBDEPS OFF)
set(CPACK_COMPONENT_DEVELOPMENT_DESCRIPTION "${about}\n.\nThis package has the header, the archive, and files for CMake and pkg-config.")

set(CPACK_DEBIAN_TOOLS_PACKAGE_NAME ${llm_debian_name_tools})
set(CPACK_DEBIAN_TOOLS_PACKAGE_SECTION utils)
set(CPACK_DEBIAN_TOOLS_PACKAGE_SUGGESTS libvulkan1)
set(CPACK_COMPONENT_TOOLS_DESCRIPTION "${about}\n.\nThis package has the libllm command and a small model that tells stories.")
include(CPack)
