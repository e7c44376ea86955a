#include "text/grammar/grammar.h"
#include "test.h"
int main(int argc, char **argv)
{
    lm_mem mem;
    llm_error e;
    lm_mem_init(&mem, NULL, 0);
    lm_automaton *a = NULL;
    int kind = atoi(argv[1]);
    if (lm_automaton_new(&mem, kind, 0, argv[2], strlen(argv[2]), NULL, &a, &e) < 0) { printf("%d %s\n", e.status, e.message); return 1; }
    lm_matcher *m; lm_place p; bool legal;
    lm_matcher_new(&mem, a, NULL, 0, &m, &e);
    printf("%u states\n", lm_automaton_n_states(a));
    for (int i = 3; i < argc; i++) {
        lm_matcher_start(m, &p, &e);
        lm_matcher_advance(m, &p, argv[i], strlen(argv[i]), &legal, &e);
        printf("%s: %s\n", argv[i], !legal ? "no" : lm_matcher_may_end(m, p) ? "yes" : "begin");
    }
    lm_matcher_free(m);
    lm_automaton_free(&mem, a);
    printf("%d left\n", (int)mem.used);
}
