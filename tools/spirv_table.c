/* SPDX-License-Identifier: MIT
 * Compiled shaders to one C table. Built for the machine that builds, run by CMake:
 *
 *     spirv_table OUT VARIANTS NAME:SOURCE:TYPE:FILE.spv...
 *
 * VARIANTS: shaders/variants.list, of which the lines SOURCE.CONSTANT VALUE... are read: what a specialization constant may be.
 * NAME: of the module; SOURCE: the shader that it was made from; TYPE: GGUF's id of its weight type, or -. OUT holds, once a source, what
 * the host must know of it: its push constants as a struct and its specialization constants as numbers, read from the SPIR-V, so that the
 * host never repeats them; and, for whoever defines LM_VK_MODULE_DATA, the code without names and lines, seven bits of a word a byte, the low
 * ones first and the eighth bit where more follow, with its bindings, capabilities and local size. All modules of a source must agree. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_VALUES = 8, MAX_LISTED = 128, MAX_MEMBERS = 32, MAX_SPECS = 16, MAX_MODULES = 256, MAX_PUSH = 128 };
enum { OP_SOURCE_CONTINUED = 2, OP_SOURCE = 3, OP_SOURCE_EXTENSION = 4, OP_NAME = 5, OP_MEMBER_NAME = 6, OP_STRING = 7, OP_LINE = 8, OP_ENTRY_POINT = 15,
       OP_EXECUTION_MODE = 16, OP_CAPABILITY = 17, OP_TYPE_FLOAT = 22, OP_TYPE_STRUCT = 30, OP_TYPE_POINTER = 32, OP_SPEC_TRUE = 48, OP_SPEC_FALSE = 49,
       OP_SPEC_CONSTANT = 50, OP_VARIABLE = 59, OP_DECORATE = 71, OP_MEMBER_DECORATE = 72, OP_NO_LINE = 317, CAPABILITY_SUBGROUPS = 61, CAPABILITY_SHUFFLE = 65 };

typedef struct member { char name[64]; uint32_t offset, type; } member;
typedef struct module {
    char name[64], source[64];
    int type;
    uint32_t *code, n_words, n_kept;
    member members[MAX_MEMBERS];
    uint32_t n_members, is_float[MAX_MEMBERS];
    char specs[MAX_SPECS][64];
    uint32_t bindings, capabilities, local[3];
} module;

/* What a specialization constant may be; n_values 0: anything. */
typedef struct listed { char source[64], name[64]; uint32_t values[MAX_VALUES], n_values, elsewhere; int used; } listed;

static module modules[MAX_MODULES];
static listed list[MAX_LISTED];
static int n_listed;

static void fail(const char *file, const char *why)
{
    fprintf(stderr, "spirv_table: %s: %s\n", file, why);
    exit(1);
}

static void copy_name(char out[64], const uint32_t *words, const char *file)
{
    if (strlen((const char *)words) >= 64)
        fail(file, "a name is too long");
    strcpy(out, (const char *)words);
}

static void read_words(module *m, const char *file)
{
    FILE *f = fopen(file, "rb");
    long size = 0;
    if (!f || fseek(f, 0, SEEK_END) != 0 || (size = ftell(f)) < 20 || size % 4 != 0)
        fail(file, "is no SPIR-V");
    rewind(f);
    m->code = malloc((size_t)size);
    m->n_words = (uint32_t)size / 4;
    if (!m->code || fread(m->code, 4, m->n_words, f) != m->n_words || m->code[0] != 0x07230203)
        fail(file, "is no SPIR-V of this machine's order of bytes");
    fclose(f);
}

typedef struct ids { uint32_t n; char (*names)[64]; uint32_t *set, *binding, *spec, *storage, *pointee; uint8_t *is_float; } ids;

static void *array(uint32_t n, size_t size)
{
    void *p = calloc(n, size);
    if (!p)
        fail("memory", "there is none");
    return p;
}

