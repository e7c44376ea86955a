/* SPDX-License-Identifier: MIT
 * Floor 0 without the system: messages and their formatter, UTF-8, halves, checked sizes, random numbers. */
#include "base/half.h"
#include "base/host.h"
#include "base/rand.h"
#include "base/size.h"
#include "base/status.h"
#include "base/utf8.h"

#include "test.h"

#include <locale.h>
#include <math.h>

static uint64_t text_seed = 88172645463325252u;
static uint64_t text_random(void)
{
    text_seed ^= text_seed << 13;
    text_seed ^= text_seed >> 7;
    text_seed ^= text_seed << 17;
    return text_seed;
}

static void check_g(double x)
{
    char ours[64], theirs[64];
    lm_print(ours, sizeof ours, "%g", x);
    snprintf(theirs, sizeof theirs, "%g", x);
    /* Halfway between two numbers of six digits either may be shown. */
    CHECK_MSG(strcmp(ours, theirs) == 0 || fabs(fabs(strtod(ours, NULL) - x) - fabs(strtod(theirs, NULL) - x)) <= 1e-14 * fabs(x), "%s, printf says %s", ours, theirs);
}

static void test_format(void)
{
    static const double numbers[] = { 0,      1,    -1.5, 0.1,     123456,        1234567,       1e-5, 0.0001234, 3.14159265, 1e300, 5e-324, 2.2e-308, 1.7976931348623157e308,
                                      999999.5, 1e21, 0.5,  999999.4, 0.00099999999, 9.9999951e-5, 100,  10,        1e6,        1e5 };
    char out[128], small[6] = "xxxxx";
    CHECK(lm_print(out, sizeof out, "%s|%.*s|%c|%d|%u|%lld|%llu|%zu|%x|%llx|%%", "a", 2, "bcd", 'e', -2147483647 - 1, 4294967295u, (long long)INT64_MIN,
                   (unsigned long long)UINT64_MAX, (size_t)9, 255u, 1ull << 60) == strlen(out));
    CHECK(strcmp(out, "a|bc|e|-2147483648|4294967295|-9223372036854775808|18446744073709551615|9|ff|1000000000000000|%") == 0);
    CHECK(lm_print(out, sizeof out, "%.*s", 3, "a\0b") == 3 && strcmp(out, "a?b") == 0);
    CHECK(lm_print(out, sizeof out, "%s", (const char *)NULL) > 0);
    CHECK(lm_print(small, 4, "%s%d", "ab", 12345) == 3 && strcmp(small, "ab1") == 0 && small[4] == 'x');
    CHECK(lm_print(small, 0, "%s", "ab") == 0 && small[0] == 'a');
    for (size_t i = 0; i < LM_COUNT(numbers); i++)
        check_g(numbers[i]);
    for (int i = 0; i < 200000; i++) {
        uint64_t bits = text_random();
        double x;
        memcpy(&x, &bits, 8);
        if (isfinite(x))
            check_g(x);
        check_g((double)(int64_t)(text_random() >> 40) / 1000);
    }
    CHECK(lm_print(out, sizeof out, "%g %g %g", (double)INFINITY, -(double)INFINITY, (double)NAN) > 0 && strncmp(out, "inf -inf nan", 12) == 0);
    if (setlocale(LC_ALL, "de_DE.UTF-8") || setlocale(LC_ALL, "fr_FR.UTF-8")) {
        CHECK(lm_print(out, sizeof out, "%g", 1.5) == 3 && strcmp(out, "1.5") == 0);
        setlocale(LC_ALL, "C");
    }
}

static void test_errors(void)
{
    llm_error error;
    char longer[1000];
    memset(&error, 0xff, sizeof error);
    memset(longer, 'x', sizeof longer);
    CHECK(lm_fail(&error, LLM_E_IO, "cannot read %s", "it") == LLM_E_IO);
    CHECK(error.status == LLM_E_IO && strcmp(error.message, "cannot read it") == 0 && error.message_len == 14 && error.offset == UINT64_MAX && error.subject[0] == 0);
    CHECK(lm_fail(NULL, LLM_E_IO, "nothing") == LLM_E_IO);
    CHECK(lm_fail_at(&error, LLM_E_FORMAT, longer, sizeof longer, 7, "%.*s", 1000, longer) == LLM_E_FORMAT);
    CHECK(error.offset == 7 && strlen(error.subject) == sizeof error.subject - 1 && strcmp(error.subject + sizeof error.subject - 4, "...") == 0);
    CHECK(error.message_len == sizeof error.message - 1 && strlen(error.message) == error.message_len);
    /* what a file says cannot break a terminal, nor the UTF-8 of a binding */
    lm_fail_at(&error, LLM_E_FORMAT, "a\033[2J\xff", 6, 0, "%.*s", 9, "\xc3\xa4\n\xed\xa0\x80z\x9b\xc3");
    CHECK(strcmp(error.subject, "a?[2J?") == 0);
    CHECK_MSG(lm_utf8_valid(error.message, error.message_len) && strncmp(error.message, "\xc3\xa4?", 3) == 0 && !strchr(error.message, '\n'), "%s", error.message);
    for (size_t pad = 370; pad < 384; pad++) {              /* a message is never cut inside a character */
        lm_fail(&error, LLM_E_IO, "%.*s%s", (int)pad, longer, "\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80");
        CHECK(lm_utf8_valid(error.message, strlen(error.message)));
    }
    CHECK(lm_fail_memory(&error, "a thing", 12) == LLM_E_MEMORY && strcmp(error.message, "out of memory: a thing needs 12 bytes") == 0);
    lm_error_clear(&error);
    CHECK(error.status == LLM_OK && error.message[0] == 0 && error.message_len == 0);
    lm_error_clear(NULL);
}

