/* SPDX-License-Identifier: MIT
 * A fuzz target as a test: its seeds, the files of the folder tests/fuzz/found/TARGET, then mutations of the seeds, always the same ones.
 *
 *     replay_TARGET [-n ROUNDS] [-s SEED] [-k FILE] [FILE or FOLDER...]
 *
 * -k: each input is written there before it is run. */
#define _GNU_SOURCE 1
#include "fuzz.h"

#include "test.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed) __attribute__((weak));

enum { REPLAY_MOST = 32 * 1024, REPLAY_SEEDS = 512 };
static struct { uint8_t *data; size_t size; } replay_seeds[REPLAY_SEEDS];
static size_t replay_n;
static uint64_t replay_x = 88172645463325252u;

static uint32_t replay_random(uint32_t n)
{
    replay_x ^= replay_x << 13, replay_x ^= replay_x >> 7, replay_x ^= replay_x << 17;
    return (uint32_t)(replay_x >> 32) % n;
}

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size)
{
    size_t at = size ? replay_random((uint32_t)size) : 0, n;
    if (max_size == 0)
        return 0;
    switch (size ? replay_random(6) : 5) {
    case 0: data[at] ^= (uint8_t)(1u << replay_random(8)); return size;
    case 1: data[at] = (uint8_t)replay_random(256); return size;
    case 2: data[at] = (uint8_t)(data[at] + replay_random(9) - 4); return size;
    case 3:                                                 /* a piece goes */
        n = 1 + replay_random((uint32_t)(size - at));
        memmove(data + at, data + at + n, size - at - n);
        return size - n ? size - n : 1;
    case 4:                                                 /* a piece stands twice */
        n = 1 + replay_random((uint32_t)(size - at));
        n = n < max_size - size ? n : max_size - size;
        memmove(data + at + n, data + at, size - at);
        return size + n;
    default:
        if (size == max_size)
            return size;
        memmove(data + at + 1, data + at, size - at);
        data[at] = (uint8_t)replay_random(256);
        return size + 1;
    }
}

/* What is being run, for whom it breaks. */
static const char *replay_keep;
static void replay_run(const void *data, size_t size)
{
    FILE *keep = replay_keep ? fopen(replay_keep, "wb") : NULL;
    if (keep) {
        fwrite(data, 1, size, keep);
        fclose(keep);
    }
    uint8_t *copy = calloc(size ? size : 1, 1);             /* its end is a border that a sanitizer sees */
    if (size)
        memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static void replay_seed(const char *name, const void *data, size_t size)
{
    (void)name;
    replay_run(data, size);
    if (replay_n == REPLAY_SEEDS)
        return;
    replay_seeds[replay_n].data = malloc(size ? size : 1);
    replay_seeds[replay_n].size = size;
    if (size)
        memcpy(replay_seeds[replay_n].data, data, size);
    replay_n++;
}

static int replay_path(const char *path)
{
    DIR *dir = opendir(path);
    FILE *file;
    char name[2048];
    static uint8_t data[1 << 22];
    int n = 0;
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        if (entry->d_name[0] != '.') {
            snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
            n += replay_path(name);
        }
    if (dir) {
        closedir(dir);
        return n;
    }
    file = fopen(path, "rb");
    if (!file)
        return 0;
    replay_run(data, fread(data, 1, sizeof data, file));
    fclose(file);
    return 1;
}

static void replay_mutate(long rounds)
{
    static uint8_t data[REPLAY_MOST];
    for (long i = 0; i < rounds; i++) {
        size_t pick = replay_random((uint32_t)replay_n), size = replay_seeds[pick].size;
        if (size > sizeof data)
            continue;
        if (size)
            memcpy(data, replay_seeds[pick].data, size);
        for (uint32_t k = 0, n = 1 + replay_random(3); k < n; k++)
            size = LLVMFuzzerCustomMutator ? LLVMFuzzerCustomMutator(data, size, sizeof data, replay_random(UINT32_MAX)) : LLVMFuzzerMutate(data, size, sizeof data);
        replay_run(data, size);
    }
}

int main(int argc, char **argv)
{
    long rounds = TEST_EMULATED ? FUZZ_ROUNDS / 20 : FUZZ_ROUNDS;
    int n = 0, at = 1;
    LLVMFuzzerInitialize(&argc, &argv);
    for (; at + 1 < argc && argv[at][0] == '-'; at += 2) {
        if (strcmp(argv[at], "-n") == 0)
            rounds = strtol(argv[at + 1], NULL, 10);
        else if (strcmp(argv[at], "-k") == 0)
            replay_keep = argv[at + 1];
        else if (strcmp(argv[at], "-s") == 0)
            replay_x ^= strtoull(argv[at + 1], NULL, 10) * 0x9e3779b97f4a7c15u;
    }
    fuzz_seeds(replay_seed);
    if (at == argc)
        n = replay_path(LLM_TEST_TREE "/fuzz/found/" FUZZ_TARGET);
    for (; at < argc; at++)
        n += replay_path(argv[at]);
    if (replay_n)
        replay_mutate(rounds);
    printf("%zu seeds, %d files, %ld mutations\n", replay_n, n, rounds);
    for (size_t i = 0; i < replay_n; i++)
        free(replay_seeds[i].data);
    return 0;
}