static void reflect(module *m, const char *file)
{
    uint32_t n = m->code[3], push_struct = 0, members[MAX_MEMBERS] = { 0 }, n_struct = 0;
    ids id = { n, array(n, 64), array(n, 4), array(n, 4), array(n, 4), array(n, 4), array(n, 4), array(n, 1) };
    for (int pass = 0; pass < 2; pass++)                    /* names and decorations stand before types, types before variables */
        for (uint32_t i = 5; i < m->n_words;) {
            const uint32_t *w = m->code + i;
            uint32_t op = w[0] & 0xffff, len = w[0] >> 16;
            if (len == 0 || i + len > m->n_words)
                fail(file, "an instruction passes the end");
            i += len;
            if (pass == 1) {
                if (op == OP_MEMBER_NAME && w[1] == push_struct && w[2] < MAX_MEMBERS)
                    copy_name(m->members[w[2]].name, w + 3, file);
                if (op == OP_MEMBER_DECORATE && w[1] == push_struct && w[3] == 35 && w[2] < MAX_MEMBERS)
                    m->members[w[2]].offset = w[4];
                if (op == OP_TYPE_STRUCT && w[1] == push_struct) {
                    n_struct = len - 2;
                    for (uint32_t k = 0; k < n_struct && k < MAX_MEMBERS; k++)
                        members[k] = w[2 + k];
                }
                continue;
            }
            switch (op) {
            case OP_NAME: copy_name(id.names[w[1]], w + 2, file); break;
            case OP_CAPABILITY:
                if (w[1] >= 29 && w[1] != CAPABILITY_SUBGROUPS && w[1] != CAPABILITY_SHUFFLE)
                    fail(file, "a capability that the table has no bit for");
                m->capabilities |= 1u << (w[1] == CAPABILITY_SUBGROUPS ? 29 : w[1] == CAPABILITY_SHUFFLE ? 30 : w[1]);
                break;
            case OP_EXECUTION_MODE:
                if (w[2] == 17)
                    memcpy(m->local, w + 3, sizeof m->local);
                break;
            case OP_DECORATE:
                if (w[2] == 1)
                    id.spec[w[1]] = w[3] + 1;
                if (w[2] == 34)
                    id.set[w[1]] = w[3] + 1;
                if (w[2] == 33)
                    id.binding[w[1]] = w[3];
                break;
            case OP_TYPE_FLOAT: id.is_float[w[1]] = 1; break;
            case OP_TYPE_POINTER: id.pointee[w[1]] = w[3]; break;
            case OP_SPEC_CONSTANT:
                if (id.spec[w[2]] == 0 || id.spec[w[2]] > MAX_SPECS)
                    fail(file, "a specialization constant without a number below 16");
                memcpy(m->specs[id.spec[w[2]] - 1], id.names[w[2]], 64);
                break;
            case OP_VARIABLE:
                if (w[3] == 9)
                    push_struct = id.pointee[w[1]];
                if (id.set[w[2]] != 0) {
                    if (id.set[w[2]] > 4 || id.binding[w[2]] > 7 || (w[3] != 2 && w[3] != 12))
                        fail(file, "a binding that is no storage buffer of sets 0 to 3");
                    m->bindings |= 1u << (8 * (id.set[w[2]] - 1) + id.binding[w[2]]);
                }
                break;
            default: break;
            }
        }
    if (n_struct > MAX_MEMBERS || 4 * n_struct > MAX_PUSH)
        fail(file, "more than 128 bytes of push constants");
    m->n_members = n_struct;
    for (uint32_t k = 0; k < n_struct; k++) {
        m->is_float[k] = id.is_float[members[k]];
        if (m->members[k].offset != 4 * k)
            fail(file, "push constants that are not words in a row");
    }
    if (n_struct < 2 || strcmp(m->members[0].name, "base_x") != 0 || strcmp(m->members[1].name, "base_y") != 0)
        fail(file, "push constants begin with base_x and base_y, so that any dispatch can be cut");
    free(id.names), free(id.set), free(id.binding), free(id.spec), free(id.storage), free(id.pointee), free(id.is_float);
}

/* Without what only people read. */
static void strip(module *m)
{
    uint32_t at = 5;
    for (uint32_t i = 5; i < m->n_words;) {
        uint32_t op = m->code[i] & 0xffff, len = m->code[i] >> 16;
        if (!((op >= OP_SOURCE_CONTINUED && op <= OP_LINE) || op == OP_NO_LINE)) {
            memmove(m->code + at, m->code + i, len * 4);
            at += len;
        }
        i += len;
    }
    m->n_kept = at;
}

