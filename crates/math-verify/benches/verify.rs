//! How fast a pair is verified: simple answers, LaTeX answers, and the worst that a megabyte can hold. Criterion's
//! medians; docs/experiments.md has them beside Math-Verify's.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ruminate_math_verify::{Error, Verdict, verify};
use std::hint::black_box;

const SIMPLE: &[(&str, &str)] = &[
    ("42", "The answer is 42."),
    ("1000.99", "$1,000.99"),
    ("$10/9$", "\\frac{10}{9}"),
    ("$28\\%$", "28 percent"),
    ("$-5$", "so we get $\\boxed{-5}$"),
    ("$x=11$", "Therefore \\boxed{11}."),
    ("$\\frac{3}{4}$", "$0.75$"),
    ("$7$", "\\boxed{8}"),
];

const LATEX: &[(&str, &str)] = &[
    (
        "$\\frac{\\sqrt{\\sqrt{11}+\\sqrt{194}}}{15+2\\sqrt{33}}$",
        "$\\frac{\\sqrt{\\sqrt{11}+\\sqrt{194}}}{2\\sqrt{33}+15}$",
    ),
    ("$\\tan^2(y)+1$", "Thus $\\sec^2(y)$"),
    ("$2\\sqrt{3}+1$", "\\boxed{1+\\sqrt{12}}"),
    ("$x^2+2x+1$", "$\\boxed{(x+1)^2}$"),
    ("$(-\\infty,2)\\cup[3,\\infty)$", "$x \\in \\boxed{[3,\\infty)\\cup(-\\infty,2)}$"),
    ("$-2 \\le x \\le 7$", "$x \\in [-2,7]$"),
    ("$2x+4y-3=0$", "$y=-\\frac{1}{2}x+\\frac{3}{4}$"),
    (
        "$\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}$",
        "\\boxed{\\begin{bmatrix}1&2\\\\3&\\frac{8}{2}\\end{bmatrix}}",
    ),
    ("$\\frac{5\\sqrt{42}}{27}$", "The final answer is $\\frac{10\\sqrt{10.5}}{27}$. I hope it is correct."),
    ("$\\{1\\pm\\sqrt{5},-2\\}$", "the roots are $\\boxed{\\{-2, 1+\\sqrt5, 1-\\sqrt5\\}}$"),
];

fn speed(criterion: &mut Criterion) {
    for (name, pairs) in [("simple", SIMPLE), ("latex", LATEX)] {
        let mut group = criterion.benchmark_group("math");
        group.throughput(Throughput::Elements(pairs.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                for (gold, completion) in pairs {
                    black_box(verify(gold, completion)).expect("a gold answer");
                }
            });
        });
        group.finish();
    }
}

/// A megabyte of this.
fn megabyte(piece: &str) -> String {
    piece.repeat(1_000_000 / piece.len())
}

fn judged(text: &str) -> Result<Verdict, Error> {
    verify("$x+\\sqrt{2}\\sin x$", text)
}

/// Each of these must stay below 50 ms.
fn adversarial(criterion: &mut Criterion) {
    let deep = format!("\\boxed{{{}4{}}}", "{".repeat(500_000), "}".repeat(500_000));
    let texts = [
        ("nested braces", deep),
        ("dollars", megabyte("$x$ ")),
        ("answers", megabyte("answer: ")),
        ("brackets", megabyte(" [1] ")),
        ("boxes", megabyte("\\boxed{4} ")),
        ("digits", megabyte("1 ")),
        ("operators", megabyte("1+")),
        ("tower", "\\boxed{9^{9^{9^{9}}}}".to_owned()),
        ("chains", format!("\\boxed{{9{}}}", "!".repeat(8_000))),
        ("factorials", format!("\\boxed{{{}}}", "9!".repeat(1_000))),
        ("expansion", "\\boxed{((a+b)^{24}+(c+d)^{24})^{24}}".to_owned()),
        ("fractions", "\\boxed{\\frac{3^{12000}+1}{7^{7000}-1}+\\frac{5^{8000}}{11^{5000}+1}}".to_owned()),
        ("sines", format!("\\boxed{{{}1}}", "\\sin x+".repeat(900))),
    ];
    let mut group = criterion.benchmark_group("math/adversarial");
    group.sample_size(20);
    for (name, text) in &texts {
        group.bench_function(*name, |bencher| {
            bencher.iter(|| judged(black_box(text)));
        });
    }
    group.finish();
}

criterion_group!(benches, speed, adversarial);
criterion_main!(benches);
