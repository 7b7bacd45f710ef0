//! Rows with named columns: paths in the first line (`answer=a.0.b prompt=messages`), then a row.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ruminate_data::jsonl::{Columns, parse_object, parse_task};

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let (first, row) = text.split_once('\n').unwrap_or(("", &text));
    let named = first.split(' ').filter_map(|word| word.split_once('='));
    let columns = Columns(named.map(|(name, path)| (name.to_owned(), path.to_owned())).collect());
    let _either = parse_task(row);
    let Ok(row) = parse_object(row) else { return };
    match columns.applied(row.clone()) {
        Ok(applied) => {
            assert!(columns.0.keys().all(|name| applied.contains_key(name)), "a column without its name");
        }
        Err(mismatch) => assert!(mismatch.to_string().len() < 1 << 16, "a message for people"),
    }
});
