# SPDX-License-Identifier: MIT
# Writes fmath_golden.h: inputs and correctly rounded results of the f64 functions, by mpmath at 400 bits.
#   python3 fmath_golden.py > fmath_golden.h
import random
import mpmath as mp

mp.mp.prec = 400
random.seed(1)


def both(x):
    return [x, -x]


def column(x):
    return float(x).hex()


def table(name, rows):
    print(f"static const double {name}[][{len(rows[0])}] = {{")
    for row in rows:
        print("    { " + ", ".join(column(v) for v in row) + " },")
    print("};")


exps = [0.0, 1.0, -1.0, 0.34657359027997264, 709.78, -708.39, 700.5, -700.5] + [random.uniform(-700, 700) for _ in range(40)]
exps += [random.uniform(-1, 1) * 2.0 ** -random.randrange(0, 40) for _ in range(40)]
logs = [1.0, 2.0, 0.5, 10.0, 10000.0, 1000000.0, 5e-324, 1e-310, 1.7976931348623157e308, 1.0000000000000002, 0.9999999999999999]
logs += [2.0 ** random.uniform(-1000, 1000) for _ in range(40)] + [1 + random.uniform(-1, 1) * 2.0 ** -random.randrange(1, 40) for _ in range(40)]
pows = [(base, -2.0 * j / n) for base in (10000.0, 500000.0, 1000000.0, 10000000.0) for n in (64, 128, 96) for j in range(0, n // 2, 7)]
pows += [(2.0 ** random.uniform(-10, 10), random.uniform(-60, 60)) for _ in range(40)] + [(1.5, 1700.0), (0.75, -2400.0), (1.0000001, 1e9)]
angles = [0.0, 1e-300, 1e-8, 0.7853981633974483, 0.7853981633974484, 1.5707963267948966, 3.141592653589793, 6.283185307179586, 22.0, 355.0,
          5419351.0, 411557987.0, 2.0 ** 20, 2.0 ** 31, 2.0 ** 40]
angles += [random.uniform(0, 100) for _ in range(40)] + [random.uniform(0, 2 ** 20) for _ in range(60)] + [random.uniform(0, 2 ** 40) for _ in range(40)]
angles += [float(mp.pi / 2 * random.randrange(1, 600000)) for _ in range(40)]

print("/* SPDX-License-Identifier: MIT")
print(" * Made by fmath_golden.py: x, f(x); for powers x, y, x^y; for angles x, sin x, cos x. */")
table("golden_exp", [(x, mp.exp(mp.mpf(x))) for x in exps])
table("golden_log", [(x, mp.log(mp.mpf(x))) for x in logs])
table("golden_pow", [(x, y, mp.power(mp.mpf(x), mp.mpf(y))) for x, y in pows])
table("golden_sincos", [(x, mp.sin(mp.mpf(x)), mp.cos(mp.mpf(x))) for a in angles for x in both(a)])