static int same_host_side(const module *a, const module *b)
{
    if (a->n_members != b->n_members || memcmp(a->local, b->local, sizeof a->local) != 0)
        return 0;
    for (uint32_t k = 0; k < a->n_members; k++)
        if (strcmp(a->members[k].name, b->members[k].name) != 0 || a->is_float[k] != b->is_float[k])
            return 0;
    for (uint32_t k = 0; k < MAX_SPECS; k++)
        if (strcmp(a->specs[k], b->specs[k]) != 0)
            return 0;
    return 1;
}

static void write_source(FILE *out, const module *m)
{
    fprintf(out, "\ntypedef struct lm_vk_push_%s {\n", m->source);
    for (uint32_t k = 0; k < m->n_members; k++)
        fprintf(out, "    %s %s;\n", m->is_float[k] ? "float" : "uint32_t", m->members[k].name);
    fprintf(out, "} lm_vk_push_%s;\n", m->source);
    for (uint32_t k = 0; k < MAX_SPECS; k++)
        if (m->specs[k][0]) {
            fprintf(out, "enum { LM_VK_SPEC_");
            for (const char *c = m->source; *c; c++)
                fputc(*c >= 'a' && *c <= 'z' ? *c - 32 : *c, out);
            fprintf(out, "_%s = %u };\n", m->specs[k], k);
        }
}

/* A line SOURCE.CONSTANT VALUE...; others are not for us. */
static void read_line(char *line, const char *file)
{
    char *word = strtok(line, " \t\r\n"), *dot = word && *word != '#' ? strchr(word, '.') : NULL;
    listed *l = &list[n_listed];
    if (!dot)
        return;
    if (n_listed == MAX_LISTED || dot - word > 63 || strlen(dot + 1) > 63)
        fail(file, "more specialization constants than the table has room for");
    memcpy(l->source, word, (size_t)(dot - word));
    strcpy(l->name, dot + 1);
    while ((word = strtok(NULL, " \t\r\n")) && strcmp(word, "*") != 0) {
        if (l->n_values == MAX_VALUES)
            fail(file, "more than eight values of a specialization constant");
        l->elsewhere |= (uint32_t)(*word == '(') << l->n_values;
        l->values[l->n_values++] = (uint32_t)atoi(word + (*word == '('));
    }
    if (!word && l->n_values == 0)
        fail(file, "a specialization constant without a value");
    n_listed++;
}

static void read_list(const char *file)
{
    char line[1024];
    FILE *f = fopen(file, "r");
    if (!f)
        fail(file, "cannot be read");
    while (fgets(line, sizeof line, f))
        read_line(line, file);
    fclose(f);
}

/* Every constant has its line and every line its constant. */
static void write_values(FILE *out, const char *file)
{
    fprintf(out, "\nstatic const lm_vk_spec lm_vk_spec_table[] = {\n");
    for (int i = 0; i < n_listed; i++)
        for (module *m = modules; m->source[0] && !list[i].used; m++)
            for (uint32_t k = 0; k < MAX_SPECS; k++)
                if (strcmp(m->source, list[i].source) == 0 && strcmp(m->specs[k], list[i].name) == 0) {
                    list[i].used = 1;
                    fprintf(out, "    { \"%s\", \"%s\", %u, %u, 0x%x, {", list[i].source, list[i].name, k, list[i].n_values, list[i].elsewhere);
                    for (uint32_t v = 0; v < MAX_VALUES; v++)
                        fprintf(out, " %u,", list[i].values[v]);
                    fprintf(out, " } },\n");
                }
    fprintf(out, "};\n");
    for (int i = 0; i < n_listed; i++)
        if (!list[i].used)
            fail(file, "a specialization constant is listed that no shader has");
    for (const module *m = modules; m->source[0]; m++)
        for (uint32_t k = 0; k < MAX_SPECS; k++) {
            int found = m->specs[k][0] == 0;
            for (int i = 0; i < n_listed; i++)
                found = found || (strcmp(list[i].source, m->source) == 0 && strcmp(list[i].name, m->specs[k]) == 0);
            if (!found) {
                fprintf(stderr, "spirv_table: %s.%s: ", m->source, m->specs[k]);
                fail(file, "does not say what this specialization constant may be");
            }
        }
}