typedef struct text_log { int32_t level; char text[64]; int n; } text_log;
static void text_write(void *user, int32_t level, const char *text, size_t len)
{
    text_log *log = user;
    log->level = level;
    log->n++;
    snprintf(log->text, sizeof log->text, "%.*s", (int)len, text);
}

static void test_log(void)
{
    text_log log = { 0 };
    lm_host host;
    memset(&host, 0, sizeof host);
    lm_log(&host, LLM_LOG_ERROR, "nobody listens");
    host.logger.write = text_write;
    host.logger.user = &log;
    lm_log(&host, LLM_LOG_INFO, "too much");
    CHECK(log.n == 0);
    lm_log(&host, LLM_LOG_WARN, "%d of %s", 3, "four");
    CHECK(log.n == 1 && log.level == LLM_LOG_WARN && strcmp(log.text, "3 of four") == 0);
    host.logger.level = LLM_LOG_DEBUG;
    lm_log(&host, LLM_LOG_DEBUG, "all");
    CHECK(log.n == 2);
}

static void test_utf8(void)
{
    /* Unicode 15, table 3-11 and its neighbours: E1 80 E2 F0 91 92 F1 BF 41 has four replacements before the A */
    static const char mixed[] = "\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41";
    static const size_t lengths[] = { 2, 1, 3, 2, 1 };
    static const struct { const char *text; size_t len; } bad[] = { { "\xc0\xaf", 2 },     { "\xe0\x80\xbf", 3 }, { "\xf0\x81\x82\x41", 4 }, { "\xed\xa0\x80", 3 },
                                                                     { "\xf4\x91\x92\x93", 4 }, { "\xff", 1 },         { "\x80", 1 },             { "a\xc3", 2 } };
    char out[4];
    uint32_t cp;
    size_t at = 0;
    for (size_t i = 0; i < LM_COUNT(lengths); i++) {
        CHECK(lm_utf8_decode(mixed + at, sizeof mixed - 1 - at, false, &cp) == lengths[i]);
        CHECK(cp == (i == 4 ? 0x41u : 0xfffdu));
        at += lengths[i];
    }
    for (size_t i = 0; i < LM_COUNT(bad); i++)
        CHECK(!lm_utf8_valid(bad[i].text, bad[i].len));
    CHECK(lm_utf8_valid("", 0) && lm_utf8_valid("plain ascii, long enough for eight", 34) && lm_utf8_valid("\xef\xbf\xbd", 3));
    CHECK(!lm_utf8_valid("eight by\xc3te", 11));
    CHECK(lm_utf8_decode("\xe2\x82", 2, true, &cp) == 0 && cp == 0xfffd);
    CHECK(lm_utf8_decode("\xe2\x82", 2, false, &cp) == 2 && cp == 0xfffd);
    CHECK(lm_utf8_decode("\xe2\x28", 2, true, &cp) == 1 && cp == 0xfffd);
    CHECK(lm_utf8_decode("", 0, true, &cp) == 0);
    for (uint32_t c = 0; c <= 0x10ffff; c++) {
        size_t n = lm_utf8_encode(c, out), m = lm_utf8_decode(out, n, false, &cp);
        uint32_t expected = c >= 0xd800 && c < 0xe000 ? 0xfffd : c;
        if (n != m || cp != expected || !lm_utf8_valid(out, n)) {
            CHECK_MSG(0, "U+%x", (unsigned)c);
            break;
        }
        for (size_t cut = 1; cut < n; cut++)
            if (lm_utf8_decode(out, cut, true, &cp) != 0 || lm_utf8_decode(out, cut, false, &cp) != cut || lm_utf8_valid(out, cut)) {
                CHECK_MSG(0, "U+%x cut at %zu", (unsigned)c, cut);
                break;
            }
    }
    CHECK(lm_utf8_encode(0x110000, out) == 3 && memcmp(out, "\xef\xbf\xbd", 3) == 0);
}

