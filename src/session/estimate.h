/* SPDX-License-Identifier: MIT
 * What a model with one session would hold, from the file's header alone. Floor 9. Threads: shared. */
#ifndef LM_SESSION_ESTIMATE_H
#define LM_SESSION_ESTIMATE_H

#include "session/session.h"

llm_status lm_estimate(llm_engine *engine, const llm_source *const *parts, size_t n_parts, const llm_model_desc *model,
                       const llm_session_desc *session, llm_estimate_info *out, llm_error *error);

#endif
