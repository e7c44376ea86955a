/* SPDX-License-Identifier: MIT
 * English without the spaces that some vocabularies leave before punctuation: what Hugging Face calls clean_up_tokenization_spaces.
 * Ten replacements in their order, each through the whole text from left to right. */
#include "text/encoder.h"

typedef struct clean_rule { const char *find; uint8_t from, len; } clean_rule;     /* kept of it: find[from, from + len) */
static const clean_rule clean_rules[] = {
    { " .", 1, 1 }, { " ?", 1, 1 }, { " !", 1, 1 }, { " ,", 1, 1 }, { " ' ", 1, 1 },
    { " n't", 1, 3 }, { " 'm", 1, 2 }, { " 's", 1, 2 }, { " 've", 1, 3 }, { " 're", 1, 3 },
};

size_t lm_clean_spaces(char *text, size_t len)
{
    for (size_t i = 0; i < LM_COUNT(clean_rules); i++) {
        const clean_rule *rule = &clean_rules[i];
        size_t n_find = strlen(rule->find), to = 0;
        for (size_t at = 0; at < len;) {
            if (text[at] == ' ' && len - at >= n_find && memcmp(text + at, rule->find, n_find) == 0) {
                memcpy(text + to, rule->find + rule->from, rule->len);      /* to + len <= at + n_find: nothing unread is lost */
                to += rule->len;
                at += n_find;
            } else {
                text[to++] = text[at++];
            }
        }
        len = to;
    }
    return len;
}
