/* SPDX-License-Identifier: MIT
 * The Vulkan backend as one file, beside llm_all.c: both are compiled with -DLM_VULKAN=1, this one with -Igenerated too, where the shaders' table lies
 * (a release archive has it), and Vulkan's headers in the compiler's path. The same files in the same order as in CMakeLists.txt. */
#define LM_VK_MODULE_DATA 1             /* before the first look at the table: pipelines.c has it */
#include "backend/vulkan/entry.c"
#include "backend/vulkan/device.c"
#include "backend/vulkan/memory.c"
#include "backend/vulkan/pipelines.c"
#include "backend/vulkan/planes.c"
#include "backend/vulkan/state.c"
#include "backend/vulkan/plan.c"
#include "backend/vulkan/exec.c"
#include "backend/vulkan/run.c"
#include "backend/vulkan/cache.c"
#include "backend/vulkan/report.c"
#include "backend/vulkan/selftest.c"
#include "backend/vulkan/selftest_ops.c"
#include "backend/vulkan/vulkan.c"
