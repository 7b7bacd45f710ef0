//! Prints how large a file of a model folder is, or why it is not read.
#![allow(clippy::print_stdout, reason = "an example's output")]

use ruminate_files::{MAX_TEXT_BYTES, read};
use std::path::Path;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), Some(name)) = (arguments.next(), arguments.next()) else {
        println!("usage: size FOLDER NAME");
        return;
    };
    match read(Path::new(&folder), &name, MAX_TEXT_BYTES) {
        Ok(content) => println!("{name}: {} bytes", content.len()),
        Err(error) => println!("{error}"),
    }
}