static void write_code(FILE *out, const module *m)
{
    uint32_t n = 0;
    fprintf(out, "\nstatic const uint8_t lm_vk_code_%s[] = {", m->name);
    for (uint32_t i = 0; i < m->n_kept; i++)
        for (uint32_t word = m->code[i], more = 1; more; word >>= 7, n++) {
            more = word >= 128;
            fprintf(out, "%s%u,", n % 32 ? "" : "\n", (word & 127) | (more ? 128 : 0));
        }
    fprintf(out, "\n};\n");
}

static void write_by_type(FILE *out, int n, const module *m)
{
    fprintf(out, "static const uint16_t lm_vk_%s_of_type[64] = {", m->source);        /* module + 1; 0: none */
    for (int i = 0; i < n; i++)
        if (strcmp(modules[i].source, m->source) == 0)
            fprintf(out, " [%d] = %d,", modules[i].type, i + 1);
    fprintf(out, " };\n");
}

int main(int argc, char **argv)
{
    int n = argc - 3;
    if (argc < 4 || n >= MAX_MODULES) {
        fprintf(stderr, "usage: spirv_table OUT VARIANTS NAME:SOURCE:TYPE:FILE.spv...\n");
        return 2;
    }
    for (int i = 0; i < n; i++) {
        char type[8];
        int at = 0;
        module *m = &modules[i];
        if (sscanf(argv[i + 3], "%63[^:]:%63[^:]:%7[^:]:%n", m->name, m->source, type, &at) != 3 || at == 0)
            fail(argv[i + 3], "is not NAME:SOURCE:TYPE:FILE");
        m->type = strcmp(type, "-") == 0 ? -1 : atoi(type);
        if (m->type > 63)
            fail(argv[i + 3], "types are numbers below 64");
        read_words(m, argv[i + 3] + at);
        reflect(m, argv[i + 3] + at);
        strip(m);
    }
    read_list(argv[2]);
    FILE *out = fopen(argv[1], "w");
    if (!out)
        fail(argv[1], "cannot be written");
    fprintf(out, "/* Made by tools/spirv_table.c from shaders/. Not edited by hand. */\n");
    for (int i = 0; i < n; i++) {
        int first = 0;
        while (strcmp(modules[first].source, modules[i].source) != 0)
            first++;
        if (first == i)
            write_source(out, &modules[i]);
        else if (!same_host_side(&modules[first], &modules[i]))
            fail(modules[i].name, "its push constants, specialization constants or local size are not those of its source's first module");
    }
    fprintf(out, "\nenum {\n");
    for (int i = 0; i < n; i++)
        fprintf(out, "    LM_VK_MODULE_%s,\n", modules[i].name);
    fprintf(out, "    LM_VK_MODULES\n};\n\n#ifdef LM_VK_MODULE_DATA\n");
    for (int i = 0; i < n; i++)
        write_code(out, &modules[i]);
    fprintf(out, "\nstatic const lm_vk_module lm_vk_module_table[] = {\n");
    for (int i = 0; i < n; i++)
        fprintf(out, "    { \"%s\", \"%s\", lm_vk_code_%s, %u, %u, 0x%x, 0x%x, %u, %d },\n", modules[i].name, modules[i].source, modules[i].name, modules[i].n_kept, 4 * modules[i].n_members,
                modules[i].bindings, modules[i].capabilities, modules[i].local[0] * modules[i].local[1] * modules[i].local[2], modules[i].type);
    fprintf(out, "};\n");
    write_values(out, argv[2]);
    for (int i = 0; i < n; i++) {
        int first = 0;
        while (strcmp(modules[first].source, modules[i].source) != 0)
            first++;
        if (first == i && modules[i].type >= 0)
            write_by_type(out, n, &modules[i]);
    }
    fprintf(out, "#endif\n");
    if (fclose(out) != 0)
        fail(argv[1], "cannot be written");
    return 0;
}
