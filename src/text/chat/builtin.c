/* SPDX-License-Identifier: MIT
 * Templates for models that bring none: see template.h. Written as Jinja, so that they are rendered like all others. Floor 3. */
#include "text/chat/template.h"

#include <string.h>

static const struct { const char *name, *text; } builtin_rows[] = {
    { "chatml", "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}{% endfor %}"
                "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}" },
    { "zephyr", "{% for message in messages %}{{ '<|' + message.role + '|>\n' + message.content + eos_token + '\n' }}{% endfor %}"
                "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}" },
};

const char *lm_template_builtin_name(size_t i) { return i < LM_COUNT(builtin_rows) ? builtin_rows[i].name : NULL; }

const char *lm_template_builtin(const char *name, size_t len)
{
    for (size_t i = 0; i < LM_COUNT(builtin_rows); i++)
        if (strlen(builtin_rows[i].name) == len && memcmp(builtin_rows[i].name, name, len) == 0)
            return builtin_rows[i].text;
    return NULL;
}
