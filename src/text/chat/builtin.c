/* SPDX-License-Identifier: MIT
 * Templates for models that bring none: see template.h. Written as Jinja, so that they are rendered like all others. Floor 3. */
#include "text/chat/template.h"

#include <string.h>

#define BUILTIN_EACH "{% for message in messages %}"
#define BUILTIN_PROMPT(text) "{% endfor %}{% if add_generation_prompt %}{{ '" text "' }}{% endif %}"
#define BUILTIN_ALTERNATE "{% if (message.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('user and assistant must alternate') }}{% endif %}"

/* mark: a control token by whose text a vocabulary is known to be of this family. */
static const struct { const char *name, *mark, *text; } builtin_rows[] = {
    { "chatml", "<|im_start|>", BUILTIN_EACH "{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}" BUILTIN_PROMPT("<|im_start|>assistant\n") },
    { "llama3", "<|start_header_id|>", "{{ bos_token }}" BUILTIN_EACH
      "{{ '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' + message.content | trim + '<|eot_id|>' }}"
      BUILTIN_PROMPT("<|start_header_id|>assistant<|end_header_id|>\n\n") },
    { "gemma", "<start_of_turn>", "{{ bos_token }}" BUILTIN_EACH
      "{% if message.role == 'system' %}{{ raise_exception('there is no system role') }}{% endif %}" BUILTIN_ALTERNATE
      "{{ '<start_of_turn>' + ('model' if message.role == 'assistant' else message.role) + '\n' + message.content | trim + '<end_of_turn>\n' }}"
      BUILTIN_PROMPT("<start_of_turn>model\n") },
    { "mistral", "[INST]", "{{ bos_token }}" BUILTIN_EACH BUILTIN_ALTERNATE
      "{{ '[INST] ' + message.content + ' [/INST]' if message.role == 'user' else message.content + eos_token }}{% endfor %}" },
    { "phi3", "<|assistant|>", BUILTIN_EACH "{{ '<|' + message.role + '|>\n' + message.content + '<|end|>\n' }}" BUILTIN_PROMPT("<|assistant|>\n") },
    { "zephyr", NULL, BUILTIN_EACH "{{ '<|' + message.role + '|>\n' + message.content + eos_token + '\n' }}" BUILTIN_PROMPT("<|assistant|>\n") },
};
#undef BUILTIN_EACH
#undef BUILTIN_PROMPT
#undef BUILTIN_ALTERNATE

const char *lm_template_builtin_name(size_t i) { return i < LM_COUNT(builtin_rows) ? builtin_rows[i].name : NULL; }
const char *lm_template_builtin_mark(size_t i) { return i < LM_COUNT(builtin_rows) ? builtin_rows[i].mark : NULL; }

const char *lm_template_builtin(const char *name, size_t len)
{
    for (size_t i = 0; i < LM_COUNT(builtin_rows); i++)
        if (strlen(builtin_rows[i].name) == len && memcmp(builtin_rows[i].name, name, len) == 0)
            return builtin_rows[i].text;
    return NULL;
}
