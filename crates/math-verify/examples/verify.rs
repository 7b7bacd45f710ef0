//! Reads lines of `gold<TAB>answer` from standard input and prints for each `equal`, `different`, or why neither
//! is known.
//!
//!     printf '1/2\t0.5\nx^2-1\t(x+1)(x-1)\n' | cargo run -p ruminate-math-verify --example verify

use ruminate_math_verify::equal;
use std::io::{self, BufWriter, Write};

fn main() -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    for line in io::stdin().lines() {
        let line = line?;
        let result = match line.split_once('\t') {
            Some((gold, answer)) => match equal(gold, answer) {
                Ok(true) => "equal".to_owned(),
                Ok(false) => "different".to_owned(),
                Err(error) => format!("undecided: {error}"),
            },
            None => "expected gold<TAB>answer, found no tab".to_owned(),
        };
        writeln!(out, "{result}\t{line}")?;
    }
    out.flush()
}
