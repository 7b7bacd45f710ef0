//! How many gold answers of a list are read: a line each on standard input. Prints the count
//! of the lines, of those that cannot be read, and of those of which a part is read; then those that cannot be read.
#![allow(clippy::print_stdout, reason = "a program tells what it found")]

use ruminate_math_verify::{Source, parse};
use std::io::{self, BufRead};

fn main() -> io::Result<()> {
    let (mut all, mut unread, mut part) = (0, Vec::new(), 0);
    for line in io::stdin().lock().lines() {
        let gold = line?;
        all += 1;
        let visible = |text: &str| text.chars().filter(|c| !c.is_whitespace() && !"$.".contains(*c)).count();
        match parse(&gold, Source::Gold) {
            Ok(answer) if answer.error().is_none() => {
                part += usize::from(visible(answer.text()) * 5 < visible(&gold) * 4);
            }
            Ok(answer) => {
                unread.push(format!("{gold}: {}", answer.error().map_or(String::new(), ToString::to_string)));
            }
            Err(why) => unread.push(format!("{gold}: {why}")),
        }
    }
    println!("{all} gold answers, {} not read, {part} read in part", unread.len());
    for line in unread {
        println!("  {line}");
    }
    Ok(())
}