/* What a half means, straight from IEEE 754. */
static double half_value(uint16_t h)
{
    int exponent = (h >> 10) & 31, mantissa = h & 1023;
    double x = exponent == 0 ? ldexp(mantissa, -24) : ldexp(1024 + mantissa, exponent - 25);
    return h & 0x8000 ? -x : x;
}

static void test_half(void)
{
    uint16_t below, above;
    for (uint32_t h = 0; h < 65536; h++) {
        float x = lm_f32_from_f16((uint16_t)h);
        if (((h >> 10) & 31) == 31) {
            uint32_t quiet = (h & 1023) ? (h | 0x200) : h;
            CHECK((h & 1023) ? isnan(x) : isinf(x));
            CHECK(lm_f16_from_f32(x) == quiet);
        } else {
            CHECK((double)x == half_value((uint16_t)h));
            CHECK(lm_f16_from_f32(x) == h);
        }
        CHECK(lm_bits_from_f32(lm_f32_from_bf16((uint16_t)h)) == h << 16);
    }
    /* Between two neighbours the nearer wins, halfway the even one; 65520 and up are infinite. */
    for (below = 0; below < 0x7bff; below++) {
        above = (uint16_t)(below + 1);
        double a = half_value(below), b = half_value(above), middle = (a + b) / 2;
        float half_way = (float)middle, less = nextafterf(half_way, 0), more = nextafterf(half_way, 1e9f);
        CHECK(lm_f16_from_f32(half_way) == (below & 1 ? above : below));
        CHECK(lm_f16_from_f32(less) == below && lm_f16_from_f32(more) == above);
        CHECK(lm_f16_from_f32(-less) == (below | 0x8000) && lm_f16_from_f32(-more) == (above | 0x8000));
    }
    CHECK(lm_f16_from_f32(65519.996f) == 0x7bff && lm_f16_from_f32(65520.0f) == 0x7c00 && lm_f16_from_f32(1e30f) == 0x7c00 && lm_f16_from_f32(-1e30f) == 0xfc00);
    CHECK(lm_f16_from_f32(1e-30f) == 0 && lm_f16_from_f32(-1e-30f) == 0x8000);
}

static void test_sizes(void)
{
    uint64_t out = 5;
    CHECK(!lm_add_u64(UINT64_MAX, 1, &out) && !lm_mul_u64(1ull << 32, 1ull << 32, &out) && !lm_align_u64(UINT64_MAX - 3, 32, &out) && out == 5);
    CHECK(lm_add_u64(UINT64_MAX - 1, 1, &out) && out == UINT64_MAX);
    CHECK(lm_mul_u64(UINT64_MAX, 1, &out) && out == UINT64_MAX && lm_mul_u64(UINT64_MAX, 0, &out) && out == 0);
    CHECK(lm_align_u64(33, 32, &out) && out == 64 && lm_align_u64(0, 32, &out) && out == 0);
    CHECK(lm_is_pow2(1) && lm_is_pow2(1ull << 63) && !lm_is_pow2(0) && !lm_is_pow2(12));
}

static void test_rand(void)
{
    /* Known answers of Random123 (kat_vectors, philox4x32 10). Counter words low first, key words low first. */
    static const struct { uint64_t counter, stream, seed; uint32_t out[4]; } known[] = {
        { 0, 0, 0, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
        { UINT64_MAX, UINT64_MAX, UINT64_MAX, { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
        { 0x85a308d3243f6a88u, 0x0370734413198a2eu, 0x299f31d0a4093822u, { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
    };
    uint32_t out[4];
    double sum = 0, low = 1, high = 0;
    for (size_t i = 0; i < LM_COUNT(known); i++) {
        lm_philox(known[i].seed, known[i].counter, known[i].stream, out);
        CHECK_MSG(memcmp(out, known[i].out, sizeof out) == 0, "%08x %08x %08x %08x", (unsigned)out[0], (unsigned)out[1], (unsigned)out[2], (unsigned)out[3]);
    }
    for (uint64_t i = 0; i < 100000; i++) {
        double x = lm_uniform(7, i, 1);
        sum += x;
        low = x < low ? x : low;
        high = x > high ? x : high;
    }
    CHECK(low >= 0 && high < 1 && low < 1e-3 && high > 1 - 1e-3 && fabs(sum / 100000 - 0.5) < 0.005);
    CHECK(lm_uniform(1, 2, 3) == lm_uniform(1, 2, 3) && lm_uniform(1, 2, 3) != lm_uniform(1, 2, 4) && lm_uniform(1, 2, 3) != lm_uniform(1, 3, 3));
}

int main(void)
{
    test_format();
    test_errors();
    test_log();
    test_utf8();
    test_half();
    test_sizes();
    test_rand();
    return TEST_DONE();
}
